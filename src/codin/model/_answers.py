"""HTTP answers that end the work behind them when the client leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Protocol

from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from codin.model.errors import (
    BadModelOutput,
    BudgetExceeded,
    ContextTooLong,
    ModelError,
    ModelRefused,
    ModelTimeout,
    ModelUnavailable,
)

_MAX_HELD_BYTES = 64 * 1024

_STATUS: tuple[tuple[type[ModelError], int, str], ...] = (
    (BudgetExceeded, 429, "insufficient_quota"),
    (ContextTooLong, 400, "context_length_exceeded"),
    (ModelTimeout, 504, "model_timeout"),
    (BadModelOutput, 502, "bad_model_output"),
    (ModelUnavailable, 503, "model_unavailable"),
)


class _Closable(Protocol):
    async def aclose(self) -> object: ...


class ClosingStream(StreamingResponse):
    """A streamed answer; what feeds it is closed however the answer ends, even before it began."""

    def __init__(self, body: AsyncGenerator[bytes], feeding: _Closable, **options: Any) -> None:
        self._body = InHand(body)
        super().__init__(self._body, **options)
        self._feeding = feeding

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._feeding), aclosing(self._body):
            await super().__call__(scope, receive, send)


def error_object(status: int, message: str, code: str) -> dict[str, Any]:
    """An error in OpenAI's shape."""
    kinds = {401: "authentication_error", 429: "insufficient_quota", 404: "not_found_error"}
    kind = kinds.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def error_response(status: int, message: str, code: str) -> Response:
    return JSONResponse(error_object(status, message, code), status)


def model_error(error: ModelError) -> tuple[int, str, str]:
    """Status, message and code for an error of a model."""
    if isinstance(error, ModelRefused):
        # A provider that refuses the platform's key must not look like a wrong run token.
        status = 502 if error.status in (401, 403) else error.status
        return status, str(error), "model_refused"
    for kind, status, code in _STATUS:
        if isinstance(error, kind):
            return status, str(error), code
    return 502, str(error), "model_error"


class InHand:
    """``pieces``, those joined that come without waiting: each that is sent wakes the client up.

    Each step of ``pieces`` is a task of its own. ``aclose`` ends it, once, and ``pieces``: inside
    of Starlette's (anyio's) scopes, which cancel every wait, nothing could be ended in order.
    """

    def __init__(self, pieces: AsyncGenerator[bytes]) -> None:
        self._pieces = pieces
        self._coming: asyncio.Future[bytes | None] | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        coming = self._next()
        while (piece := await asyncio.shield(coming)) is not None:
            held = bytearray(piece)
            coming = self._next()
            await asyncio.sleep(0)
            while len(held) < _MAX_HELD_BYTES and _succeeded(coming) and (piece := coming.result()):
                held += piece
                coming = self._next()
                await asyncio.sleep(0)
            yield bytes(held)

    async def aclose(self) -> None:
        if self._coming is not None:
            self._coming.cancel()
            await asyncio.gather(self._coming, return_exceptions=True)
        await self._pieces.aclose()

    def _next(self) -> asyncio.Future[bytes | None]:
        self._coming = asyncio.ensure_future(anext(self._pieces, None))
        return self._coming


def _succeeded(step: asyncio.Future[Any]) -> bool:
    return step.done() and not step.cancelled() and step.exception() is None


async def sse(
    first: Mapping[str, Any], rest: AsyncGenerator[dict[str, Any]], *, usage: bool
) -> AsyncGenerator[bytes]:
    """Chunks as server-sent events. ``usage`` tells whether the client asked for the counts."""
    async with aclosing(rest):
        try:
            if usage or first.get("choices"):
                yield _event(first)
            async for chunk in rest:
                if usage or chunk.get("choices"):
                    yield _event(chunk)
        except ModelError as error:
            yield _event(error_object(*model_error(error)))
            return
        yield b"data: [DONE]\n\n"


def _event(data: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"
