"""Which model is chosen, and what is said when there is none."""

from __future__ import annotations

import pytest

from codin.model import BASIC_LABEL, NoModelAvailable, UnknownModel, discover, parse
from codin.model.catalog import api_key
from codin.model.embedded import weights
from codin.model.errors import ModelUnavailable
from codin.testing.scripted_model import ScriptedModel

NO_OLLAMA = {"OLLAMA_HOST": "127.0.0.1:9"}


@pytest.fixture
def bare(tmp_path) -> dict[str, str]:
    return {**NO_OLLAMA, "CODIN_CACHE": str(tmp_path)}


def with_weights(env: dict[str, str]) -> dict[str, str]:
    file = weights.path(env)
    file.parent.mkdir(parents=True)
    with file.open("wb") as sparse:
        sparse.truncate(weights.WEIGHTS.size)
    return env


def test_a_provider_string_names_provider_and_model():
    choice = parse("openai:gpt-x", {})
    assert (choice.provider, choice.name) == ("openai", "gpt-x")
    assert choice.base_url == "https://api.openai.com/v1"
    assert str(choice) == "openai:gpt-x"
    assert not choice.basic


def test_names_with_colons_stay_whole():
    assert parse("ollama:qwen2.5:7b", {}).name == "qwen2.5:7b"


def test_base_urls_come_from_the_environment():
    env = {"OPENAI_BASE_URL": "http://gpu.lan:8000/v1/", "OLLAMA_HOST": "0.0.0.0:4000"}
    assert parse("openai:x", env).base_url == "http://gpu.lan:8000/v1"
    assert parse("openai:x", env).label == "x (gpu.lan)"
    assert parse("ollama:x", env).base_url == "http://127.0.0.1:4000/v1"


def test_the_embedded_model_is_labelled():
    choice = parse("embedded", {})
    assert choice.basic
    assert choice.label == BASIC_LABEL == "basic local model"


@pytest.mark.parametrize("text", ["", "gpt-4", "mistral:x", "ollama:", ":x"])
def test_what_names_no_model_is_an_error_that_says_how(text):
    with pytest.raises(UnknownModel, match=r"provider:name|ollama:NAME"):
        parse(text, {})


async def test_without_anything_one_sentence_names_every_way(bare):
    with pytest.raises(NoModelAvailable) as caught:
        await discover(env=bare)
    said = str(caught.value)
    ways = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "OPENAI_BASE_URL", "Ollama")
    assert all(way in said for way in (*ways, "codin model pull"))
    assert "\n" not in said


@pytest.mark.parametrize(
    ("env", "provider"),
    [
        ({"OPENAI_API_KEY": "k"}, "openai"),
        ({"ANTHROPIC_API_KEY": "k"}, "anthropic"),
        ({"GEMINI_API_KEY": "k"}, "google"),
        ({"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k"}, "openai"),
    ],
)
async def test_keys_choose_a_provider(bare, env, provider):
    choice = await discover(env={**with_weights(bare), **env})
    assert choice.provider == provider
    assert choice.found_by in env


async def test_what_is_asked_for_wins_over_keys(bare):
    env = {**bare, "OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k", "CODIN_MODEL": "anthropic:a"}
    assert str(await discover(env=env)) == "anthropic:a"
    assert str(await discover("openai:b", env=env)) == "openai:b"


async def test_a_model_without_its_key_is_refused_at_once(bare):
    with pytest.raises(ModelUnavailable, match=r"CODIN_MODEL asks for .* ANTHROPIC_API_KEY"):
        await discover(env={**bare, "CODIN_MODEL": "anthropic:a"})


async def test_own_servers_need_no_key_and_tell_their_model(bare):
    async with ScriptedModel(name="house-model").serve() as url:
        choice = await discover(env={**bare, "OPENAI_BASE_URL": url})
    assert (choice.provider, choice.name, choice.base_url) == ("openai", "house-model", url)


async def test_a_running_ollama_is_found(bare):
    async with ScriptedModel(name="llama:8b").serve() as url:
        env = {**bare, "OLLAMA_HOST": url.removesuffix("/v1")}
        assert str(await discover(env=env)) == "ollama:llama:8b"
        assert str(await discover("ollama", env=env)) == "ollama:llama:8b"


async def test_ollama_asked_for_and_silent_is_an_error(bare):
    with pytest.raises(ModelUnavailable, match=r"Ollama.*does not answer"):
        await discover("ollama", env=bare)


async def test_weights_are_the_last_choice(bare):
    choice = await discover(env=with_weights(bare))
    assert choice.basic
    assert choice.found_by == "local weights"


async def test_the_embedded_model_asked_for_without_weights(bare):
    with pytest.raises(ModelUnavailable, match="codin model pull"):
        await discover("embedded", env=bare)


def test_half_a_file_is_no_weights(bare):
    file = weights.path(bare)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"GGUF")
    assert weights.installed(bare) is None


def test_keys_are_found_by_provider_and_do_not_stand_in_the_choice():
    env = {"GOOGLE_API_KEY": "", "GEMINI_API_KEY": "secret-g"}
    choice = parse("google:g", env)
    assert api_key(choice, env) == "secret-g"
    assert "secret-g" not in repr(choice)
