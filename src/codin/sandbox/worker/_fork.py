"""A request in a copy of the program: forked for it, and ended with all that it has started.

The copy runs code that nobody has read, so it never gets the connection: it writes to a pipe, and
what comes there is passed on frame by frame, whole or not at all. While it runs, it may not look
into its parent (``PR_SET_DUMPABLE``), and whatever it leaves behind becomes a child of its parent
(``PR_SET_CHILD_SUBREAPER``), which ends it. Kernel: prctl(2), proc_pid_task(5) ``children``.
"""

from __future__ import annotations

import ctypes
import gc
import os
import select
import signal
import threading

from . import frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LAST = 1 << 31
"""Set in the length of the last frame of a copy."""

_SET_DUMPABLE, _SET_CHILD_SUBREAPER = 4, 36
_READ = 64 * 1024
_ROUNDS = 10_000
"""So many times it is looked for what is left; then the whole Worker ends instead."""


class Forks:
    """Runs requests in copies of this process, one at a time."""

    def __init__(self, write: Callable[[bytes | memoryview], None], most: int) -> None:
        self._write = write
        self._most = most
        self._prctl = ctypes.CDLL(None, use_errno=True).prctl
        gc.collect()
        gc.freeze()  # what is here stays: the copies need not touch it

    def run(self, child: Callable[[int], None]) -> str | None:
        """Run ``child`` in a copy, with the descriptor to which it writes frames, and pass these
        on; the last of them when nothing of the copy is left. Gives how the copy ended, if it gave
        no last one.

        Raises:
            OSError: nothing can be forked, or what is forked could not be kept apart.
        """
        reading, writing = os.pipe()
        try:
            self._ask(_SET_CHILD_SUBREAPER, 1)
            self._ask(_SET_DUMPABLE, 0)
            before = _children()
            pid = os.fork()
            if pid == 0:
                self._be(child, reading, writing)
            os.close(writing)
            writing = -1
            try:
                last = self._pass_on(reading, pid)
            finally:
                status = _end_all(before, pid)
        finally:
            os.close(reading)
            if writing >= 0:
                os.close(writing)
            self._ask(_SET_DUMPABLE, 1)
            self._ask(_SET_CHILD_SUBREAPER, 0)
        if last is None:
            code = os.waitstatus_to_exitcode(status)
            return f"signal {-code}" if code < 0 else f"exit code {code}"
        self._write(last)
        return None

    def _be(self, child: Callable[[int], None], reading: int, writing: int) -> None:
        """What the copy does; it does not return."""
        try:
            os.close(reading)
            self._ask(_SET_DUMPABLE, 1)
            child(writing)
        finally:
            os._exit(0)

    def _pass_on(self, reading: int, pid: int) -> bytes | None:
        """Pass on what comes but the last frame, which is given, if one comes."""
        os.set_blocking(reading, False)
        gone = os.pidfd_open(pid)
        try:
            poll = select.poll()
            poll.register(reading, select.POLLIN)
            poll.register(gone, select.POLLIN)
            came, here = bytearray(), True
            while here:
                here = gone not in [fd for fd, _ in poll.poll()]
                while data := _read(reading):
                    came += data
                    if (last := self._frames(came)) is not None:
                        return last
                if data == b"" and here:
                    poll.unregister(reading)
        finally:
            os.close(gone)
        return None

    def _frames(self, came: bytearray) -> bytes | None:
        """Take the frames that are whole from ``came``; gives the last of all, when it is there."""
        head = frames.LENGTH.size
        while len(came) >= head:
            (size,) = frames.LENGTH.unpack_from(came)
            last, size = size & LAST, size & ~LAST
            if size > self._most:
                raise OSError(f"the copy sent a frame of {size} bytes")
            if len(came) < head + size:
                return None
            frame = frames.LENGTH.pack(size) + came[head : head + size]
            del came[: head + size]
            if last:
                return frame
            self._write(frame)
        return None

    def _ask(self, what: int, value: int) -> None:
        if self._prctl(what, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "a copy of the Worker cannot be kept apart here")


def _read(fd: int) -> bytes | None:
    """What has come; nothing of it at the end, and ``None`` for nothing yet."""
    try:
        return os.read(fd, _READ)
    except BlockingIOError:
        return None


def _children() -> set[int]:
    with open(f"/proc/self/task/{threading.get_native_id()}/children", "rb", 0) as file:
        return set(map(int, file.read().split()))


def _end_all(before: set[int], child: int) -> int:
    """End every child that was not there before, and theirs; gives how ``child`` ended."""
    status = 0
    for _ in range(_ROUNDS):
        left = _children() - before
        if not left:
            return status
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        for pid in left:
            found = os.waitpid(pid, 0)[1]
            if pid == child:
                status = found
    os._exit(70)  # it makes more of itself than can be ended one by one: its place ends it
