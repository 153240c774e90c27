"""What can be run: the kinds of workload, and what each may ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codin.errors import InvalidInputError
from codin.runtime.secret import SecretRef
from codin.sandbox.base import Isolation, Limits, Mount
from codin.sandbox.pool import Reuse

LEASE_SECONDS = 600.0
"""How long an instance lives after its last call, when nothing is said."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again what failed, up to ``times`` more times.

    The waits begin with ``first_seconds`` and double, ``most_seconds`` at most, less a share of
    chance. ``on`` names what is worth it: types of failures (``"ConnectionError"``), fields of
    ``Limits`` that bit (``"memory_bytes"``), ``"exit_code"``, or a status (``"503"``); empty means
    all of them. A run of which an item has been given is not tried again.

    Raises:
        InvalidInputError: a number below zero.
    """

    times: int = 2
    on: tuple[str, ...] = ()
    first_seconds: float = 0.1
    most_seconds: float = 10.0

    def __post_init__(self) -> None:
        if self.times < 0 or not 0 <= self.first_seconds <= self.most_seconds:
            raise InvalidInputError(
                "a retry has times >= 0 and 0 <= first_seconds <= most_seconds, not "
                f"{self.times}, {self.first_seconds:g} and {self.most_seconds:g}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadOptions:
    """What every kind of workload may ask for.

    ``least`` is the weakest isolation that it accepts. ``requirements`` are packages that its code
    finds, as ``SandboxSpec`` has them. ``owner`` is whose it is: what is kept warm is never shared
    by two owners. ``artifacts`` are patterns of files below ``/workspace`` that
    are taken out after the run (``*`` stands for anything, ``/`` too); they are in the result, or
    in the folder ``artifacts_to`` of this machine where one is given.
    """

    limits: Limits | None = None
    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    least: Isolation | None = None
    requirements: tuple[str, ...] = ()
    owner: str = ""
    retries: Retry | None = None
    artifacts: tuple[str, ...] = ()
    artifacts_to: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Function(WorkloadOptions):
    """Call ``module:qualname``.

    With ``source``, the module is made from that text. ``bundle`` has files that can be imported,
    by path (``"pack/__init__.py"``). ``pickled`` is a callable that cloudpickle wrote, for a
    sandbox whose Python has the same minor version; ``target`` is its name then. ``reuse`` says
    whether it may find what calls of the same owner have left: nothing (``ONE_SHOT``), their files
    (``FORK``), or all of their state (``KEEP``).
    """

    target: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None
    bundle: Mapping[str, str] = field(default_factory=dict)
    pickled: bytes | None = None
    reuse: Reuse = Reuse.ONE_SHOT

    @classmethod
    def of(cls, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Function:
        """A call of ``function``, which is brought along as it has to be.

        A module of the standard library goes by its name. A function of the top level of any other
        goes as the source of its module, of its whole package where that is in one. What has no
        such place (a lambda, a closure, a method of an object) is pickled by cloudpickle.

        Raises:
            InvalidInputError: it can be shipped in none of these ways.
        """
        from codin.runtime._shipping import shipped

        return cls(args=args, kwargs=kwargs, **shipped(function))


@dataclass(frozen=True, slots=True, kw_only=True)
class Module(WorkloadOptions):
    """Run a module of a source bundle, as ``python -m`` would. ``files`` is the bundle."""

    name: str
    files: Mapping[str, str] = field(default_factory=dict)
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Class(WorkloadOptions):
    """Construct ``module:qualname`` and call ``method`` on it.

    ``instance`` names one to keep for later calls of the same owner. It ends ``lease_seconds``
    after its last call; a later one fails with ``InstanceGone``, or begins a new one with
    ``fresh``. ``instances`` is how many of that name there may be, among which calls are spread.
    ``source``, ``bundle`` and ``pickled`` are as a ``Function``'s.
    """

    target: str
    method: str
    init_args: tuple[Any, ...] = ()
    init_kwargs: Mapping[str, Any] = field(default_factory=dict)
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None
    bundle: Mapping[str, str] = field(default_factory=dict)
    pickled: bytes | None = None
    instance: str | None = None
    instances: int = 1
    lease_seconds: float | None = LEASE_SECONDS
    fresh: bool = False

    @classmethod
    def of(cls, type_: Callable[..., Any], method: str, /, *args: Any, **options: Any) -> Class:
        """A call of ``method(*args)`` on a new ``type_``, which is brought along as a ``Function``
        is; ``options`` are the other fields.

        Raises:
            InvalidInputError
        """
        from codin.runtime._shipping import shipped

        return cls(method=method, args=args, **{**shipped(type_), **options})


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(WorkloadOptions):
    """Run an argv; never a shell."""

    argv: tuple[str, ...]
    stdin: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container(WorkloadOptions):
    """Run an image; with ``argv`` instead of its own command."""

    image: str
    argv: tuple[str, ...] = ()
    stdin: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint(WorkloadOptions):
    """Call an HTTP endpoint.

    The body of the answer is output, as it comes; of a stream of server-sent events each event is
    an item too. Redirects are not followed. ``auth`` names a secret, which is looked up at the
    call. Methods that may be repeated (GET, HEAD, PUT, DELETE, OPTIONS) are tried twice more when
    nothing is said; others only with ``retries``.
    """

    url: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    auth: SecretRef | None = None


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

BACKENDS = ("local", "docker", "kubernetes", "ray", "http", "daytona", "e2b")
"""The names of all backends, whether they are here or not."""


def backends_for(kind: type) -> tuple[str, ...]:
    """The names of the backends that run workloads of ``kind``, whether they are here or not."""
    return _BACKENDS.get(kind, ())
