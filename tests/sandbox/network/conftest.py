import asyncio
import contextlib
import socket

import pytest

from codin.sandbox.network import ProxyLimits, ProxyRoom
from codin.testing.small_server import small_server

LIMITS = ProxyLimits(connections=8, head_seconds=0.6, connect_seconds=2.0, idle_seconds=1.5)


@pytest.fixture
async def server():
    async with small_server() as serving:
        yield serving


class Names:
    """A resolver that answers from a table; a name with several answers gives them in turn."""

    def __init__(self):
        self.table = {}
        self.asked = []

    async def __call__(self, name, port):
        self.asked.append((name, port))
        answers = self.table.get(name)
        if answers is None:
            raise socket.gaierror(-2, "unknown")
        return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture
def names():
    found = Names()
    found.table["allowed.test"] = [["127.0.0.1"]]
    return found


class Door:
    """A listening socket as one of a sandbox, and a client of it."""

    def __init__(self, listener, proxy):
        self.port = listener.getsockname()[1]
        self.proxy = proxy

    async def connect(self):
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, request, *, end=False):
        """All that is answered to ``request``."""
        reader, writer = await self.connect()
        try:
            writer.write(request)
            if end:
                writer.write_eof()
            return await asyncio.wait_for(reader.read(), 10)
        finally:
            writer.close()

    async def status(self, request):
        return int((await self.ask(request)).split()[1])

    async def tunnel(self, target):
        reader, writer = await self.connect()
        writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        return reader, writer


@pytest.fixture
async def open_door(server, names):
    async with contextlib.AsyncExitStack() as stack:

        async def open_it(*allowed, private=(), limits=LIMITS):
            room = ProxyRoom([f"127.0.0.1:{server.port}", *private], resolve=names, limits=limits)
            proxy = room.proxy(allowed or [f"allowed.test:{server.port}"], "box")
            listener = socket.create_server(("127.0.0.1", 0))
            door = Door(listener, proxy)
            serving = proxy.serve(listener)
            stack.push_async_callback(serving.close)
            door.serving = serving
            return door

        yield open_it


@pytest.fixture
async def door(open_door):
    return await open_door()
