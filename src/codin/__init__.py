"""codin: one place where agents of any framework work together over A2A.

Importing ``codin`` is cheap: the public names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codin.lazy import lazy_names

if TYPE_CHECKING:
    from codin.agent import Agent, AgentResponse, Task, wrap
    from codin.errors import CodinError
    from codin.runtime import OmniRuntime, Runtime, RuntimeResult, Workload
    from codin.tool import Tool, ToolSpec, tool

__version__ = "0.1.0"

_HOMES = {
    "agent": (
        "Agent",
        "AgentResponse",
        "Task",
        "wrap",
    ),
    "errors": ("CodinError",),
    "runtime": (
        "OmniRuntime",
        "Runtime",
        "RuntimeResult",
        "Workload",
    ),
    "tool": (
        "Tool",
        "ToolSpec",
        "tool",
    ),
}

__all__ = [
    "Agent",
    "AgentResponse",
    "CodinError",
    "OmniRuntime",
    "Runtime",
    "RuntimeResult",
    "Task",
    "Tool",
    "ToolSpec",
    "Workload",
    "tool",
    "wrap",
]

__getattr__ = lazy_names(__name__, _HOMES)
