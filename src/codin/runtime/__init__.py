"""Running workloads anywhere, through one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codin.lazy import lazy_names

if TYPE_CHECKING:
    from codin.runtime.base import (
        Artifact,
        Class,
        Command,
        Container,
        Deployment,
        Endpoint,
        Function,
        InstanceGone,
        Module,
        Retry,
        RunFailure,
        Runtime,
        RuntimeFailure,
        RuntimeResult,
        SecretRef,
        Service,
        UnsupportedWorkload,
        Workload,
    )
    from codin.runtime.docker import DockerRuntime
    from codin.runtime.http import HttpRuntime
    from codin.runtime.local import LocalRuntime
    from codin.runtime.omni import OmniRuntime, Policy, RunHandle
    from codin.runtime.sandboxed import SandboxRuntime
    from codin.runtime.secret import EnvironmentSecrets, Secrets

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
        "Class",
        "Command",
        "Container",
        "Deployment",
        "Endpoint",
        "Function",
        "InstanceGone",
        "Module",
        "Retry",
        "RunFailure",
        "Runtime",
        "RuntimeFailure",
        "RuntimeResult",
        "SecretRef",
        "Service",
        "UnsupportedWorkload",
        "Workload",
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
        "Secrets",
    ),
}

__getattr__ = lazy_names(__name__, _HOMES)
