"""One command apart from everything else, from its start until nothing of it is left."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from codin.sandbox.base import Limits
from codin.sandbox.box.meter import Meter, Sample
from codin.sandbox.box.pump import OutputPump
from codin.sandbox.errors import (
    CommandNotFound,
    CpuLimit,
    LimitExceeded,
    OutOfMemory,
    OutputLimit,
    PermissionDenied,
    SandboxError,
    SandboxFileNotFound,
)
from codin.sandbox.outcome import Usage

NOTES: dict[bytes, tuple[type[SandboxError], str]] = {
    b"missing": (
        CommandNotFound,
        "is no command inside the sandbox; packages may bring it (requirements), or a mount",
    ),
    b"denied": (PermissionDenied, "is not a program that may be run"),
    b"nowhere": (SandboxFileNotFound, "has no working directory: it is not there, inside"),
}
"""What is told from inside of a command that could not be started at all."""


class Input(Protocol):
    """Where a command's standard input is written: as ``asyncio.StreamWriter`` does it."""

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None: ...

    def close(self) -> None: ...

    async def wait_closed(self) -> None: ...


class Box(ABC):
    """A started command.

    It ends by itself, by ``end``, or with the platform; all that it started ends with it.
    ``verdict`` is why it was ended, where it did not end by itself. ``active`` is false while
    nothing runs in it that has to be watched closely.
    """

    def __init__(self, limits: Limits, argv: Sequence[str]) -> None:
        self.limits = limits
        self.argv = list(argv)
        self.active = True
        self.verdict: SandboxError | None = None
        self.pump = OutputPump(self._over)
        self.started = time.monotonic()
        self._meter: Meter
        self._loop = asyncio.get_running_loop()
        self._finished: asyncio.Future[int] | None = None

    @property
    @abstractmethod
    def stdin(self) -> Input | None:
        """Its standard input, where it was asked for."""

    @abstractmethod
    def signal(self, number: int) -> None:
        """Send a signal to the command, not to what it started. Nothing happens after its end."""

    @abstractmethod
    def _kill(self) -> None:
        """Begin to kill it and all that it started. Called again, it does not harm."""

    @property
    def alive(self) -> bool:
        return self._finished is None or not self._finished.done()

    @property
    def launched(self) -> bool:
        """Whether there has ever been anything to end."""
        return self._finished is not None

    def end(self, reason: SandboxError | None = None) -> None:
        """Kill it and all that it started. Returns at once; ``wait`` waits until it is so."""
        if not self.alive:
            return
        if self.verdict is None:
            self.verdict = reason
        self._kill()

    async def wait(self) -> int:
        """Until nothing of it is left; gives the exit code, negative for a signal.

        Raises:
            LimitExceeded: a limit ended it.
            CommandNotFound, PermissionDenied, SandboxFileNotFound: nothing to start, or nowhere.
            SandboxUnavailable: it could not be put apart.
        """
        assert self._finished is not None
        code = await asyncio.shield(self._finished)
        if self.verdict is not None:
            raise self.verdict
        return code

    async def exited(self) -> int:
        """Until the command itself has ended, and its output; gives the exit code.

        Where nothing may be left behind, that is when nothing is. Raises what ``wait`` does.
        """
        return await self.wait()

    def check(self, sample: Sample) -> None:
        """End it when it has used more than it may."""
        limits = self.limits
        if limits.cpu_seconds is not None and sample.cpu_seconds > limits.cpu_seconds:
            used = f"more than {limits.cpu_seconds:g} s of processor time was used"
            self.end(CpuLimit(f"{used} by {self._name}; ask for more cpu_seconds, or do less"))
        elif sample.oom_kills or (
            limits.memory_bytes is not None and sample.memory_bytes > limits.memory_bytes
        ):
            self.end(self.out_of_memory())
        elif limits.processes is not None and sample.processes > 2 * limits.processes:
            self.end(PermissionDenied(f"{self._name} started too many processes"))

    def sample(self) -> Sample:
        return self._meter.sample()

    @property
    def meter(self) -> Meter:
        """What measures it, once it has been started."""
        return self._meter

    def usage(self) -> Usage:
        """What it used since its start."""
        sample = self._meter.sample()
        return Usage(time.monotonic() - self.started, sample.cpu_seconds, self._meter.peak())

    def _over(self) -> None:
        self.end(
            OutputLimit(
                f"{self._name} printed more than {self.limits.output_bytes} bytes; "
                "print less, or write to a file"
            )
        )

    def out_of_memory(self) -> LimitExceeded:
        return OutOfMemory(
            f"{self._name} used more than {self.limits.memory_bytes} bytes of memory"
        )

    def told(self, note: bytes) -> SandboxError | None:
        """The error for a note of why it could not be started."""
        kind, why = NOTES.get(note.strip(), (None, ""))
        return None if kind is None else kind(f"{self.argv[0]!r} {why}")

    @property
    def _name(self) -> str:
        return repr(Path(self.argv[0]).name)
