"""HTTP over Unix sockets."""

from __future__ import annotations

import httpx

_IDLE_SECONDS = 2.0
"""How long a connection is kept for a next request: less than servers wait for one (uvicorn: 5 s),
so that none is sent into a connection that is just being closed."""


def unix_transport(
    path: str, *, connections: int = 100, kept: int = 20
) -> httpx.AsyncHTTPTransport:
    """How httpx reaches the server that listens on the Unix socket ``path``, by plain HTTP.

    httpx would otherwise read all certificates that the machine trusts, for every transport: some
    30 ms in which the loop stands still, for TLS that there is not.
    """
    limits = httpx.Limits(
        max_connections=connections,
        max_keepalive_connections=kept,
        keepalive_expiry=_IDLE_SECONDS,
    )
    return httpx.AsyncHTTPTransport(uds=path, limits=limits, verify=False)


class SharedTransport(httpx.AsyncBaseTransport):
    """One transport for many clients, whose ends leave it open: connections serve the next, too."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._transport.handle_async_request(request)

    async def close(self) -> None:
        """End it, and the connections with it."""
        await self._transport.aclose()
