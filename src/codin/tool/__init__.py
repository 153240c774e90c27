"""Tools: one registry, one executor, whatever a tool is made of."""

from codin.tool.base import (
    InvalidArguments,
    Tool,
    ToolError,
    ToolFailed,
    ToolLimits,
    ToolOutputLimit,
    ToolSpec,
    ToolTimeout,
    UnknownTool,
)

__all__ = [
    "InvalidArguments",
    "Tool",
    "ToolError",
    "ToolFailed",
    "ToolLimits",
    "ToolOutputLimit",
    "ToolSpec",
    "ToolTimeout",
    "UnknownTool",
]
