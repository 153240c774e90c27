"""HTTP over Unix sockets."""

from __future__ import annotations

import httpx

_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20)


def unix_transport(path: str, limits: httpx.Limits = _LIMITS) -> httpx.AsyncHTTPTransport:
    """How httpx reaches the server that listens on the Unix socket ``path``, by plain HTTP.

    httpx would otherwise read all certificates that the machine trusts, for every transport: some
    30 ms in which the loop stands still, for TLS that there is not.
    """
    return httpx.AsyncHTTPTransport(
        uds=path,
        limits=limits,
        verify=False,
    )
