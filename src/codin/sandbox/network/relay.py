"""Bytes between two sockets, both ways, no faster than they are read."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable

CHUNK = 64 * 1024
"""Bytes that are on the way in each direction, besides what the kernel holds."""

_RESET = struct.pack("ii", 1, 0)


class Wire:
    """One connected socket, without blocking. ``moved`` is called when bytes have moved."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.moved: Callable[[], None] = _nothing
        self._socket = connection
        self._loop = asyncio.get_running_loop()

    async def receive(self) -> bytes:
        """What has come; nothing at the end. Raises ``OSError``."""
        data = await self._loop.sock_recv(self._socket, CHUNK)
        self.moved()
        return data

    async def send(self, data: bytes) -> None:
        """Send all of it. Raises ``OSError``."""
        await self._loop.sock_sendall(self._socket, data)
        self.moved()

    def end(self) -> None:
        """No more will be sent."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def break_off(self) -> None:
        """Close it so that the other side is told that something is missing."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._socket.close()

    def close(self) -> None:
        self._socket.close()


@contextlib.asynccontextmanager
async def while_moving(seconds: float, *wires: Wire) -> AsyncIterator[None]:
    """Ends the block with ``TimeoutError`` when no byte of ``wires`` has moved for so long."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(seconds) as idle:

        def moved() -> None:
            if not idle.expired():
                idle.reschedule(loop.time() + seconds)

        for wire in wires:
            wire.moved = moved
        try:
            yield
        finally:
            for wire in wires:
                wire.moved = _nothing


async def relay(one: Wire, other: Wire) -> None:
    """Until both have sent all; an end on one side is an end on the other.

    Raises:
        OSError: one of them broke off.
    """
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(one, other))
            group.create_task(_copy(other, one))
    except* OSError as errors:
        raise OSError("a connection broke off") from errors


async def _copy(source: Wire, target: Wire) -> None:
    while data := await source.receive():
        await target.send(data)
    target.end()


def _nothing() -> None:
    """Nobody asks."""
