"""Calls by the Connect protocol with JSON (connectrpc.com/docs/protocol): one answer, or a stream.

Binary messages and compression are not read: the official SDKs use neither.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from codin.gateway.e2b.body import MAX_MESSAGE, body_of, object_of, parsed
from codin.gateway.e2b.errors import BadRequest, E2bError, TooLarge, TooLate, WrongMediaType, told
from codin.gateway.e2b.streaming import MessageStream
from codin.gateway.responses import FastJson
from codin.jsontext import encoded

_log = logging.getLogger(__name__)

Message = dict[str, Any]
Unary = Callable[[Request, Message], Awaitable[Message]]
Stream = Callable[[Request, Message], AsyncGenerator[Message, None]]
Inlet = Callable[[Request, AsyncIterator[Message]], Awaitable[Message]]

_HEAD = struct.Struct(">BI")
_COMPRESSED, _LAST = 1, 2


def unary(call: Unary) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint for a call with one message in and one out."""

    async def endpoint(request: Request) -> Response:
        try:
            _expect(request, "application/json")
            message = await object_of(request)
            async with asyncio.timeout(timeout_of(request)):
                return FastJson(await call(request, message))
        except TimeoutError:
            return error_of(TooLate("it took longer than the caller gave it"))
        except ClientDisconnect:
            return Response()
        except Exception as error:
            return error_of(_noted(error, request))

    return endpoint


def server_stream(call: Stream) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint for a call with one message in and a stream of them out."""

    async def endpoint(request: Request) -> Response:
        try:
            _expect(request, "application/connect+json")
            data = bytearray(await body_of(request, MAX_MESSAGE + _HEAD.size))
            message = _taken(data)
            if message is None or data:
                raise BadRequest("one enveloped message was expected")
        except ClientDisconnect:
            return Response()
        except Exception as error:
            message, failure = None, _noted(error, request)
        frames = _failed(failure) if message is None else _frames(call, request, message)
        return MessageStream(frames, media_type="application/connect+json")

    return endpoint


def client_stream(call: Inlet) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint for a call with a stream of messages in and one out."""

    async def endpoint(request: Request) -> Response:
        try:
            _expect(request, "application/connect+json")
            async with asyncio.timeout(timeout_of(request)), aclosing(_messages(request)) as inlet:
                answer = envelope(await call(request, inlet)) + envelope({}, _LAST)
        except TimeoutError:
            answer = _end(TooLate("it took longer than the caller gave it"))
        except ClientDisconnect:
            return Response()
        except Exception as error:
            answer = _end(_noted(error, request))
        return Response(answer, media_type="application/connect+json")

    return endpoint


def error_of(error: E2bError) -> Response:
    """An error as a call with one answer tells it."""
    return FastJson({"code": error.code, "message": str(error)}, error.status)


def envelope(message: Message, flags: int = 0) -> bytes:
    """A message of a stream."""
    data = encoded(message)
    return _HEAD.pack(flags, len(data)) + data


def timeout_of(request: Request) -> float | None:
    """The seconds that the caller gives it.

    Raises:
        BadRequest: that is no number.
    """
    given = request.headers.get("connect-timeout-ms")
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= 10):
        raise BadRequest(f"connect-timeout-ms is no number of milliseconds: {given[:20]!r}")
    return int(given) / 1000 or None


def silence_of(request: Request) -> float | None:
    """After how many seconds without a message the caller wants a sign of life."""
    given = request.headers.get("keepalive-ping-interval", "")
    return float(max(int(given), 1)) if given.isascii() and given.isdigit() else None


async def _frames(call: Stream, request: Request, message: Message) -> AsyncGenerator[bytes, None]:
    try:
        async with aclosing(call(request, message)) as messages:
            async for each in messages:
                yield envelope(each)
        end = envelope({}, _LAST)
    except Exception as error:
        end = _end(_noted(error, request))
    yield end


async def _failed(error: E2bError) -> AsyncGenerator[bytes, None]:
    yield _end(error)


def _end(error: E2bError) -> bytes:
    return envelope({"error": {"code": error.code, "message": str(error)}}, _LAST)


async def _messages(request: Request) -> AsyncGenerator[Message, None]:
    held = bytearray()
    async for chunk in request.stream():
        held += chunk
        while (message := _taken(held)) is not None:
            yield message
    if held:
        raise BadRequest("the stream ended within a message")


def _taken(data: bytearray) -> Message | None:
    """The first message in ``data``, taken out of it, if it is there whole."""
    if len(data) < _HEAD.size:
        return None
    flags, size = _HEAD.unpack_from(data)
    if flags & _COMPRESSED:
        raise BadRequest("compressed messages are not read here")
    if size > MAX_MESSAGE:
        raise TooLarge(f"a message is larger than the {MAX_MESSAGE:,} bytes allowed")
    end = _HEAD.size + size
    if len(data) < end:
        return None
    body = bytes(data[_HEAD.size : end])
    del data[:end]
    return parsed(body)


def _expect(request: Request, media_type: str) -> None:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != media_type:
        raise WrongMediaType(f"send {media_type} here, not {given[:60]!r}")
    encoding = request.headers.get("content-encoding") or request.headers.get(
        "connect-content-encoding"
    )
    if encoding not in {None, "identity"}:
        raise WrongMediaType(f"compressed messages are not read here, such as {encoding[:20]!r}")


def _noted(error: Exception, request: Request) -> E2bError:
    as_told = told(error, request.scope["state"].get("e2b_id", ""))
    if type(as_told) is E2bError:
        _log.error("%s failed", request.url.path, exc_info=error)
    return as_told
