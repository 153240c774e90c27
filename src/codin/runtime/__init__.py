"""Running workloads anywhere, through one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codin.lazy import lazy_names

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
    "base": (
        "Class",
        "Command",
        "Container",
        "Deployment",
        "Endpoint",
        "Function",
        "Module",
        "RunFailure",
        "Runtime",
        "RuntimeFailure",
        "RuntimeResult",
        "Service",
        "UnsupportedWorkload",
        "Workload",
    ),
    "local": ("LocalRuntime",),
    "omni": (
        "OmniRuntime",
        "RunHandle",
    ),
}

__getattr__ = lazy_names(__name__, _HOMES)
