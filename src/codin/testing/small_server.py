"""A small real HTTP server for checks of networks, on this machine's loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import h11


@dataclass
class SmallServer:
    """Where it is, and what it was asked: each request's head as it came, and the bodies."""

    port: int
    heads: list[h11.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0
    open: int = 0


@contextlib.asynccontextmanager
async def small_server(host: str = "127.0.0.1") -> AsyncIterator[SmallServer]:
    """Answers every request with ``hello from PATH``; with what it was sent, below ``/echo``;
    with so many bytes, at ``/bytes/N``; never, at ``/never``."""
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_serve(told, reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listening = await asyncio.start_server(accept, host, 0)
    told = SmallServer(listening.sockets[0].getsockname()[1])
    try:
        yield told
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _serve(
    told: SmallServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    told.connections += 1
    told.open += 1
    http = h11.Connection(h11.SERVER)
    try:
        while True:
            request = await _next(http, reader)
            if not isinstance(request, h11.Request):
                return
            told.heads.append(request)
            body = bytearray()
            while isinstance(event := await _next(http, reader), h11.Data):
                body += event.data
            told.bodies.append(bytes(body))
            await _answer(http, writer, request, bytes(body))
            if http.our_state is h11.MUST_CLOSE:
                return
            http.start_next_cycle()
    except (OSError, h11.ProtocolError):
        return
    finally:
        told.open -= 1
        writer.close()


async def _next(http: h11.Connection, reader: asyncio.StreamReader) -> object:
    while (event := http.next_event()) is h11.NEED_DATA:
        http.receive_data(await reader.read(65536))
    return event


async def _answer(
    http: h11.Connection, writer: asyncio.StreamWriter, request: h11.Request, sent: bytes
) -> None:
    path = request.target.decode()
    if path == "/never":
        await asyncio.sleep(3600)
    body = f"hello from {path}".encode()
    if path.startswith("/echo"):
        body = sent
    elif path.startswith("/bytes/"):
        body = b"x" * int(path.partition("?")[0].rpartition("/")[2])
    length = [] if path.endswith("?chunked") else [("content-length", str(len(body)))]
    writer.write(http.send(h11.Response(status_code=200, headers=length)) or b"")
    if request.method != b"HEAD":
        writer.write(http.send(h11.Data(data=body)) or b"")
    writer.write(http.send(h11.EndOfMessage()) or b"")
    await writer.drain()
