"""Tools: one registry, one executor, whatever a tool is made of.

The package itself can be called: ``from codin import tool`` gives this module, and ``@tool`` is
``codin.tool.tool``.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from codin.lazy import lazy_names
from codin.tool.base import (
    InvalidArguments,
    RunEnded,
    Tool,
    ToolClash,
    ToolDefinitionError,
    ToolError,
    ToolFailed,
    ToolLimits,
    ToolOutputLimit,
    ToolSpec,
    ToolTimeout,
    UnboundTool,
    UnknownTool,
)

if TYPE_CHECKING:
    from codin.tool.bound import BoundTool
    from codin.tool.builtin import builtin_tools
    from codin.tool.context import ToolContext, calling
    from codin.tool.executor import ExecutorSettings, ToolExecutor
    from codin.tool.function import FunctionTool, tool
    from codin.tool.invocation import (
        CallFinished,
        CallRecorder,
        CallStarted,
        EventSink,
        Invocation,
        RunnableTool,
        ToolOutcome,
    )
    from codin.tool.registry import ToolRegistry
    from codin.tool.session import GoalSandboxes
    from codin.tool.workspace import WorkspaceFile, Workspaces

_HOMES = {
    "bound": ("BoundTool",),
    "builtin": ("builtin_tools",),
    "context": (
        "ToolContext",
        "calling",
    ),
    "executor": (
        "ExecutorSettings",
        "ToolExecutor",
    ),
    "function": (
        "FunctionTool",
        "tool",
    ),
    "invocation": (
        "CallFinished",
        "CallRecorder",
        "CallStarted",
        "EventSink",
        "Invocation",
        "RunnableTool",
        "ToolOutcome",
    ),
    "registry": ("ToolRegistry",),
    "session": ("GoalSandboxes",),
    "workspace": (
        "WorkspaceFile",
        "Workspaces",
    ),
}

__all__ = [
    "BoundTool",
    "CallFinished",
    "CallRecorder",
    "CallStarted",
    "EventSink",
    "ExecutorSettings",
    "FunctionTool",
    "GoalSandboxes",
    "InvalidArguments",
    "Invocation",
    "RunEnded",
    "RunnableTool",
    "Tool",
    "ToolClash",
    "ToolContext",
    "ToolDefinitionError",
    "ToolError",
    "ToolExecutor",
    "ToolFailed",
    "ToolLimits",
    "ToolOutcome",
    "ToolOutputLimit",
    "ToolRegistry",
    "ToolSpec",
    "ToolTimeout",
    "UnboundTool",
    "UnknownTool",
    "WorkspaceFile",
    "Workspaces",
    "builtin_tools",
    "calling",
    "tool",
]

__getattr__ = lazy_names(__name__, _HOMES)


class _CallablePackage(ModuleType):
    # An imported subpackage becomes an attribute of its parent: `from codin import tool` gives
    # the package whatever codin's own __getattr__ says, so the package has to be the decorator.
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return import_module("codin.tool.function").tool(*args, **kwargs)


sys.modules[__name__].__class__ = _CallablePackage
