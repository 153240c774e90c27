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
    ``folders`` (those that code inside can write to), whoever wrote it.
    """

    def __init__(self, limits: Limits, folders: Sequence[Path]) -> None:
        self._limits = limits
        self._folders = folders
        self._boxes: set[Box] = set()
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._next_disk = 0.0

    def add(self, box: Box) -> None:
        """Watch ``box`` until its end."""
        self._boxes.add(box)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch(), name="codin sandbox watchdog")

    def wake(self) -> None:
        """Look more often from now on: code begins to run."""
        self._wake.set()

    async def stop(self) -> None:
        """Watch no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _watch(self) -> None:
        while self._boxes:
            busy = any(box.active for box in self._boxes)
            self._wake.clear()
            try:
                async with asyncio.timeout(BUSY_SECONDS if busy else IDLE_SECONDS):
                    await self._wake.wait()
                continue
            except TimeoutError:
                pass
            self._boxes = {box for box in self._boxes if box.alive}
            await self._look_at_boxes()
            await self._look_at_disk()

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
            return
        used = await asyncio.to_thread(lambda: sum(map(disk_usage, self._folders)))
        took = time.monotonic() - began
        self._next_disk = time.monotonic() + took * _DISK_SHARE
        if used > limit:
            for box in list(self._boxes):
                box.end(DiskLimit(f"more than the {limit} bytes allowed are on disk"))


def disk_usage(folder: Path) -> int:
    """Bytes that the files below ``folder`` take on disk; links are not followed.

    An entry counts for ``ENTRY_BYTES`` at least, so that empty files are not for nothing, and a
    tree so deep that its paths cannot be named any more counts as endless.
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
            if error.errno == errno.ENAMETOOLONG:
                return ENDLESS
    return total


def _weigh(entry: os.DirEntry[str]) -> tuple[int, list[str]]:
    try:
        blocks = entry.stat(follow_symlinks=False).st_blocks
        deeper = [entry.path] if entry.is_dir(follow_symlinks=False) else []
    except FileNotFoundError:
        return 0, []
    return max(blocks * 512, ENTRY_BYTES), deeper
