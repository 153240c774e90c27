"""Workloads, and the one call that runs them anywhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from codin.errors import CodinError
from codin.sandbox.base import Limits, Mount
from codin.sandbox.outcome import OutputChunk, Usage


class RuntimeFailure(CodinError):
    """Base of the runtime's errors."""


class UnsupportedWorkload(RuntimeFailure):
    """This backend does not run that kind of workload; the message names those that do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadOptions:
    """What every kind of workload may ask for."""

    limits: Limits | None = None
    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Function(WorkloadOptions):
    """Call ``module:qualname``. With ``source``, the module is made from that text."""

    target: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Module(WorkloadOptions):
    """Run a module of a source bundle, as ``python -m`` would. ``files`` is the bundle."""

    name: str
    files: Mapping[str, str] = field(default_factory=dict)
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Class(WorkloadOptions):
    """Construct ``module:qualname`` and call ``method`` on it; ``instance`` names one to keep."""

    target: str
    method: str
    init_args: tuple[Any, ...] = ()
    init_kwargs: Mapping[str, Any] = field(default_factory=dict)
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None
    instance: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(WorkloadOptions):
    """Run an argv; never a shell."""

    argv: tuple[str, ...]
    stdin: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container(WorkloadOptions):
    """Run an image."""

    image: str
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint(WorkloadOptions):
    """Call an HTTP endpoint."""

    url: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


Workload = Function | Module | Class | Command | Container | Endpoint

WORKLOAD_KINDS: tuple[type, ...] = (Function, Module, Class, Command, Container, Endpoint)

_CODE = ("local", "docker", "kubernetes", "ray", "daytona", "e2b")
_BACKENDS: Mapping[type, tuple[str, ...]] = {
    Function: _CODE,
    Module: _CODE,
    Class: _CODE,
    Command: _CODE,
    Container: ("docker", "kubernetes", "daytona"),
    Endpoint: ("local", "docker", "kubernetes", "ray", "http"),
}


def backends_for(kind: type) -> tuple[str, ...]:
    """The names of the backends that run workloads of ``kind``, whether they are here or not."""
    return _BACKENDS.get(kind, ())


@dataclass(frozen=True, slots=True)
class RunFailure:
    """Why a workload did not end well, as data: the error's type, message and traceback."""

    type_name: str
    message: str
    traceback: str = ""


class RuntimeResult(ABC):
    """The run of a workload.

    With ``stream=True`` it is given at once: iterate ``output()``, then ``await done()``.
    Without, it is given when the run has ended, and ``done()`` returns at once.
    """

    value: Any
    exit_code: int | None
    stdout: bytes
    stderr: bytes
    usage: Usage
    failure: RunFailure | None
    limits_hit: tuple[str, ...]

    @property
    @abstractmethod
    def ended(self) -> bool:
        """Whether the run has ended, and all fields are what they will be."""

    @property
    def ok(self) -> bool:
        """Whether it ended without an error and, for a command, with exit code 0."""
        return self.failure is None and self.exit_code in (None, 0)

    @abstractmethod
    def output(self) -> AsyncIterator[OutputChunk]: ...

    @abstractmethod
    async def done(self) -> RuntimeResult:
        """This result, complete."""

    @abstractmethod
    async def cancel(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Service(WorkloadOptions):
    """Something long-running: an agent host, a tool server.

    It is started with ``argv`` in a sandbox and serves on the Unix socket at ``socket`` inside
    ``run_dir``, a folder of this machine that is shown writable in the sandbox at ``/run/codin``.
    It is ready when that socket answers ``GET health_path`` with 200. Its stdin ends when whoever
    deployed it does, however that happens.
    """

    name: str
    argv: tuple[str, ...]
    run_dir: str
    socket: str = "service.sock"
    health_path: str = "/healthz"
    ready_seconds: float = 60.0

    @property
    def run_path(self) -> Path:
        """``run_dir`` as a path of this machine."""
        return Path(self.run_dir)


Health = Literal["starting", "healthy", "unhealthy", "stopped"]


class Deployment(ABC):
    """A service that runs. ``endpoint`` is the host path of its Unix socket, or its URL."""

    service: Service
    endpoint: str

    @abstractmethod
    async def health(self) -> Health: ...

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

    def run_sync(self, workload: Workload, /) -> RuntimeResult:
        """``run`` for code that has no event loop.

        Raises:
            RuntimeError: when called from a running event loop.
        """
        import anyio

        return anyio.run(self.run, workload)

    @abstractmethod
    async def close(self) -> None:
        """End all that runs here."""
