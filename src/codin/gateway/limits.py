"""Bounds on what a request may carry."""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from codin.gateway.responses import error_response, rpc_error_response

_BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
_RPC_PATH = re.compile(r"/(agents/[^/]+/?)?")
_INVALID_REQUEST = -32600


class _TooLarge(Exception):
    pass


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
