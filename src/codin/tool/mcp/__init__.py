"""Servers of MCP as sources of tools."""

from codin.tool.mcp.base import Endpoint, Link
from codin.tool.mcp.errors import McpUnavailable, McpUnusable
from codin.tool.mcp.http import HttpServer
from codin.tool.mcp.source import McpSource
from codin.tool.mcp.stdio import SERVER_LIMITS, SandboxedServer
from codin.tool.mcp.tool import McpTool

__all__ = [
    "SERVER_LIMITS",
    "Endpoint",
    "HttpServer",
    "Link",
    "McpSource",
    "McpTool",
    "McpUnavailable",
    "McpUnusable",
    "SandboxedServer",
]
