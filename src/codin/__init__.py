"""codin: one place where agents of any framework work together over A2A.

Importing ``codin`` is cheap: the public names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codin.agent import Agent, AgentResponse, Task, wrap
    from codin.errors import CodinError
    from codin.runtime import OmniRuntime, Runtime, RuntimeResult, Workload
    from codin.tool import Tool, ToolSpec, tool

__version__ = "0.1.0"

_HOMES = {
    "Agent": "codin.agent",
    "AgentResponse": "codin.agent",
    "Task": "codin.agent",
    "wrap": "codin.agent",
    "CodinError": "codin.errors",
    "OmniRuntime": "codin.runtime",
    "Runtime": "codin.runtime",
    "RuntimeResult": "codin.runtime",
    "Workload": "codin.runtime",
    "Tool": "codin.tool",
    "ToolSpec": "codin.tool",
    "tool": "codin.tool",
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


def __getattr__(name: str) -> Any:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'codin' has no attribute {name!r}") from None
    return getattr(import_module(home), name)
