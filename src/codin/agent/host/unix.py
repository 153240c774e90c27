"""HTTP over a Unix socket."""

from __future__ import annotations

import httpx

from codin.unix_socket import unix_transport


def unix_http(
    socket: str, *, base_url: str, timeout: float | None = None, connections: int = 256
) -> httpx.AsyncClient:
    """A client of the server that listens on ``socket``.

    Connecting takes five seconds at most. Without ``timeout`` (in seconds) an answer may take as
    long as it likes: a model thinks for minutes, and whoever waits decides how long is too long.
    """
    return httpx.AsyncClient(
        transport=unix_transport(socket, connections=connections),
        base_url=base_url,
        timeout=httpx.Timeout(timeout, connect=5.0),
        trust_env=False,
    )
