"""Places for code that nobody has read."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codin.sandbox.base import (
        WORKSPACE,
        FileInfo,
        FileSystem,
        Isolation,
        Limits,
        Mount,
        Process,
        Sandbox,
        SandboxProvider,
        SandboxSpec,
        SandboxSupport,
    )
    from codin.sandbox.local import LocalSandboxProvider
    from codin.sandbox.outcome import CodeResult, ExecResult, OutputChunk, Usage
    from codin.sandbox.worker.base import Worker, WorkerCall

_HOMES = {
    "LocalSandboxProvider": "codin.sandbox.local",
    "Worker": "codin.sandbox.worker.base",
    "WorkerCall": "codin.sandbox.worker.base",
}
__all__ = [
    "WORKSPACE",
    "CodeResult",
    "ExecResult",
    "FileInfo",
    "FileSystem",
    "Isolation",
    "Limits",
    "LocalSandboxProvider",
    "Mount",
    "OutputChunk",
    "Process",
    "Sandbox",
    "SandboxProvider",
    "SandboxSpec",
    "SandboxSupport",
    "Usage",
    "Worker",
    "WorkerCall",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'codin.sandbox' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "codin.sandbox.base")), name)
