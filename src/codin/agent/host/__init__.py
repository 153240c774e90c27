"""Agent hosts: agents in a sandboxed process of their own, reached over A2A on a Unix socket.

Inside the sandbox ``python -m codin.agent.host`` serves the agents; outside of it `AgentHosts`
starts, watches and restarts such processes. What an agent needs of the platform (tools, models,
memory, logs) it gets through the host API, with the token of the run and no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codin.lazy import lazy_names

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
    "hosted": ("HostedAgent",),
    "launcher": (
        "AgentHost",
        "AgentHosts",
    ),
    "wire": (
        "HostCrashLoop",
        "HostDied",
        "HostError",
        "HostProblem",
        "HostStartError",
        "PlatformRefused",
    ),
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

__getattr__ = lazy_names(__name__, _HOMES)
