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
    ApprovalNeeded,
    InvalidArguments,
    RunEnded,
    Tool,
    ToolBusy,
    ToolClash,
    ToolDefinitionError,
    ToolError,
    ToolFailed,
    ToolLimits,
    ToolOutputLimit,
    ToolRefused,
    ToolSpec,
    ToolTimeout,
    ToolUnavailable,
    UnboundTool,
    UnknownTool,
)

if TYPE_CHECKING:
    from codin.tool.agent import AgentCaller, AgentTool, HandOffTool
    from codin.tool.bound import BoundTool
    from codin.tool.builtin import builtin_tools
    from codin.tool.commands.argv import Argument, ArgvTemplate
    from codin.tool.commands.command import CommandTool
    from codin.tool.context import ToolContext, calling
    from codin.tool.execution.executor import ExecutorSettings, ToolExecutor
    from codin.tool.finding.meanings import Embedder
    from codin.tool.finding.search import ToolSearch
    from codin.tool.functions.decorator import tool
    from codin.tool.functions.function import FunctionTool
    from codin.tool.functions.secret import Secret
    from codin.tool.invocation import (
        CallFinished,
        CallRecorder,
        CallStarted,
        EventSink,
        Invocation,
        RunnableTool,
        ToolOutcome,
    )
    from codin.tool.policies.policy import Policies
    from codin.tool.registry import ToolRegistry
    from codin.tool.session import GoalSandboxes
    from codin.tool.source import ToolSource
    from codin.tool.workspace import WorkspaceFile, Workspaces

_HOMES = {
    "agent": (
        "AgentCaller",
        "AgentTool",
        "HandOffTool",
    ),
    "commands.argv": (
        "Argument",
        "ArgvTemplate",
    ),
    "bound": ("BoundTool",),
    "builtin": ("builtin_tools",),
    "commands.command": ("CommandTool",),
    "context": (
        "ToolContext",
        "calling",
    ),
    "execution.executor": (
        "ExecutorSettings",
        "ToolExecutor",
    ),
    "functions.decorator": ("tool",),
    "functions.function": ("FunctionTool",),
    "invocation": (
        "CallFinished",
        "CallRecorder",
        "CallStarted",
        "EventSink",
        "Invocation",
        "RunnableTool",
        "ToolOutcome",
    ),
    "finding.meanings": ("Embedder",),
    "policies.policy": ("Policies",),
    "registry": ("ToolRegistry",),
    "finding.search": ("ToolSearch",),
    "functions.secret": ("Secret",),
    "session": ("GoalSandboxes",),
    "source": ("ToolSource",),
    "workspace": (
        "WorkspaceFile",
        "Workspaces",
    ),
}

__all__ = [
    "AgentCaller",
    "AgentTool",
    "ApprovalNeeded",
    "Argument",
    "ArgvTemplate",
    "BoundTool",
    "CallFinished",
    "CallRecorder",
    "CallStarted",
    "CommandTool",
    "Embedder",
    "EventSink",
    "ExecutorSettings",
    "FunctionTool",
    "GoalSandboxes",
    "HandOffTool",
    "InvalidArguments",
    "Invocation",
    "Policies",
    "RunEnded",
    "RunnableTool",
    "Secret",
    "Tool",
    "ToolBusy",
    "ToolClash",
    "ToolContext",
    "ToolDefinitionError",
    "ToolError",
    "ToolExecutor",
    "ToolFailed",
    "ToolLimits",
    "ToolOutcome",
    "ToolOutputLimit",
    "ToolRefused",
    "ToolRegistry",
    "ToolSearch",
    "ToolSource",
    "ToolSpec",
    "ToolTimeout",
    "ToolUnavailable",
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
        return import_module("codin.tool.functions.decorator").tool(*args, **kwargs)


sys.modules[__name__].__class__ = _CallablePackage
