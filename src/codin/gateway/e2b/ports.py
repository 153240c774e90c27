"""What programs inside listen on, reached through the gateway."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from codin.gateway.e2b.errors import NotServed, PortClosed
from codin.gateway.e2b.paths import sandbox_of
from codin.gateway.e2b.streaming import MessageStream

_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te"),
        *("trailer", "transfer-encoding", "upgrade"),
    }
)
"""Headers that are of one connection only (RFC 9110, section 7.6.1)."""

_OURS = frozenset(
    {
        *("e2b-sandbox-id", "e2b-sandbox-port", "e2b-traffic-access-token"),
        *("x-access-token", "x-api-key", "host"),
    }
)
"""Headers that are for the gateway: nobody inside is told a token."""


class PortProxy:
    """Passes requests on to a port of their sandbox, and the answers back, as they come."""

    def __init__(self) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._client = httpx.AsyncClient(
            limits=limits,
            timeout=None,  # noqa: S113 - how long something may take is for the two ends to say
            trust_env=False,
            follow_redirects=False,
        )

    async def close(self) -> None:
        """Pass nothing on any more."""
        await self._client.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request from the port ``scope["state"]["e2b_port"]``.

        Raises:
            PortClosed: nothing listens there.
        """
        request = Request(scope, receive)
        response = await self._answer(request)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        served, port = sandbox_of(request), request.scope["state"]["e2b_port"]
        if request.headers.get("upgrade"):
            raise NotServed(
                "connections that change their protocol are not passed on: no WebSocket"
            )
        url = await served.sandbox.expose(port)
        query = request.url.query
        path = request.scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
        has_body = {"content-length", "transfer-encoding"} & set(request.headers)
        passed = self._client.build_request(
            request.method,
            f"{url}{path}",
            headers=_passed_on(request),
            content=request.stream() if has_body else None,
        )
        try:
            answer = await self._client.send(passed, stream=True)
        except httpx.TransportError as error:
            raise PortClosed(served.id, port) from error
        passing = MessageStream(_body(answer), media_type="")
        passing.status_code = answer.status_code
        passing.raw_headers = [
            (name.lower(), value)
            for name, value in answer.headers.raw
            if name.lower().decode("latin-1") not in _HOP
        ]
        return passing


def _passed_on(request: Request) -> list[tuple[str, str]]:
    """The headers for the program inside: its own, and who asked by what name."""
    passed = [(name, value) for name, value in request.headers.items() if name not in _HOP | _OURS]
    host = request.headers.get("host", "")
    return [*passed, ("host", host), ("x-forwarded-proto", request.url.scheme)]


async def _body(answer: httpx.Response) -> AsyncGenerator[bytes, None]:
    try:
        async for part in answer.aiter_raw():
            yield part
    finally:
        await answer.aclose()
