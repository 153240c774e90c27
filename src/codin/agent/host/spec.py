"""What an agent host is started with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from codin.agent.host.packages import PLATFORMS, Environment
from codin.sandbox.base import Mount


@dataclass(frozen=True, slots=True)
class HostLimits:
    """What one host may use; ``None``: as much as hosts may when nothing is said. ``cpus`` are
    processors at a time."""

    memory_mb: int | None = None
    processes: int | None = None
    cpus: float | None = None


AS_ALL = HostLimits()
"""Those of all hosts."""


@dataclass(frozen=True, slots=True)
class HostSpec:
    """What a host is started with, kept for starting it again.

    ``sources`` are files or folders of this machine, or ``module:attr``; a file may name one of
    its objects, ``path/to/file.py:attr``. ``network`` are the ``host:port`` that it may connect to,
    ``environment`` has its packages, and ``limits`` what it may use, besides its network.
    """

    name: str
    sources: tuple[str, ...]
    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    network: tuple[str, ...] = ()
    environment: Environment = PLATFORMS
    limits: HostLimits = AS_ALL
