"""Bounds on what a request may carry, and on what a caller may have under way."""

from __future__ import annotations

import re
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from codin.gateway.attended import Attended
from codin.gateway.auth import principal_in
from codin.gateway.errors import LimitReached
from codin.gateway.quota import TURN, Quota, Turn
from codin.gateway.responses import (
    error_response,
    limit_response,
    rest_limit_response,
    rpc_error_response,
    rpc_limit_response,
)

_BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
_RPC_PATH = re.compile(r"/(agents/[^/]+/?)?")
_INVALID_REQUEST = -32600


_HEALTH = frozenset({"/healthz", "/readyz"})


class _TooLarge(Exception):
    pass


class QuotaMiddleware:
    """Lets each request in within its caller's quota, and keeps account of it until it is answered.

    A principal that takes too much is answered 429 (RFC 6585, section 4) with ``Retry-After``, in
    the form of what it asked by. Whether the gateway lives is asked by address: one whose caller
    takes all it may is not dead.
    """

    def __init__(self, app: ASGIApp, quota: Quota) -> None:
        self._app = app
        self._quota = quota

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            turn = self._turn(scope)
        except LimitReached as error:
            await limit_answer(scope, error)(scope, receive, send)
            return
        scope["state"][TURN] = turn
        try:
            body = scope["method"] not in _BODILESS
            async with Attended(receive, turn, body=body) as attended:
                await self._app(scope, attended.receive, send)
            if attended.given_up:
                sentence = "the gateway stops: ask again when it is back"
                with suppress(RuntimeError):  # an answer had begun
                    await error_response(503, "stopping", sentence)(scope, receive, send)
        finally:
            turn.leave()

    def _turn(self, scope: Scope) -> Turn:
        client = scope.get("client")
        host = client[0] if client else None
        if scope["path"] in _HEALTH:
            return self._quota.enter_address(host)
        return self._quota.enter(principal_in(scope), host)


def limit_answer(scope: Scope, error: LimitReached) -> Response:
    """The answer to a request that is over the limit, before anything has read it: so a JSON-RPC
    client is told without its id."""
    path = scope["path"]
    if scope["method"] == "POST" and _RPC_PATH.fullmatch(path):
        return rpc_limit_response(None, error)
    return limit_response(error) if path.startswith("/api/") else rest_limit_response(error)


class BodyLimitMiddleware:
    """Reads a request's body, up to a bound, before the application sees the request.

    So no handler below can be made to hold more, however the body arrives, and each gets it at
    once. A larger one is answered with 413, and on a JSON-RPC endpoint with an error of that
    protocol.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _BODILESS:
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(scope, receive)
        except ClientDisconnect:
            return
        except _TooLarge:
            await self._refusal(scope["path"])(scope, receive, send)
            return
        await self._app(scope, _replayed(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdigit() and int(declared) > self._max_bytes:
            raise _TooLarge
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message.get("body", b"")
            if len(body) > self._max_bytes:
                raise _TooLarge
            more = message.get("more_body", False)
        return bytes(body)

    def _refusal(self, path: str) -> Response:
        sentence = f"the request is larger than the {self._max_bytes:,} bytes allowed"
        if _RPC_PATH.fullmatch(path):
            return rpc_error_response(_INVALID_REQUEST, sentence)
        return error_response(413, "too_large", sentence)


def _replayed(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
