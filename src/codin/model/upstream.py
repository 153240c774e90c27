"""Where chat requests in OpenAI's form go: the contract, and any OpenAI-compatible server."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import httpx

from codin.model.errors import (
    BadModelOutput,
    ModelError,
    ModelRefused,
    ModelTimeout,
    ModelUnavailable,
)

_CONNECT_SECONDS = 10.0
_SILENCE_SECONDS = 300.0
_DROPPED = frozenset({"model", "stream", "stream_options"})


class Upstream(ABC):
    """Answers chat requests. The request's ``model`` is not looked at: the platform chooses.

    Both methods raise a `ModelError`, and leave nothing running when they are cancelled.
    """

    name: str

    @abstractmethod
    async def complete(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A ``chat.completion`` object."""

    @abstractmethod
    def stream(self, body: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        """The ``chat.completion.chunk`` objects, usage included. An error comes before the first
        or between two."""

    @abstractmethod
    async def aclose(self) -> None:
        """Give back connections and processes."""


class HttpUpstream(Upstream):
    """An OpenAI-compatible server: a provider's, Ollama, or any base URL.

    Args:
        key: sent as bearer; it is added here and seen by nobody else.
    """

    def __init__(self, base_url: str, name: str, key: str | None = None) -> None:
        self.name = name
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._base_url = base_url.rstrip("/")
        self._client = httpx.AsyncClient(
            headers=headers, timeout=httpx.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS)
        )

    async def complete(self, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            answer = await self._client.post(self._url, json=self._request(body))
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if answer.status_code >= 400:
            raise self._refused(answer.status_code, answer.content)
        return self._decoded(answer.content, "choices")

    async def stream(self, body: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        request = {**self._request(body), "stream": True}
        request["stream_options"] = {"include_usage": True}
        seen = False
        try:
            async with self._client.stream("POST", self._url, json=request) as answer:
                if answer.status_code >= 400:
                    raise self._refused(answer.status_code, await answer.aread())
                async for line in answer.aiter_lines():
                    data = line.removeprefix("data:").strip()
                    if not line.startswith("data:") or not data:
                        continue
                    if data == "[DONE]":
                        return
                    seen = True
                    yield self._decoded(data.encode(), "choices")
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if not seen:
            raise BadModelOutput(f"{self._base_url} answered a stream request with no events")

    async def aclose(self) -> None:
        await self._client.aclose()

    @property
    def _url(self) -> str:
        return f"{self._base_url}/chat/completions"

    def _request(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return {"model": self.name, **{k: v for k, v in body.items() if k not in _DROPPED}}

    def _decoded(self, content: bytes, key: str) -> dict[str, Any]:
        try:
            data = json.loads(content)
        except ValueError:
            data = None
        if isinstance(data, dict) and "error" in data:
            raise self._refused(502, content)
        if not isinstance(data, dict) or not isinstance(data.get(key), list):
            raise BadModelOutput(
                f"{self._base_url} answered with something that is no chat completion:"
                f" {content[:120]!r}"
            )
        return data

    def _unreachable(self, error: httpx.HTTPError) -> ModelError:
        if isinstance(error, httpx.TimeoutException):
            return ModelTimeout(f"{self.name} at {self._base_url} did not answer in time")
        return ModelUnavailable(
            f"{self.name} at {self._base_url} cannot be reached:"
            f" {str(error) or type(error).__name__}"
        )

    def _refused(self, status: int, content: bytes) -> ModelRefused:
        try:
            said = json.loads(content)["error"]
            message = str(said["message"] if isinstance(said, dict) else said)
        except (ValueError, KeyError, TypeError):
            message = content[:200].decode(errors="replace")
        return ModelRefused(f"{self.name} at {self._base_url}: {message}", status=status)
