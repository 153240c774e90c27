"""What is written to a connection in one turn of the loop goes out at once.

The server writes the head of an answer and its body one after the other: sent alone, each would
cost a call of the system here, and wake the client.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

_MOST = 64 * 1024
"""Bytes that are held back; with more the connection itself has to say whether it is full."""


class JoinedTransport:
    """``transport``, but that what is written waits for the end of the turn."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._held = bytearray()

    def write(self, data: bytes) -> None:
        """Send ``data`` after what was written before."""
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held += data
        if len(self._held) > _MOST:
            self._flush()

    def close(self) -> None:
        """Send what was written, and close."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, bytearray()
            self._transport.write(held)


# uvicorn chooses by what is installed, so that mypy sees a variable where a class stands
class JoinedProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """HTTP as uvicorn has it, over such a transport."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(JoinedTransport(transport))
