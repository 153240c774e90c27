"""What is sent into a sandbox to make one HTTP request from there: never imported on this side.

Its text is the source of a module there, so it needs the standard library only.
"""

from __future__ import annotations

import http.client
import os
import sys
from urllib.parse import urlsplit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_READ = 65536


def exchange(
    method: str, url: str, headers: list[list[str]], body: bytes, trusted: str
) -> Iterator[dict[str, Any]]:
    """Yield the status and the headers of the answer; its body is what is printed."""
    connection, target = _connection(url, trusted)
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders(body or None)
        answer = connection.getresponse()
        yield {"status": answer.status, "headers": answer.getheaders()}
        sys.stdout.flush()
        while data := answer.read1(_READ):
            _print(data)
        if answer.length:
            raise http.client.IncompleteRead(b"", answer.length)
    finally:
        connection.close()


def _connection(url: str, trusted: str) -> tuple[http.client.HTTPConnection, str]:
    """A connection by the sandbox's own proxy, which carries it through, and what to ask for."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    proxy = urlsplit(os.environ.get("http_proxy") or url)
    host, door = proxy.hostname or "", proxy.port or port
    if parts.scheme == "https":
        import ssl

        context = ssl.create_default_context(cadata=trusted)
        connection: Any = http.client.HTTPSConnection(host, door, context=context)
    else:
        connection = http.client.HTTPConnection(host, door)
    if os.environ.get("http_proxy"):
        connection.set_tunnel(parts.hostname, port)
    return connection, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _print(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest) :]
