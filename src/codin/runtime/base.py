"""The one call that runs workloads anywhere, and what comes of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from codin.errors import CodinError
from codin.runtime.workload import Workload, WorkloadOptions, backends_for
from codin.sandbox.network.refusal import Refusal
from codin.sandbox.outcome import OutputChunk, Usage


class RuntimeFailure(CodinError):
    """Base of the runtime's errors."""


class UnsupportedWorkload(RuntimeFailure):
    """This backend does not run that kind of workload; the message names those that do."""


class InstanceGone(RuntimeFailure):
    """The lease of an instance has ended, and its state is lost; ``fresh=True`` begins anew."""


@dataclass(frozen=True, slots=True)
class RunFailure:
    """Why a workload did not end well, as data: the error's type, message and traceback."""

    type_name: str
    message: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that a run left behind: its path below ``/workspace``, and what is in it.

    ``file`` is where it is on this machine, and ``data`` is ``None`` then.
    """

    path: str
    data: bytes | None = None
    file: Path | None = None


class RuntimeResult(ABC):
    """The run of a workload.

    With ``stream=True`` it is given at once: iterate ``output()`` or ``items()``, then
    ``await done()``. Without, it is given when the run has ended, and ``done()`` returns at once.
    ``attempts`` is how often it was tried; output is that of all of them.
    """

    value: Any
    exit_code: int | None
    stdout: bytes
    stderr: bytes
    usage: Usage
    failure: RunFailure | None
    limits_hit: tuple[str, ...]
    artifacts: tuple[Artifact, ...]
    attempts: int

    @property
    @abstractmethod
    def ended(self) -> bool:
        """Whether the run has ended, and all fields are what they will be."""

    @property
    def ok(self) -> bool:
        """Whether it ended without an error and, for a command, with exit code 0."""
        return self.failure is None and self.exit_code in (None, 0)

    @abstractmethod
    def output(self) -> AsyncIterator[OutputChunk]:
        """Output from its beginning, and on until its end."""

    @abstractmethod
    def items(self) -> AsyncIterator[Any]:
        """What a generator yields (or an endpoint's events), from the first, until the end.

        Its failure is in ``failure``, after the last item, and not raised here.
        """

    @abstractmethod
    async def done(self) -> RuntimeResult:
        """This result, complete.

        Raises:
            asyncio.CancelledError: the run was cancelled.
        """

    @abstractmethod
    async def cancel(self) -> None:
        """End the run; nothing of it is left. Safe to call twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service(WorkloadOptions):
    """Something long-running: an agent host, a tool server.

    It is started with ``argv`` in a sandbox. It serves on the Unix socket at ``socket`` inside
    ``run_dir``, a folder of this machine that is shown writable in the sandbox at ``/run/codin``;
    or, without a ``run_dir``, on the first of its ``ports``, each of which is reached from this
    machine only. It is ready when that answers ``GET health_path`` with 200. Its stdin ends when
    whoever deployed it does, however that happens.

    With ``restart="on-failure"`` it is started again when it ends with an error, up to
    ``restarts`` times, after waits that begin with half a second and double up to 30 s.
    """

    name: str
    argv: tuple[str, ...]
    run_dir: str = ""
    socket: str = "service.sock"
    ports: tuple[int, ...] = ()
    health_path: str = "/healthz"
    ready_seconds: float = 60.0
    restart: Literal["never", "on-failure"] = "never"
    restarts: int = 5

    @property
    def run_path(self) -> Path:
        """``run_dir`` as a path of this machine."""
        return Path(self.run_dir)


Health = Literal["starting", "healthy", "unhealthy", "stopped"]


class Deployment(ABC):
    """A service that runs. ``endpoint`` is the host path of its Unix socket, or its URL."""

    service: Service
    endpoint: str

    @property
    def ports(self) -> Mapping[int, str]:
        """The URL on this machine of each port of the service."""
        return {}

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """Connections that its network refused, since it was last started."""
        return ()

    @property
    def restarts(self) -> int:
        """How often it has been started again."""
        return 0

    @property
    @abstractmethod
    def ended(self) -> bool:
        """Whether its process has ended for good; nobody is asked for that."""

    @abstractmethod
    async def health(self) -> Health:
        """How it is: for that, it is asked."""

    @abstractmethod
    def logs(self, *, follow: bool = False) -> AsyncIterator[str]:
        """Lines of its output, oldest first."""

    @abstractmethod
    async def stop(self) -> None:
        """End it and everything that it started. Safe to call twice."""


class Runtime(ABC):
    """Runs workloads on one kind of backend."""

    name: str
    supports: frozenset[type]

    @abstractmethod
    async def run(self, workload: Workload, /, *, stream: bool = False) -> RuntimeResult:
        """Run ``workload`` inside its limits.

        What the workload does wrong is in the result (``failure``, ``exit_code``,
        ``limits_hit``); cancelling the caller ends the run.

        Raises:
            UnsupportedWorkload: the backend does not run that kind.
            SandboxUnavailable: the isolation asked for cannot be had.
        """

    @abstractmethod
    async def deploy(self, service: Service) -> Deployment:
        """Start ``service`` and return when it is ready.

        Raises:
            RuntimeFailure: it ended or did not get ready in time; the message has its last lines.
        """

    async def misfit(self, workload: Workload, /) -> str:
        """Why this backend cannot run ``workload`` here, and how it could; empty when it can."""
        return "" if type(workload) in self.supports else str(unsupported(self.name, workload))

    def run_sync(self, workload: Workload, /) -> RuntimeResult:
        """``run`` for code that has no event loop.

        Each such call has a loop and a runtime of its own, like this one: nothing is kept warm,
        and an instance that is kept by name is kept until the end of the call only.

        Raises:
            RuntimeError: when called from a running event loop.
        """
        import anyio

        async def alone() -> RuntimeResult:
            twin = self._twin()
            try:
                return await twin.run(workload)
            finally:
                if twin is not self:
                    await twin.close()

        return anyio.run(alone)

    def _twin(self) -> Runtime:
        """One like this for a loop of its own; this one, where it holds nothing of a loop."""
        return self

    @abstractmethod
    async def close(self) -> None:
        """End all that runs here."""


def unsupported(backend: str, workload: object) -> UnsupportedWorkload:
    """The error of a backend that does not run workloads of that kind."""
    kind = type(workload)
    does = ", ".join(backends_for(kind)) or "none"
    return UnsupportedWorkload(
        f"the {backend} backend does not run {kind.__name__}; these do: {does}"
    )
