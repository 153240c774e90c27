"""Completions from the embedded model's process, over its Unix socket."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import httpx

from codin.model.embedded.server import EmbeddedServer
from codin.model.errors import ContextTooLong, ModelRefused, ModelUnavailable
from codin.unix_socket import unix_transport

# Left free, a small model may write spaces until its tokens are used up. This is how `json.dumps`
# writes, so that what comes back in a conversation is found in the cache.
_JSON_STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a completion. Only the last one has ``stop`` and counts.

    ``stop`` is ``eos``, ``word`` (one of the stop strings) or ``limit``.
    """

    text: str
    stop: str | None = None
    stop_word: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0


class Llama:
    """A raw completion client: prompts in, text out, held to a grammar or a schema on request."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.server = server
        self._client: httpx.AsyncClient | None = None
        self._socket = ""

    async def complete(self, prompt: str, **options: Any) -> Piece:
        """The whole completion as one piece."""
        parts: list[str] = []
        last = Piece("", stop="limit")
        async with aclosing(self.stream(prompt, **options)) as pieces:
            async for piece in pieces:
                parts.append(piece.text)
                last = piece
        return Piece(
            "".join(parts),
            last.stop,
            last.stop_word,
            last.prompt_tokens,
            last.cached_tokens,
            last.output_tokens,
        )

    async def stream(self, prompt: str, **options: Any) -> AsyncGenerator[Piece]:
        """The completion as it comes. Leaving the iterator ends the generation.

        Options are those of llama.cpp's ``/completion``: ``grammar``, ``json_schema``, ``stop``,
        ``n_predict``, ``temperature``, ``seed``, ...

        Raises:
            ContextTooLong: the prompt does not fit.
            ModelRefused: the engine cannot use an option (a schema, a grammar).
            ModelUnavailable: the process died.
        """
        body = {"prompt": prompt, "cache_prompt": True, "stream": True, **options}
        if "json_schema" in options:
            body["json_schema"] = {**options["json_schema"], "x-guidance": _JSON_STYLE}
        client = await self._connected()
        try:
            async with client.stream("POST", "/completion", json=body) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise _refusal(answer.status_code, await answer.aread())
                async for line in answer.aiter_lines():
                    if line.startswith("data: "):
                        yield _piece(json.loads(line[6:]))
                    elif line.startswith("error: "):
                        raise _refusal(400, line[7:].encode())
        except httpx.TransportError as error:
            raise await self._gone(error) from error

    async def first_words(self, prompt: str, most: int = 40) -> tuple[dict[str, float], Piece]:
        """The likeliest first tokens of the completion, with their probabilities.

        Raises:
            ContextTooLong, ModelRefused, ModelUnavailable: as `stream` does.
        """
        body = {"prompt": prompt, "cache_prompt": True, "n_predict": 1, "n_probs": most}
        client = await self._connected()
        try:
            answer = await client.post("/completion", json={**body, "temperature": 0})
        except httpx.TransportError as error:
            raise await self._gone(error) from error
        if answer.status_code != httpx.codes.OK:
            raise _refusal(answer.status_code, answer.content)
        data = answer.json()
        likeliest = data["completion_probabilities"][0]["top_logprobs"]
        return {word["token"]: math.exp(word["logprob"]) for word in likeliest}, _piece(data)

    async def count(self, text: str) -> int:
        """How many tokens ``text`` has."""
        client = await self._connected()
        answer = await client.post("/tokenize", json={"content": text})
        return len(answer.json()["tokens"])

    async def aclose(self) -> None:
        """Close the connections; the server is its owner's to close."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _gone(self, error: httpx.TransportError) -> ModelUnavailable:
        await self.server.lost()
        return ModelUnavailable(
            f"the embedded model's process went away while it answered ({error!r}); the next"
            " request starts it again"
        )

    async def _connected(self) -> httpx.AsyncClient:
        endpoint = await self.server.ready()
        if self._client is None or self._socket != endpoint.socket:
            await self.aclose()
            self._socket = endpoint.socket
            # The engine drops kept connections without a word; a new one costs nothing here.
            self._client = httpx.AsyncClient(
                transport=unix_transport(endpoint.socket, kept=0),
                base_url="http://embedded.model",
                headers={"Authorization": f"Bearer {endpoint.key}"},
                timeout=httpx.Timeout(None, connect=5.0),
            )
        return self._client


def _piece(data: dict[str, Any]) -> Piece:
    if "error" in data:
        raise _refusal(int(data["error"].get("code", 500)), json.dumps(data).encode())
    if not data.get("stop"):
        return Piece(str(data.get("content", "")))
    timings = data.get("timings") or {}
    evaluated = int(timings.get("prompt_n", 0))
    cached = int(timings.get("cache_n", 0))
    return Piece(
        str(data.get("content", "")),
        str(data.get("stop_type", "eos")),
        str(data.get("stopping_word", "")),
        evaluated + cached,
        cached,
        int(timings.get("predicted_n", 0)),
    )


def _refusal(status: int, body: bytes) -> ModelRefused | ContextTooLong | ModelUnavailable:
    try:
        message = str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = body[:200].decode(errors="replace")
    if "context" in message and ("exceed" in message or "too large" in message):
        return ContextTooLong(f"the embedded model cannot take that much text: {message}")
    if status == httpx.codes.SERVICE_UNAVAILABLE:
        return ModelUnavailable(f"the embedded model is not ready: {message}")
    return ModelRefused(f"the embedded model refused the request: {message}", status=status)
