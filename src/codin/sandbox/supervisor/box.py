"""A command that a supervisor started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from codin.sandbox.base import Limits
from codin.sandbox.box.base import Box, Input
from codin.sandbox.box.meter import Sample, TreeMeter
from codin.sandbox.errors import DiskLimit, SandboxGone, SandboxUnavailable
from codin.sandbox.outcome import Usage
from codin.sandbox.supervisor import messages
from codin.sandbox.supervisor.client import Supervisor

_CREDENTIALS = struct.Struct("3i")
_END_SECONDS = 5.0
"""How long the keeper of a command may take to end it, before the whole place is ended."""
_LAST_WORD_SECONDS = 0.1
_KEEPER = 1


@dataclass(frozen=True, slots=True)
class Job:
    """What to start. With ``connection`` it is a Worker on that socket, and ``argv`` its name.

    ``leave`` lets what the command leaves behind go on after its end, in the same box.
    """

    argv: Sequence[str]
    env: dict[str, str]
    cwd: str
    connection: int | None = None
    most: int = 0
    leave: bool = False
    rlimits: dict[str, int] = field(default_factory=dict)

    def data(self) -> dict[str, Any]:
        """What the supervisor is sent."""
        return {
            "argv": list(self.argv),
            "env": self.env,
            "cwd": self.cwd,
            "worker": self.connection is not None,
            "most": self.most,
            "leave": self.leave,
            "rlimits": self.rlimits,
        }


class SupervisedBox(Box):
    """A command with a keeper that ends it whole; measured from outside by the keeper's children.

    ``oom_kills`` counts what the kernel killed in the whole place for want of memory: whatever runs
    at that moment ends with ``OutOfMemory``. ``end_place`` ends the place, when a keeper does not
    do what it is for.
    """

    def __init__(
        self,
        limits: Limits,
        argv: Sequence[str],
        *,
        oom_kills: Callable[[], int],
        end_place: Callable[[], None],
        counted: bool,
    ) -> None:
        super().__init__(limits, argv)
        self._oom_kills = oom_kills
        self._oom_before = oom_kills()
        self._end_place = end_place
        self._counted = counted
        self._supervisor: Supervisor
        self._status: socket.socket
        self._stdin: asyncio.StreamWriter | None = None
        self._note = b""
        self._code: int | None = None
        self._told = Usage()
        self._meter = TreeMeter(0)
        self._measured = False
        self._over_now = asyncio.Event()
        self._exited = asyncio.Event()
        self._leaves = False
        self._ending = False

    @property
    def stdin(self) -> Input | None:
        return self._stdin

    async def launch(self, supervisor: Supervisor, job: Job, *, stdin: bool) -> None:
        """Ask for it.

        Raises:
            SandboxGone
        """
        self._supervisor, self._leaves = supervisor, job.leave
        self._status, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._status.setblocking(False)
        self._status.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        out, err = self.pump.pipe("stdout"), self.pump.pipe("stderr")
        reading, writing = os.pipe() if stdin else (os.open(os.devnull, os.O_RDONLY), None)
        fds = [there.fileno(), reading, out, err]
        try:
            if job.connection is not None:
                fds.append(job.connection)
            await supervisor.request(messages.START, job.data(), fds)
            if writing is not None:
                self._stdin, writing = await _writer(writing), None
        except BaseException:
            self._status.close()
            self.pump.close()
            if writing is not None:
                os.close(writing)
            raise
        finally:
            there.close()
            for fd in (reading, out, err):
                os.close(fd)
        self._loop.add_reader(self._status, self._hear)
        self._finished = asyncio.ensure_future(self._finish())

    async def exited(self) -> int:
        if self._leaves:
            await self._first(self._exited)
            await self._first(self.pump.ended)
            if self.alive and self.verdict is None and not self._note:
                assert self._code is not None
                return self._code
        return await self.wait()

    async def _first(self, event: asyncio.Event) -> None:
        """Until ``event``, or the end of all of it."""
        assert self._finished is not None
        coming = asyncio.ensure_future(event.wait())
        either: list[asyncio.Future[Any]] = [coming, self._finished]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            coming.cancel()

    def signal(self, number: int) -> None:
        if self.alive:
            with contextlib.suppress(OSError):
                self._status.send(messages.SIGNAL + str(number).encode())

    def sample(self) -> Sample:
        found = super().sample()
        if not self.active:  # what others ran out of while nothing ran here is not its own
            self._oom_before = self._oom_kills()
        return replace(
            found,
            oom_kills=self._oom_kills() - self._oom_before,
            memory_bytes=0 if self._counted else found.memory_bytes,
        )

    def usage(self) -> Usage:
        seen = super().usage()
        if self.alive:
            return seen
        peak = max(self._told.peak_memory_bytes or 0, seen.peak_memory_bytes or 0)
        cpu = max(self._told.cpu_seconds, seen.cpu_seconds)
        return Usage(seen.wall_seconds, cpu, peak or None)

    def _kill(self) -> None:
        if not self._ending:
            self._ending = True
            self._loop.call_later(_END_SECONDS, self._too_late)
            with contextlib.suppress(OSError):
                self._status.shutdown(socket.SHUT_WR)

    def _too_late(self) -> None:
        if self.alive:
            self._end_place()

    def _hear(self) -> None:
        space = socket.CMSG_SPACE(_CREDENTIALS.size)
        try:
            said, beside, _, _ = self._status.recvmsg(messages.MAX_PACKET, space)
        except BlockingIOError:
            return
        except OSError:
            said, beside = b"", []
        if not said:
            self._loop.remove_reader(self._status)
            self._over_now.set()
        elif said == messages.HERE and not self._measured:
            self._measured = True
            self._meter = TreeMeter(_sender(beside), own=_KEEPER)
        elif said.startswith(messages.NOTE):
            self._note = said[len(messages.NOTE) :]
        elif said.startswith(messages.EXIT):
            self._hear_exit(said[len(messages.EXIT) :].split())

    def _hear_exit(self, words: list[bytes]) -> None:
        with contextlib.suppress(ValueError, IndexError):
            code, cpu, peak = int(words[0]), float(words[1]), int(words[2])
            self._code, self._told = code, Usage(0.0, cpu, peak)
            self._exited.set()

    async def _finish(self) -> int:
        await self._over_now.wait()
        self._status.close()
        self.pump.drain()
        self.pump.close()
        if self._code is None and self.verdict is None:
            # Its keeper was killed, by code inside or with all of the place: which is told apart.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._supervisor.gone.wait(), _LAST_WORD_SECONDS)
        code = -signal.SIGKILL if self._code is None else self._code
        if self.verdict is None:
            self._judge(code)
        return code

    def _judge(self, code: int) -> None:
        if self._oom_kills() > self._oom_before:
            self.verdict = self.out_of_memory()
        elif -code == signal.SIGXFSZ:
            self.verdict = DiskLimit(f"{self._name} wrote more than {self.limits.disk_bytes} bytes")
        elif self._note.startswith(b"fork"):
            why = self._note[5:].decode(errors="replace")
            self.verdict = SandboxUnavailable(f"{self._name} could not be started: {why}")
        elif self._note.startswith(b"failed"):
            why = self._note[7:].decode(errors="replace")
            self.verdict = SandboxUnavailable(f"{self._name} could not be started: {why}")
        elif self._note:
            self.verdict = self.told(self._note)
        elif self._supervisor.gone.is_set():
            self.verdict = SandboxGone(f"the sandbox ended while {self._name} ran")


async def _writer(fd: int) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(fd, "wb", 0)
    )
    return asyncio.StreamWriter(transport, protocol, None, loop)


def _sender(beside: Sequence[tuple[int, int, bytes]]) -> int:
    """The process that sent a packet, by this machine's number: the kernel says so."""
    for level, kind, value in beside:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            pid: int = _CREDENTIALS.unpack(value[: _CREDENTIALS.size])[0]
            return pid
    return 0
