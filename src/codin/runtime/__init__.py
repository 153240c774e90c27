"""Running workloads anywhere, through one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codin.lazy import lazy_names

if TYPE_CHECKING:
    from codin.runtime.base import (
        Artifact,
        Deployment,
        InstanceGone,
        RunFailure,
        Runtime,
        RuntimeFailure,
        RuntimeResult,
        Service,
        UnsupportedWorkload,
    )
    from codin.runtime.docker import DockerRuntime
    from codin.runtime.http import HttpRuntime
    from codin.runtime.local import LocalRuntime
    from codin.runtime.omni import OmniRuntime, Policy, RunHandle
    from codin.runtime.sandboxed import SandboxRuntime
    from codin.runtime.secret import EnvironmentSecrets, SecretRef, Secrets
    from codin.runtime.workload import (
        Class,
        Command,
        Container,
        Endpoint,
        Function,
        Module,
        Retry,
        Workload,
    )

__all__ = [
    "Artifact",
    "Class",
    "Command",
    "Container",
    "Deployment",
    "DockerRuntime",
    "Endpoint",
    "EnvironmentSecrets",
    "Function",
    "HttpRuntime",
    "InstanceGone",
    "LocalRuntime",
    "Module",
    "OmniRuntime",
    "Policy",
    "Retry",
    "RunFailure",
    "RunHandle",
    "Runtime",
    "RuntimeFailure",
    "RuntimeResult",
    "SandboxRuntime",
    "SecretRef",
    "Secrets",
    "Service",
    "UnsupportedWorkload",
    "Workload",
]

_HOMES = {
    "base": (
        "Artifact",
        "Deployment",
        "InstanceGone",
        "RunFailure",
        "Runtime",
        "RuntimeFailure",
        "RuntimeResult",
        "Service",
        "UnsupportedWorkload",
    ),
    "docker": ("DockerRuntime",),
    "http": ("HttpRuntime",),
    "local": ("LocalRuntime",),
    "omni": (
        "OmniRuntime",
        "Policy",
        "RunHandle",
    ),
    "sandboxed": ("SandboxRuntime",),
    "secret": (
        "EnvironmentSecrets",
        "SecretRef",
        "Secrets",
    ),
    "workload": (
        "Class",
        "Command",
        "Container",
        "Endpoint",
        "Function",
        "Module",
        "Retry",
        "Workload",
    ),
}

__getattr__ = lazy_names(__name__, _HOMES)
