"""A port inside a place, reached at a port of this machine's loopback."""

from __future__ import annotations

import asyncio
import contextlib

from codin.sandbox.errors import SandboxGone
from codin.sandbox.supervisor.client import Supervisor

_CHUNK = 64 * 1024
MAX_CONNECTIONS = 256


class Forward:
    """Listens on ``127.0.0.1`` and passes each connection on to the port inside."""

    def __init__(self, supervisor: Supervisor, port: int) -> None:
        self._supervisor = supervisor
        self._port = port
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    @property
    def url(self) -> str:
        """Where it listens, as ``http://127.0.0.1:PORT``."""
        host, port = self._server.sockets[0].getsockname()
        return f"http://{host}:{port}"

    async def start(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def close(self) -> None:
        """End it, and every connection."""
        self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        if self._connections:
            await asyncio.wait(self._connections)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if len(self._connections) <= MAX_CONNECTIONS:
                await self._pass_on(reader, writer)
        except (OSError, SandboxGone, asyncio.CancelledError):
            writer.transport.abort()  # the other end sees that nothing is there
        finally:
            self._connections.discard(task)
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner = await self._supervisor.connect(self._port)
        inside, outside = await asyncio.open_connection(sock=inner)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_copy(reader, outside))
                both.create_task(_copy(inside, writer))
        except* OSError:
            writer.transport.abort()
        finally:
            outside.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Until the end of ``source``, which is then the end of what ``target`` is given."""
    while data := await source.read(_CHUNK):
        target.write(data)
        await target.drain()
    with contextlib.suppress(OSError):
        target.write_eof()
