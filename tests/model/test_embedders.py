"""Embedders by name: the providers' through their real clients, against a server of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from codin.gateway.server import HttpServer
from codin.memory import Chunk, EmbeddingError, InMemoryMemory
from codin.model.embedders import embedder_of
from codin.model.embedding import E5Embedder
from codin.model.errors import (
    BadModelOutput,
    ModelError,
    ModelRefused,
    ModelTimeout,
    ModelUnavailable,
    UnknownModel,
)
from codin.security import Scope
from codin.testing.embedding_server import EmbeddingServer, Trouble

pytestmark = pytest.mark.slow

ANNA = Scope("acme", "anna")


@asynccontextmanager
async def served(
    *troubles: Trouble, dimension: int = 16
) -> AsyncIterator[tuple[EmbeddingServer, str]]:
    model = EmbeddingServer(*troubles, dimension=dimension)
    async with HttpServer(model.app, port=0) as server:
        yield model, server.url


async def test_texts_are_kept_and_found_by_an_openai_model() -> None:
    async with served() as (model, url):
        env = {"OPENAI_API_KEY": "k-1", "OPENAI_BASE_URL": f"{url}/v1"}
        embedder = embedder_of("openai:text-embedding-3-small", env)
        assert embedder.name == "openai:text-embedding-3-small"
        memory = InMemoryMemory(embedder=embedder)
        await memory.chunks.upsert(ANNA, Chunk("red apples"), Chunk("blue whales"))
        found = await memory.chunks.search(ANNA, "whale", mode="vector")
        await embedder.aclose()
    assert [one.text for one in found] == ["blue whales", "red apples"]
    assert model.batches == [["red apples", "blue whales"], ["whale"]]
    assert model.keys == ["k-1", "k-1"]


async def test_a_server_of_ones_own_needs_no_key() -> None:
    async with served() as (model, url):
        embedder = embedder_of(f"openai:bge-m3@{url}/v1/", {})
        assert embedder.name == "openai:bge-m3"
        assert len(await embedder.embed(["a", "b"])) == 2
        assert len(await embedder_of("ollama:nomic", {"OLLAMA_HOST": url}).embed(["a"])) == 1
    assert model.batches == [["a", "b"], ["a"]]


async def test_a_google_model_is_asked_in_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served() as (model, url):
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", url)
        embedder = embedder_of("google:gemini-embedding-001", {"GEMINI_API_KEY": "g-1"})
        rows = await embedder.embed(["red apples", "blue whales"])
    assert [len(row) for row in rows] == [16, 16]
    assert model.batches == [["red apples", "blue whales"]]
    assert model.keys == ["g-1"]


async def test_many_texts_go_in_several_requests() -> None:
    async with served() as (model, url):
        embedder = embedder_of(f"openai:m@{url}/v1", {})
        texts = [f"text {n}" for n in range(230)] + ["", "x" * 20_000, "half \ud800"]
        assert len(await embedder.embed(texts)) == 233
        assert await embedder.embed([]) == []
    assert [len(batch) for batch in model.batches] == [100, 100, 33]
    assert [len(text) for text in model.batches[-1][-3:]] == [1, 8_000, 6]


async def test_what_is_busy_is_asked_again() -> None:
    async with served("busy") as (model, url):
        assert len(await embedder_of(f"openai:m@{url}/v1", {}).embed(["a"])) == 1
    assert len(model.batches) == 2


@pytest.mark.parametrize(
    ("troubles", "error", "words"),
    [
        (("refused",), ModelRefused, "not with this model|400"),
        (("busy",) * 9, ModelRefused, "busy|503"),
        (("fewer",), BadModelOutput, "gave 1 vectors for 2 texts"),
        (("nonsense",), ModelError, "m "),
        (("silent",), ModelTimeout, r"did not finish within 3"),
    ],
)
async def test_what_goes_wrong_is_an_error_of_ours(
    troubles: tuple[Trouble, ...], error: type[ModelError], words: str
) -> None:
    async with served(*troubles) as (_, url):
        embedder = embedder_of(
            f"openai:m@{url}/v1", {}, seconds=3.0 if "silent" in troubles else 60
        )
        with pytest.raises(error, match=words):
            await embedder.embed(["a", "b"])


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        await embedder_of("openai:m@http://127.0.0.1:9/v1", {}).embed(["a"])


@pytest.mark.parametrize("trouble", ["nan", "longer"])
async def test_vectors_that_are_none_are_refused_by_memory(trouble: Trouble) -> None:
    async with served(trouble) as (_, url):
        memory = InMemoryMemory(embedder=embedder_of(f"openai:m@{url}/v1", {}))
        with pytest.raises((EmbeddingError, ModelError)):
            await memory.chunks.upsert(ANNA, Chunk("a"), Chunk("b"))
        assert (await memory.contents(ANNA)).chunks == 0


async def test_a_model_that_gives_another_size_by_now_is_refused() -> None:
    async with served() as (_, small), served(dimension=8) as (_, smaller):
        memory = InMemoryMemory(embedder=embedder_of(f"openai:m@{small}/v1", {}))
        await memory.chunks.upsert(ANNA, Chunk("a"))
        memory.chunks.embedder = embedder_of(f"openai:m@{smaller}/v1", {})
        with pytest.raises(EmbeddingError, match="16 numbers by 'openai:m', and not of 8"):
            await memory.chunks.upsert(ANNA, Chunk("b"))


async def test_who_is_cancelled_waits_no_longer() -> None:
    async with served("silent") as (_, url):
        asking = asyncio.create_task(embedder_of(f"openai:m@{url}/v1", {}).embed(["a"]))
        await asyncio.sleep(0.5)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


@pytest.mark.parametrize(
    "text", ["", "word2vec", "anthropic:x", "embedded", "openai:", "openai", "google:x@http://a"]
)
def test_what_names_no_embedder_is_told(text: str) -> None:
    with pytest.raises(UnknownModel, match="names no embedder: write e5"):
        embedder_of(text, {"OPENAI_API_KEY": "k", "GOOGLE_API_KEY": "k"})


@pytest.mark.parametrize(("text", "key"), [("openai:m", "OPENAI_API_KEY"), ("google:m", "GEMINI")])
def test_a_key_that_is_missing_is_named(text: str, key: str) -> None:
    with pytest.raises(ModelUnavailable, match=key):
        embedder_of(text, {})


async def test_the_one_on_this_machine_has_a_name() -> None:
    embedder = embedder_of(" e5 ", {})
    assert isinstance(embedder, E5Embedder)
    await embedder.aclose()
