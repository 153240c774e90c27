"""Reads the output of a box: counted, bounded, in the order in which it came."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable
from typing import Literal

from codin.sandbox.outcome import OutputChunk

Stream = Literal["stdout", "stderr"]

_READ = 64 * 1024
_PIPE = 64 * 1024


class OutputPump:
    """Reads two pipes with the running loop and gives what comes to ``sink``.

    ``over`` is called once, when more than ``limit`` bytes have come since ``begin``; the rest is
    then read no more. While ``paused`` nothing is read, and who writes has to wait.
    """

    def __init__(self, over: Callable[[], None]) -> None:
        self._over = over
        self._loop = asyncio.get_running_loop()
        self._open: dict[int, Stream] = {}
        self._sink: Callable[[OutputChunk], None] = lambda _: None
        self._left: int | None = None
        self._watched = self._resting = False
        self._ready = select.poll()
        self.ended = asyncio.Event()

    def pipe(self, stream: Stream) -> int:
        """The end of a new pipe for a child to write to; the caller closes it after the start."""
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        self._open[reading] = stream
        self._ready.register(reading, select.POLLIN)
        return writing

    def begin(self, sink: Callable[[OutputChunk], None], limit: int | None) -> None:
        """Read from now on, and count from 0."""
        self._sink, self._left = sink, limit
        self._resting = False
        self._watch()

    def drain(self) -> None:
        """Read what has been written until now: no more than a pipe holds."""
        for fd, _ in self._ready.poll(0):
            for _ in range(_PIPE // _READ + 1):
                if not self._read(fd):
                    break

    def rest(self) -> None:
        """As ``pause``, but at no cost when nothing comes before the next ``begin``."""
        self._resting = True

    def pause(self) -> None:
        """Read no more until ``begin`` or ``resume``."""
        if self._watched:
            self._watched = False
            for fd in self._open:
                self._loop.remove_reader(fd)

    def resume(self) -> None:
        """Go on after ``pause``."""
        self._resting = False
        self._watch()

    def close(self) -> None:
        """Close the pipes."""
        for fd in list(self._open):
            self._close(fd)

    def _watch(self) -> None:
        if not self._watched:
            self._watched = True
            for fd in self._open:
                self._loop.add_reader(fd, self._come, fd)

    def _come(self, fd: int) -> None:
        if self._resting:
            self.pause()
        else:
            self._read(fd)

    def _read(self, fd: int) -> bool:
        """Read once; true when there may be more."""
        if fd not in self._open:
            return False
        try:
            data = os.read(fd, _READ)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._close(fd)
            return False
        return self._give(self._open[fd], data)

    def _give(self, stream: Stream, data: bytes) -> bool:
        if self._left is not None and len(data) > self._left:
            data, self._left = data[: self._left], 0
            if data:
                self._sink(OutputChunk(stream, data))
            self._over()  # first: code that finds its output closed would be told of that instead
            self.close()
            return False
        if self._left is not None:
            self._left -= len(data)
        self._sink(OutputChunk(stream, data))
        return True

    def _close(self, fd: int) -> None:
        if self._watched:
            self._loop.remove_reader(fd)
        if self._open.pop(fd, None) is not None:
            self._ready.unregister(fd)
            os.close(fd)
        if not self._open:
            self.ended.set()
