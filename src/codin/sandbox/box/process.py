"""A command that runs in a box: its output, its input and its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator

from codin.sandbox.base import Process
from codin.sandbox.box.base import Box
from codin.sandbox.errors import SandboxGone, SandboxTimeout
from codin.sandbox.outcome import ExecResult, OutputChunk

_AHEAD = 4 * 1024 * 1024
"""Bytes that are kept for a slow reader before the command has to wait."""


class BoxProcess(Process):
    """A box as a command. Output that is limited is kept whole; the rest waits for its reader."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._chunks: deque[OutputChunk] = deque()
        self._held = 0
        self._news = asyncio.Event()
        self._bounded = box.limits.output_bytes is not None
        self._timer: asyncio.TimerHandle | None = None
        box.pump.begin(self._take, box.limits.output_bytes)
        if box.limits.wall_seconds is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(box.limits.wall_seconds, self._late)
        self._end = asyncio.ensure_future(box.exited())
        self._end.add_done_callback(self._ended)

    async def output(self) -> AsyncIterator[OutputChunk]:
        while True:
            while self._chunks:
                chunk = self._chunks.popleft()
                self._held -= len(chunk.data)
                if not self._bounded and self._held < _AHEAD:
                    self._box.pump.resume()
                yield chunk
            if self._end.done():
                self._end.result()
                return
            self._news.clear()
            await self._news.wait()

    async def write(self, data: bytes) -> None:
        if self._box.stdin is None:
            raise SandboxGone("the command was started without stdin")
        self._box.stdin.write(data)
        with contextlib.suppress(ConnectionError):  # it reads no more: its end tells the rest
            await self._box.stdin.drain()

    async def close_stdin(self) -> None:
        if self._box.stdin is not None:
            self._box.stdin.close()
            with contextlib.suppress(ConnectionError):
                await self._box.stdin.wait_closed()

    async def wait(self) -> ExecResult:
        self._bounded = True  # nobody else reads now: take all that comes
        self._box.pump.resume()
        code = await asyncio.shield(self._end)
        out = b"".join(chunk.data for chunk in self._chunks if chunk.stream == "stdout")
        err = b"".join(chunk.data for chunk in self._chunks if chunk.stream == "stderr")
        self._chunks.clear()
        return ExecResult(code, out, err, self._box.usage())

    async def signal(self, number: int) -> None:
        self._box.signal(number)

    async def kill(self) -> None:
        self._box.end(SandboxGone("the command was killed"))
        await asyncio.wait([self._end])

    def _take(self, chunk: OutputChunk) -> None:
        self._chunks.append(chunk)
        self._held += len(chunk.data)
        self._news.set()
        if not self._bounded and self._held >= _AHEAD:
            self._box.pump.pause()

    def _late(self) -> None:
        self._box.end(
            SandboxTimeout(
                f"{self._box.argv[0]!r} ran longer than {self._box.limits.wall_seconds:g} s, "
                "and was ended"
            )
        )

    def _ended(self, end: asyncio.Future[int]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not end.cancelled():
            end.exception()  # told to whoever waits or reads; nobody has to
        self._news.set()
