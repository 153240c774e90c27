"""HTTP answers that end the work behind them when the client leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, Protocol, TypeVar

from starlette.requests import Request
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

T = TypeVar("T")

_STATUS: tuple[tuple[type[ModelError], int, str], ...] = (
    (BudgetExceeded, 429, "insufficient_quota"),
    (ContextTooLong, 400, "context_length_exceeded"),
    (ModelTimeout, 504, "model_timeout"),
    (BadModelOutput, 502, "bad_model_output"),
    (ModelUnavailable, 503, "model_unavailable"),
)


class ClientGone(Exception):
    """The client closed the connection before the answer was complete."""


class _Closable(Protocol):
    async def aclose(self) -> object: ...


class ClosingStream(StreamingResponse):
    """A streamed answer; what feeds it is closed however the answer ends, even before it began."""

    def __init__(self, body: AsyncGenerator[bytes], feeding: _Closable, **options: Any) -> None:
        super().__init__(body, **options)
        self._body = body
        self._feeding = feeding

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._feeding), aclosing(self._body):
            await super().__call__(scope, receive, send)


async def until_disconnected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which is cancelled when the client leaves.

    The request's body must have been read.

    Raises:
        ClientGone: it left.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientGone
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


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
