"""Looks at what a sandbox uses, and ends what uses too much."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path

from codin.sandbox.base import Limits
from codin.sandbox.box.base import Box
from codin.sandbox.box.unnamed import unnamed_files
from codin.sandbox.errors import DiskLimit, OutOfMemory

BUSY_SECONDS = 0.05
IDLE_SECONDS = 0.5
ENTRY_BYTES = 1024
ENDLESS = 1 << 62
_DISK_SHARE = 10
"""Looking through the workspace takes at most one part in this many of the time."""


class Watchdog:
    """Watches the boxes of one sandbox while there are any.

    What the kernel limits by itself (memory and processes in a control group) is looked at only
    to learn that a limit bit; the rest is limited here, a little late: by ``BUSY_SECONDS`` at most
    while code runs, by ``IDLE_SECONDS`` while a Worker waits. What is on disk is all that is in
    ``folders`` (those that code inside can write to), whoever wrote it. Where nothing has run
    since the last look, nothing is looked at: a sandbox that is idle costs some microseconds.
    """

    def __init__(self, limits: Limits, folders: Sequence[Path]) -> None:
        self._limits = limits
        self._folders = folders
        self._boxes: set[Box] = set()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._look: asyncio.Task[None] | None = None
        self._busy = self._stopped = False
        self._unseen = True
        self._next_disk = 0.0

    def add(self, box: Box) -> None:
        """Watch ``box`` until its end."""
        self._boxes.add(box)
        self.wake()

    def wake(self) -> None:
        """Look more often from now on: code begins to run."""
        if not self._busy and not self._stopped:
            self._busy = True
            self._set_timer(BUSY_SECONDS)

    async def stop(self) -> None:
        """Watch no more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if self._look is not None:
            self._look.cancel()
            await asyncio.wait([self._look])

    def _set_timer(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._boxes = {box for box in self._boxes if box.alive}
        if not self._boxes:
            self._busy = False
            return
        moved = [box.meter.moved() for box in self._boxes]  # each has to be asked
        if self._look is None or self._look.done():
            self._unseen = self._unseen or self._busy or any(moved)
            if not self._unseen:
                self._next()
                return
            self._look = self._loop.create_task(self._look_around(), name="codin sandbox watchdog")

    def _next(self) -> None:
        self._busy = any(box.active for box in self._boxes)
        self._set_timer(BUSY_SECONDS if self._busy else IDLE_SECONDS)

    async def _look_around(self) -> None:
        try:
            await self._look_at_boxes()
            await self._look_at_disk()
        finally:
            if not self._stopped:
                self._next()

    async def _look_at_boxes(self) -> None:
        boxes = list(self._boxes)
        samples = await asyncio.to_thread(lambda: [box.sample() for box in boxes])
        for box, sample in zip(boxes, samples, strict=True):
            box.check(sample)
        total, limit = sum(sample.memory_bytes for sample in samples), self._limits.memory_bytes
        if limit is not None and total > limit:
            largest = max(zip(samples, boxes, strict=True), key=lambda pair: pair[0].memory_bytes)
            largest[1].end(OutOfMemory(f"the sandbox used more than {limit} bytes of memory"))

    async def _look_at_disk(self) -> None:
        limit, began = self._limits.disk_bytes, time.monotonic()
        if limit is None or began < self._next_disk:
            self._unseen = self._unseen and limit is not None
            return
        self._unseen = False
        used = await asyncio.to_thread(self._used_on_disk, list(self._boxes))
        took = time.monotonic() - began
        self._next_disk = time.monotonic() + took * _DISK_SHARE
        if used > limit:
            for box in list(self._boxes):
                box.end(DiskLimit(f"more than the {limit} bytes allowed are on disk"))

    def _used_on_disk(self, boxes: Sequence[Box]) -> int:
        """Of files that have a name in the folders, or had one."""
        devices = {os.stat(folder).st_dev for folder in self._folders if folder.exists()}
        files = unnamed_files(pid for box in boxes for pid in box.meter.processes())
        unnamed = sum(size for (device, _), size in files.items() if device in devices)
        return unnamed + sum(map(disk_usage, self._folders))


def disk_usage(folder: Path) -> int:
    """Bytes that the files below ``folder`` take on disk; links are not followed.

    An entry counts for ``ENTRY_BYTES`` at least, so that empty files are not for nothing, and a
    tree so deep that its paths cannot be named any more counts as endless, as does a folder that
    is closed to this process: what is in it cannot be told.
    """
    total, todo = 0, [os.fspath(folder)]
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    size, deeper = _weigh(entry)
                    total += size
                    todo += deeper
        except OSError as error:
            if error.errno in {errno.ENAMETOOLONG, errno.EACCES}:
                return ENDLESS
    return total


def _weigh(entry: os.DirEntry[str]) -> tuple[int, list[str]]:
    try:
        blocks = entry.stat(follow_symlinks=False).st_blocks
        deeper = [entry.path] if entry.is_dir(follow_symlinks=False) else []
    except FileNotFoundError:
        return 0, []
    return max(blocks * 512, ENTRY_BYTES), deeper
