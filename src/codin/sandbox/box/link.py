"""A Worker in a box: started with one end of a socket pair."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from codin.sandbox import worker as worker_package
from codin.sandbox.base import Limits
from codin.sandbox.box.base import Box
from codin.sandbox.errors import SandboxError
from codin.sandbox.outcome import OutputChunk, Usage
from codin.sandbox.worker.client import WorkerClient, WorkerLink, frame_limit

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


def worker_command(connection: int, limits: Limits) -> list[str]:
    """The command that starts a Worker on the socket that it inherits as ``connection``."""
    program = str(Path(worker_package.__file__).parent)
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
    reader, writer = await asyncio.open_unix_connection(sock=here)
    return WorkerClient(BoxLink(box, reader, writer, limits, wake))


class BoxLink(WorkerLink):
    """The link to a Worker in a box."""

    def __init__(
        self,
        box: Box,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        limits: Limits,
        wake: Callable[[], None],
    ) -> None:
        self.limits = limits
        self._box = box
        self._reader = reader
        self._writer = writer
        self._wake = wake
        self._since = self._cpu = 0.0
        self._said = bytearray()
        box.active = False
        box.pump.begin(self._hear, _START_BYTES)

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def receive(self, size: int) -> bytes:
        return await self._reader.readexactly(size)

    def begin(self, sink: Callable[[OutputChunk], None]) -> None:
        self._box.active = True
        self._wake()
        self._since, self._cpu = time.monotonic(), self._box.reset_usage()
        self._box.pump.begin(sink, self.limits.output_bytes)

    def finish(self) -> Usage:
        self._box.pump.drain()
        if self._box.verdict is not None:
            raise EOFError("it was ended while its answer was on the way")
        self._box.pump.pause()
        self._box.active = False
        return self._box.usage(since=self._since, cpu_before=self._cpu)

    def last_words(self) -> str:
        return self._said[-_TOLD_BYTES:].decode(errors="replace").strip()

    def _hear(self, chunk: OutputChunk) -> None:
        self._said += chunk.data

    def end(self, reason: SandboxError | None = None) -> None:
        self._box.end(reason)

    async def wait(self) -> int:
        try:
            return await self._box.wait()
        finally:
            self._writer.close()
