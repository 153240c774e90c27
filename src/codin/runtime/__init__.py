"""Running workloads anywhere, through one call."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codin.runtime.base import (
        Class,
        Command,
        Container,
        Deployment,
        Endpoint,
        Function,
        Module,
        RunFailure,
        Runtime,
        RuntimeFailure,
        RuntimeResult,
        Service,
        UnsupportedWorkload,
        Workload,
    )
    from codin.runtime.local import LocalRuntime
    from codin.runtime.omni import OmniRuntime, RunHandle

__all__ = [
    "Class",
    "Command",
    "Container",
    "Deployment",
    "Endpoint",
    "Function",
    "LocalRuntime",
    "Module",
    "OmniRuntime",
    "RunFailure",
    "RunHandle",
    "Runtime",
    "RuntimeFailure",
    "RuntimeResult",
    "Service",
    "UnsupportedWorkload",
    "Workload",
]

_HOMES = {
    "LocalRuntime": "codin.runtime.local",
    "OmniRuntime": "codin.runtime.omni",
    "RunHandle": "codin.runtime.omni",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'codin.runtime' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "codin.runtime.base")), name)
