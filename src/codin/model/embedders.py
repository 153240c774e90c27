"""Embedders by name: one on this machine, and those of providers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from codin.model.catalog import ModelChoice, api_key, key_names, parse
from codin.model.errors import BadModelOutput, ModelUnavailable, UnknownModel
from codin.model.providers import translated

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray
    from pydantic_ai.embeddings import EmbeddingModel

_SECONDS = 60.0
_AT_ONCE = 100
"""Texts in one request: Google takes no more."""
_MOST_CHARS = 8_000
_PROVIDERS = ("openai", "google", "ollama")
_WAYS = (
    "write e5 for the model on this machine, or a provider's: openai:text-embedding-3-small, "
    "google:gemini-embedding-001, ollama:NAME, or openai:NAME@URL for a server that speaks as "
    "OpenAI does"
)


class ModelEmbedder(Protocol):
    """An embedder that holds something: see ``codin.memory.Embedder``."""

    @property
    def name(self) -> str: ...

    async def embed(
        self, texts: Sequence[str], *, query: bool = False
    ) -> Sequence[Sequence[float]] | NDArray[float32]: ...

    async def aclose(self) -> None: ...


def embedder_of(
    text: str, env: Mapping[str, str] | None = None, *, seconds: float = _SECONDS
) -> ModelEmbedder:
    """The embedder that ``text`` names. One answer of a provider's may take ``seconds``.

    Raises:
        UnknownModel: it names none.
        ModelUnavailable: it needs a key or an extra that is not there.
    """
    env = os.environ if env is None else env
    named = text.strip()
    if named == "e5":
        from codin.model.embedding import E5Embedder

        return E5Embedder()
    if named == "hashing":
        return _Hashing()
    provider = named.partition(":")[0]
    if provider not in _PROVIDERS:
        raise UnknownModel(f"{text!r} names no embedder: {_WAYS}")
    plain, _, url = named.partition("@")
    if not plain.partition(":")[2].strip() or (url and provider != "openai"):
        raise UnknownModel(f"{text!r} names no embedder: {_WAYS}")
    choice = parse(plain, env)
    if url:
        choice = replace(choice, base_url=url.rstrip("/"))
    key = api_key(choice, env)
    own_server = url or (provider == "openai" and env.get("OPENAI_BASE_URL"))
    if key_names(provider) and not key and not own_server:
        keys = " or ".join(key_names(provider))
        raise ModelUnavailable(f"the embedder {text} needs {keys} to be set")
    return HostedEmbedder(choice, key, seconds=seconds)


class HostedEmbedder:
    """An embedder of a provider's, or of a server of one's own, asked through pydantic-ai, which
    tries again what may go well the next time. Of a text it reads the first 8,000 characters."""

    def __init__(self, choice: ModelChoice, key: str | None, *, seconds: float = _SECONDS) -> None:
        self.name = str(choice)
        self._choice = choice
        self._key = key
        self._seconds = seconds
        self._model: EmbeddingModel | None = None

    async def embed(
        self, texts: Sequence[str], *, query: bool = False
    ) -> Sequence[Sequence[float]]:
        """A vector for each text.

        Raises:
            ModelTimeout: no answer within the time.
            ModelRefused: the provider turned it down.
            ModelUnavailable: it cannot be reached.
            BadModelOutput: it gave something else than a vector for each text.
        """
        rows: list[Sequence[float]] = []
        for at in range(0, len(texts), _AT_ONCE):
            batch = [_readable(text) for text in texts[at : at + _AT_ONCE]]
            rows += await self._asked(batch, query=query)
        return rows

    async def aclose(self) -> None:
        """Nothing is held: connections are the library's, for all of the process."""

    async def _asked(self, texts: list[str], *, query: bool) -> Sequence[Sequence[float]]:
        place = self._choice.label or self.name
        if self._model is None:
            self._model = _model(self._choice, self._key)
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._model.embed(texts, input_type="query" if query else "document")
        except Exception as error:
            told = translated(error, place, self._seconds)
            if told is None:
                raise
            raise told from error
        if len(answer.embeddings) != len(texts):
            raise BadModelOutput(
                f"{place} gave {len(answer.embeddings)} vectors for {len(texts)} texts"
            )
        return answer.embeddings


class _Hashing:
    """The embedder for tests, by name."""

    def __init__(self) -> None:
        from codin.testing.hashing_embedder import HashingEmbedder

        self._hashing = HashingEmbedder()
        self.name = self._hashing.name

    async def embed(self, texts: Sequence[str], *, query: bool = False) -> NDArray[float32]:
        return await self._hashing.embed(texts, query=query)

    async def aclose(self) -> None:
        """Nothing is held."""


def _model(choice: ModelChoice, key: str | None) -> EmbeddingModel:
    if choice.provider == "google":
        from pydantic_ai.embeddings.google import GoogleEmbeddingModel
        from pydantic_ai.providers.google import GoogleProvider

        return GoogleEmbeddingModel(choice.name, provider=GoogleProvider(api_key=key or ""))
    from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
    from pydantic_ai.providers.openai import OpenAIProvider

    # Servers without keys still want the header.
    provider = OpenAIProvider(base_url=choice.base_url, api_key=key or "none")
    return OpenAIEmbeddingModel(choice.name, provider=provider)


def _readable(text: str) -> str:
    """The beginning of ``text``; providers refuse one that is empty."""
    return text[:_MOST_CHARS].encode("utf-8", "replace").decode() or " "
