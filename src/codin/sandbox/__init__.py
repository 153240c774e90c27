"""Places for code that nobody has read."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codin.sandbox.base import (
        WORKSPACE,
        CodeResult,
        ExecResult,
        FileInfo,
        FileSystem,
        Isolation,
        Limits,
        Mount,
        OutputChunk,
        Process,
        Sandbox,
        SandboxProvider,
        SandboxSpec,
        SandboxSupport,
        Usage,
        Worker,
        WorkerCall,
    )
    from codin.sandbox.local import LocalSandboxProvider

_BASE = "codin.sandbox.base"
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
    home = "codin.sandbox.local" if name == "LocalSandboxProvider" else _BASE
    return getattr(import_module(home), name)
