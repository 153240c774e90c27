"""Agent hosts: agents in a sandboxed process of their own, reached over A2A on a Unix socket.

Inside the sandbox ``python -m codin.agent.host`` serves the agents; outside of it `AgentHosts`
starts, watches and restarts such processes. What an agent needs of the platform (tools, models,
memory, logs) it gets through the host API, with the token of the run and no other.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codin.agent.host.hosted import HostedAgent
    from codin.agent.host.launcher import AgentHost, AgentHosts
    from codin.agent.host.wire import (
        HostCrashLoop,
        HostDied,
        HostError,
        HostProblem,
        HostStartError,
        PlatformRefused,
    )

_HOMES = {
    "AgentHost": "launcher",
    "AgentHosts": "launcher",
    "HostCrashLoop": "wire",
    "HostDied": "wire",
    "HostError": "wire",
    "HostProblem": "wire",
    "HostStartError": "wire",
    "HostedAgent": "hosted",
    "PlatformRefused": "wire",
}

__all__ = [
    "AgentHost",
    "AgentHosts",
    "HostCrashLoop",
    "HostDied",
    "HostError",
    "HostProblem",
    "HostStartError",
    "HostedAgent",
    "PlatformRefused",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"codin.agent.host.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'codin.agent.host' has no attribute {name!r}")
