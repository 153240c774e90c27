"""A Worker in a box: started with one end of a socket pair."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from typing import cast

from codin.sandbox.base import Limits
from codin.sandbox.box.base import Box
from codin.sandbox.errors import SandboxError
from codin.sandbox.outcome import OutputChunk, Usage
from codin.sandbox.programs import worker_program
from codin.sandbox.worker.client import WorkerClient
from codin.sandbox.worker.link import WorkerLink, frame_limit

# The program is loaded by its path, under a name that no module of the code's has.
_BOOT = """
import sys
path, fd, most = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
package = sys.modules["_codin_worker"] = type(sys)("_codin_worker")
package.__path__ = [path]
sys.argv[:] = [""]
from _codin_worker._main import main
main(fd, most)
"""

_START_BYTES = 64 * 1024
"""What a Worker may print before its first call; it has no reason to."""

_TOLD_BYTES = 1000
_READ = 64 * 1024


def worker_command(connection: int, limits: Limits) -> list[str]:
    """The command that starts a Worker on the socket that it inherits as ``connection``."""
    program = str(worker_program())
    numbers = [str(connection), str(frame_limit(limits))]
    return [sys.executable, "-I", "-B", "-X", "utf8", "-c", _BOOT, program, *numbers]


async def start_worker(
    open_worker: Callable[[int], Awaitable[Box]], limits: Limits, wake: Callable[[], None]
) -> WorkerClient:
    """A Worker in a new box. ``wake`` is called when a call begins."""
    here, inside = socket.socketpair()
    try:
        box = await open_worker(inside.fileno())
    except BaseException:
        here.close()
        raise
    finally:
        inside.close()
    link = BoxLink(box, limits, wake)
    client = WorkerClient(link)
    await asyncio.get_running_loop().create_unix_connection(lambda: link, sock=here)
    return client


class BoxLink(WorkerLink, asyncio.BufferedProtocol):
    """The link to a Worker in a box: the protocol of its connection."""

    def __init__(self, box: Box, limits: Limits, wake: Callable[[], None]) -> None:
        self.limits = limits
        self._box = box
        self._wake = wake
        self._begun = 0.0
        self._said = bytearray()
        self._buffer = memoryview(bytearray(_READ))
        self._transport: asyncio.WriteTransport
        self._fd = -1
        box.active = False
        box.pump.begin(self._hear, _START_BYTES)

    def listen(self, received: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        self._received, self._lost = received, lost

    def send(self, data: bytes) -> None:
        # Most is taken by the kernel at once, without the transport's care for what is not.
        if not self._transport.get_write_buffer_size():
            try:
                sent = os.write(self._fd, data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._lost()
                return
            if sent == len(data):
                return
            data = data[sent:]
        self._transport.write(data)

    def begin(self, sink: Callable[[OutputChunk], None]) -> None:
        self._box.active = True
        self._wake()
        self._begun = time.monotonic()
        self._box.meter.begin()
        self._box.pump.begin(sink, self.limits.output_bytes)

    def finish(self) -> Callable[[], Usage]:
        self._box.pump.drain()
        if self._box.verdict is not None:
            raise EOFError("it was ended while its answer was on the way")
        self._box.pump.rest()
        self._box.active = False
        wall, spent = time.monotonic() - self._begun, self._box.meter.finish()
        return lambda: Usage(wall, *spent())

    def last_words(self) -> str:
        return self._said[-_TOLD_BYTES:].decode(errors="replace").strip()

    def end(self, reason: SandboxError | None = None) -> None:
        self._box.end(reason)

    async def wait(self) -> int:
        try:
            return await self._box.wait()
        finally:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's are of no such class
        self._fd = transport.get_extra_info("socket").fileno()

    def get_buffer(self, _: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, size: int) -> None:
        self._received(self._buffer[:size].tobytes())

    def connection_lost(self, _: Exception | None) -> None:
        self._lost()

    def _hear(self, chunk: OutputChunk) -> None:
        self._said += chunk.data
