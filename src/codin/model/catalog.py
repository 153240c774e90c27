"""Which language model to use: provider strings, and what can be found on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from codin.model.errors import ModelUnavailable, NoModelAvailable, UnknownModel

Provider = Literal["openai", "anthropic", "google", "ollama", "embedded"]

PROVIDERS: tuple[str, ...] = get_args(Provider)

OPENAI_URL = "https://api.openai.com/v1"
OLLAMA_HOST = "127.0.0.1:11434"

BASIC_LABEL = "basic local model"
"""What the embedded model is called wherever its work is shown."""

_KEYS: dict[str, tuple[str, ...]] = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "google": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
}
_OPENAI_FACES = {
    "anthropic": "https://api.anthropic.com/v1",
    "google": "https://generativelanguage.googleapis.com/v1beta/openai",
}
_DEFAULT_NAMES = {
    "openai": "gpt-6-luna",
    "anthropic": "claude-haiku-4-5",
    "google": "gemini-3.8-flash",
}

_WAYS = (
    "no language model was found: set OPENAI_API_KEY, ANTHROPIC_API_KEY or GOOGLE_API_KEY, point"
    " OPENAI_BASE_URL at any OpenAI-compatible server, start Ollama, or fetch the local model with"
    " `codin model pull`"
)


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model and where it is reached.

    ``base_url`` is the OpenAI-compatible face of the provider, empty for the embedded model.
    ``basic`` marks the embedded model, whose answers deserve a second look. ``found_by`` says what
    made the choice (a flag, a variable, a running server).
    """

    provider: Provider
    name: str
    base_url: str = ""
    label: str = ""
    basic: bool = False
    found_by: str = ""

    def __str__(self) -> str:
        return f"{self.provider}:{self.name}"


def parse(text: str, env: Mapping[str, str] | None = None) -> ModelChoice:
    """The choice that ``provider:name`` names; ``embedded`` needs no name.

    Raises:
        UnknownModel: no such provider, or no name where one is needed.
    """
    env = os.environ if env is None else env
    provider, _, name = text.strip().partition(":")
    if provider not in PROVIDERS:
        raise UnknownModel(
            f"unknown model provider {provider!r} in {text!r}: write provider:name, where provider"
            f" is one of {', '.join(PROVIDERS)}"
        )
    if provider == "embedded":
        return embedded_choice()
    name = name.strip() or _DEFAULT_NAMES.get(provider, "")
    if not name:
        raise UnknownModel(f"{text!r} names no model: write {provider}:NAME")
    known = cast("Provider", provider)
    return ModelChoice(known, name, _base_url(known, env), f"{name} ({_place(known, env)})")


def embedded_choice() -> ModelChoice:
    """The model that runs on this machine without anything else."""
    from codin.model.embedded.weights import WEIGHTS

    return ModelChoice("embedded", WEIGHTS.name, "", BASIC_LABEL, basic=True)


def api_key(choice: ModelChoice, env: Mapping[str, str] | None = None) -> str | None:
    """The provider's key from the environment. It never leaves this process."""
    env = os.environ if env is None else env
    return next((env[name] for name in _KEYS.get(choice.provider, ()) if env.get(name)), None)


def key_names(provider: str) -> tuple[str, ...]:
    """The variables in which a provider's key may stand."""
    return _KEYS.get(provider, ())


async def discover(
    explicit: str | None = None,
    *,
    env: Mapping[str, str] | None = None,
    probe_seconds: float = 0.5,
) -> ModelChoice:
    """Choose a model: what was asked for, ``CODIN_MODEL``, keys, Ollama, then local weights.

    Args:
        explicit: a provider string from a flag or the settings.
        probe_seconds: how long a server on this machine may take to answer.

    Raises:
        UnknownModel: a provider string names nothing.
        ModelUnavailable: the model asked for lacks its key, its server or its weights.
        NoModelAvailable: nothing was asked for and nothing was found.
    """
    env = os.environ if env is None else env
    for text, source in ((explicit, "--model"), (env.get("CODIN_MODEL"), "CODIN_MODEL")):
        if text:
            return await _explicit(text, source, env, probe_seconds)
    found = await _from_keys(env, probe_seconds) or await _from_ollama(env, probe_seconds)
    if found is not None:
        return found
    from codin.model.embedded import weights

    if weights.installed(env) is not None:
        return _because(embedded_choice(), "local weights")
    raise NoModelAvailable(_WAYS)


async def _explicit(
    text: str, source: str, env: Mapping[str, str], probe_seconds: float
) -> ModelChoice:
    provider, _, name = text.strip().partition(":")
    if provider == "ollama" and not name:
        found = await _from_ollama(env, probe_seconds)
        if found is None:
            raise ModelUnavailable(
                f"{source} asks for Ollama, which does not answer at {_ollama_url(env)}: start it,"
                " or set OLLAMA_HOST"
            )
        return _because(found, source)
    choice = parse(text, env)
    _require(choice, source, env)
    return _because(choice, source)


def _require(choice: ModelChoice, source: str, env: Mapping[str, str]) -> None:
    """Say at once what the model that was asked for lacks."""
    own_server = choice.provider == "openai" and env.get("OPENAI_BASE_URL")
    if choice.provider in _KEYS and not api_key(choice, env) and not own_server:
        keys = " or ".join(_KEYS[choice.provider])
        raise ModelUnavailable(f"{source} asks for {choice}, which needs {keys} to be set")
    if choice.provider == "embedded":
        from codin.model.embedded import weights

        if weights.installed(env) is None:
            raise ModelUnavailable(
                f"{source} asks for the embedded model, which is not on this machine yet: run"
                " `codin model pull`"
            )


async def _from_keys(env: Mapping[str, str], probe_seconds: float) -> ModelChoice | None:
    if env.get("OPENAI_BASE_URL"):
        name = await _first_model(_base_url("openai", env), env, probe_seconds)
        if name or env.get("OPENAI_API_KEY"):
            choice = parse(f"openai:{name}", env)
            return _because(choice, "OPENAI_BASE_URL")
    for provider, names in _KEYS.items():
        present = next((name for name in names if env.get(name)), None)
        if present and not (provider == "openai" and env.get("OPENAI_BASE_URL")):
            return _because(parse(provider, env), present)
    return None


async def _from_ollama(env: Mapping[str, str], probe_seconds: float) -> ModelChoice | None:
    url = _base_url("ollama", env)
    name = await _first_model(url, {}, probe_seconds)
    return _because(parse(f"ollama:{name}", env), f"Ollama at {_ollama_url(env)}") if name else None


async def _first_model(base_url: str, env: Mapping[str, str], probe_seconds: float) -> str:
    import httpx

    key = env.get("OPENAI_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        async with httpx.AsyncClient(timeout=probe_seconds, headers=headers) as client:
            answer = await client.get(f"{base_url}/models")
            answer.raise_for_status()
            models = answer.json()["data"]
            return str(models[0]["id"]) if models else ""
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError, IndexError):
        return ""


def _because(choice: ModelChoice, found_by: str) -> ModelChoice:
    from dataclasses import replace

    return replace(choice, found_by=found_by)


def _base_url(provider: Provider, env: Mapping[str, str]) -> str:
    if provider == "openai":
        return (env.get("OPENAI_BASE_URL") or OPENAI_URL).rstrip("/")
    if provider == "ollama":
        return f"{_ollama_url(env)}/v1"
    return _OPENAI_FACES[provider]


def _ollama_url(env: Mapping[str, str]) -> str:
    host = (env.get("OLLAMA_HOST") or OLLAMA_HOST).rstrip("/")
    if "://" not in host:
        host = f"http://{host}"
    # A server's listening address is no address to connect to.
    return host.replace("//0.0.0.0", "//127.0.0.1")


def _place(provider: Provider, env: Mapping[str, str]) -> str:
    if provider == "openai" and env.get("OPENAI_BASE_URL"):
        from urllib.parse import urlsplit

        return urlsplit(env["OPENAI_BASE_URL"]).hostname or "own server"
    return {"openai": "OpenAI", "anthropic": "Anthropic", "google": "Google"}.get(
        provider, "Ollama, this machine"
    )
