"""The contract of a sandbox: a place for code that nobody has read."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal, Self

from codin.errors import InvalidInputError
from codin.sandbox.filesystem import FileSystem
from codin.sandbox.network.refusal import Refusal
from codin.sandbox.outcome import CodeResult, ExecResult, OnOutput, OutputChunk
from codin.sandbox.worker.base import Worker

WORKSPACE = "/workspace"
"""Where a sandbox's own files are, and the working directory of what runs in it."""

PACKAGES = "/packages"
"""Where the packages of ``SandboxSpec.requirements`` are: read-only, scripts in ``bin``."""

MIB = 1024 * 1024


class Isolation(StrEnum):
    """Named levels, weakest first. A request names the least that it accepts."""

    PROCESS = "process"
    NAMESPACE = "namespace"
    GVISOR = "gvisor"
    CONTAINER = "container"


LIMITED = (
    "cpu_seconds",
    "memory_bytes",
    "processes",
    "disk_bytes",
    "wall_seconds",
    "output_bytes",
)
"""The limits that are numbers."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a sandbox may use. ``None`` means: no limit asked for.

    ``memory_bytes`` is of all that runs in the sandbox together. ``disk_bytes`` is what the
    workspace and writable mounts may hold, whoever wrote it, and apart from that what each command
    may have in ``/tmp``. ``cpu_seconds`` (of all its processes together, a Worker's since its
    start), ``processes``, ``wall_seconds`` and ``output_bytes`` are of each command, or of each
    call of a Worker. ``cpus`` are the processors that the sandbox may keep busy at a time, such as
    ``0.5``; limits of one command do not change it.
    ``network`` is ``"none"`` (the default), ``"open"``, or a tuple of allowed
    ``host:port``, ``[address]:port`` or ``*.example.org:port``: see ``security.targets.AllowList``.
    With a tuple, also an empty one, there is a proxy inside that says what it refuses. It is the
    sandbox's: limits of one command do not change it.

    Raises:
        InvalidInputError: a limit that is not above zero, or an entry that is no ``host:port``.
    """

    cpu_seconds: float | None = None
    memory_bytes: int | None = 1024 * MIB
    processes: int | None = 64
    disk_bytes: int | None = 512 * MIB
    wall_seconds: float | None = 60.0
    output_bytes: int | None = 1 * MIB
    cpus: float | None = None
    network: Literal["none", "open"] | tuple[str, ...] = "none"

    def __post_init__(self) -> None:
        for name in (*LIMITED, "cpus"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InvalidInputError(
                    f"{name} is above zero, not {value!r}; None asks for no limit"
                )
        if isinstance(self.network, str):
            if self.network not in {"none", "open"}:
                raise InvalidInputError(
                    f"the network is 'none', 'open' or a tuple of host:port, not {self.network!r}"
                )
        else:
            from codin.security.targets import AllowList

            AllowList(self.network)
            object.__setattr__(self, "network", tuple(self.network))


@dataclass(frozen=True, slots=True)
class Mount:
    """A host path shown inside. Read-only unless said otherwise."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """What a sandbox is to be.

    ``machine`` asks for one machine: its commands share processes, ``/tmp`` and the network inside,
    and ``expose`` works. Without it a backend may keep each command apart from the others.
    ``workspace`` is the host folder shown at ``/workspace``, writable; ``None`` gives a fresh one
    that goes with the sandbox. ``env`` is all of the environment that code inside sees besides a
    minimal one; nothing of the host's is inherited. ``requirements`` are packages as PEP 508 writes
    them (``"pandas>=2"``; no URLs, no paths): built once, shown read-only at ``/packages``, and
    found by Workers, by Python (``PYTHONPATH``) and in ``PATH``. A ``PYTHONPATH`` or ``PATH`` in
    ``env`` stands instead. ``name`` is what
    the log calls it.
    """

    limits: Limits = field(default_factory=Limits)
    least: Isolation = Isolation.NAMESPACE
    workspace: Path | None = None
    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    machine: bool = False
    requirements: tuple[str, ...] = ()
    name: str = ""


class Process(ABC):
    """A command that runs inside, started by ``Sandbox.start``."""

    @abstractmethod
    def output(self) -> AsyncIterator[OutputChunk]:
        """Output until the end of the command. ``OutputLimit`` when it is too much."""

    @abstractmethod
    async def write(self, data: bytes) -> None:
        """Write to its standard input."""

    @abstractmethod
    async def close_stdin(self) -> None: ...

    @abstractmethod
    async def wait(self) -> ExecResult:
        """The end of the command, with the output that ``output`` has not given already.

        Raises:
            LimitExceeded: ``SandboxTimeout``, ``OutOfMemory``, ``OutputLimit``, ``DiskLimit``.
            CommandNotFound, PermissionDenied
        """

    @abstractmethod
    async def signal(self, number: int) -> None:
        """Send a signal, by its number, to the command itself. Nothing happens after its end."""

    @abstractmethod
    async def kill(self) -> None:
        """End it and everything that it started."""


class Sandbox(ABC):
    """A place for code that nobody has read: no network, no host files, no host environment.

    Raises, for every verb: ``SandboxGone`` after its end.
    """

    id: str
    isolation: Isolation
    limits: Limits

    @property
    @abstractmethod
    def fs(self) -> FileSystem: ...

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """Connections that its allow-list refused, oldest first, each once. Also after its end."""
        return ()

    @abstractmethod
    async def start(
        self,
        argv: Sequence[str],
        *,
        cwd: str = WORKSPACE,
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        stdin: bool = False,
        leave: bool = False,
    ) -> Process:
        """Start a command. ``limits`` may only tighten the sandbox's own.

        Each command has processes and a ``/tmp`` of its own, and shares ``/workspace``. When it
        ends, whatever it started and left behind ends too. ``leave`` lets it go on where the
        sandbox is one machine, under the command's limits, until the sandbox ends; the command
        ends for whoever waits for it when it has, and all that holds its output has.

        Raises:
            SandboxUnavailable: nothing can be left behind here.
        """

    @abstractmethod
    async def exec(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        cwd: str = WORKSPACE,
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        on_output: OnOutput | None = None,
    ) -> ExecResult:
        """Run a command to its end; a non-zero exit code is a result, not an exception.

        Raises:
            LimitExceeded: ``SandboxTimeout``, ``OutOfMemory``, ``OutputLimit``, ``DiskLimit``.
            CommandNotFound, PermissionDenied
            SandboxFileNotFound: there is no ``cwd``.
            InvalidInputError: ``argv`` is no command.
        """

    @abstractmethod
    async def run_code(
        self,
        code: str,
        *,
        language: str = "python",
        session: str = "main",
        timeout: float | None = None,
        on_output: OnOutput | None = None,
    ) -> CodeResult:
        """Run code that keeps its state between calls of one session. See ``Worker.run_code``.

        Each session has a process of its own. When that ends, by a limit or by itself, the next
        call begins a fresh one and says so (``state_lost``). Code that ends its own process is
        told by the result's ``error``.
        """

    @abstractmethod
    async def worker(self) -> Worker:
        """A fresh Worker inside this sandbox; the caller closes it."""

    @abstractmethod
    async def expose(self, port: int) -> str:
        """The URL at which a TCP port that is listened to inside is reached from this machine.

        The same port has the same URL until the sandbox ends. Nothing has to listen yet: a
        connection is refused while nothing does.

        Raises:
            SandboxUnavailable: the sandbox is no ``machine``, so no port is of all of it.
        """

    @abstractmethod
    async def kill(self) -> None:
        """End the sandbox and everything in it. Safe to call twice."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()


@dataclass(frozen=True, slots=True)
class SandboxSupport:
    """What a provider can do on this machine, found by trying.

    ``enforced`` names the fields of ``Limits`` that really bite; ``reason`` says what is missing
    and how to get it when ``available`` is false.
    """

    isolation: Isolation
    available: bool
    enforced: frozenset[str] = frozenset()
    reason: str = ""


class SandboxProvider(ABC):
    """Makes sandboxes of one kind."""

    name: str

    @abstractmethod
    async def probe(self) -> SandboxSupport:
        """What this machine really gives. Tried once, then remembered. Never raises."""

    async def probe_for(self, least: Isolation) -> SandboxSupport:
        """What it gives to who accepts no less than ``least``. Never raises."""
        return await self.probe()

    @abstractmethod
    async def create(self, spec: SandboxSpec) -> Sandbox:
        """A new sandbox.

        Raises:
            SandboxUnavailable: the isolation, or a limit that was asked for, cannot be had here.
                There is never a weaker one instead.
            PermissionDenied: a workspace or a mount that cannot be shown.
            PackageError: the requirements cannot be had (``codin.sandbox.packages``).
        """

    async def close(self) -> None:  # noqa: B027 - a provider that holds nothing needs none
        """End every sandbox that was made here. Safe to call twice."""
