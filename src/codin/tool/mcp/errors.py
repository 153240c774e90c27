"""What can be wrong with a server of MCP."""

from __future__ import annotations

from codin.tool.base import ToolDefinitionError, ToolUnavailable


class McpUnavailable(ToolUnavailable):
    """The server cannot be reached, has ended, or rests; the message names it and says why."""


class McpUnusable(ToolDefinitionError):
    """The server was reached and has nothing that could be used; the message says why."""
