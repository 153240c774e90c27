"""Places for code that nobody has read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codin.lazy import lazy_names

if TYPE_CHECKING:
    from codin.sandbox.base import (
        PACKAGES,
        WORKSPACE,
        Isolation,
        Limits,
        Mount,
        Process,
        Sandbox,
        SandboxProvider,
        SandboxSpec,
        SandboxSupport,
    )
    from codin.sandbox.filesystem import ChangeKind, FileChange, FileInfo, FileSystem
    from codin.sandbox.local import LocalSandboxProvider
    from codin.sandbox.network.refusal import Refusal
    from codin.sandbox.outcome import CodeResult, ExecResult, OutputChunk, Usage
    from codin.sandbox.pool import PoolPolicy, Reuse, WorkerPool
    from codin.sandbox.worker.base import Worker, WorkerCall

_HOMES = {
    "base": (
        "Isolation",
        "Limits",
        "Mount",
        "PACKAGES",
        "Process",
        "Sandbox",
        "SandboxProvider",
        "SandboxSpec",
        "SandboxSupport",
        "WORKSPACE",
    ),
    "filesystem": (
        "ChangeKind",
        "FileChange",
        "FileInfo",
        "FileSystem",
    ),
    "outcome": (
        "CodeResult",
        "ExecResult",
        "OutputChunk",
        "Usage",
    ),
    "local": ("LocalSandboxProvider",),
    "network.refusal": ("Refusal",),
    "pool": ("PoolPolicy", "Reuse", "WorkerPool"),
    "worker.base": (
        "Worker",
        "WorkerCall",
    ),
}
__all__ = [
    "PACKAGES",
    "WORKSPACE",
    "ChangeKind",
    "CodeResult",
    "ExecResult",
    "FileChange",
    "FileInfo",
    "FileSystem",
    "Isolation",
    "Limits",
    "LocalSandboxProvider",
    "Mount",
    "OutputChunk",
    "PoolPolicy",
    "Process",
    "Refusal",
    "Reuse",
    "Sandbox",
    "SandboxProvider",
    "SandboxSpec",
    "SandboxSupport",
    "Usage",
    "Worker",
    "WorkerCall",
    "WorkerPool",
]

__getattr__ = lazy_names(__name__, _HOMES)
