"""The registry of tools as an MCP server: at ``/mcp``, and over stdio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codin.lazy import lazy_names

if TYPE_CHECKING:
    from codin.gateway.mcp.app import McpApp
    from codin.gateway.mcp.face import ToolFace
    from codin.gateway.mcp.opening import open_tools
    from codin.gateway.mcp.server import serve_stdio

_HOMES = {
    "app": ("McpApp",),
    "face": ("ToolFace",),
    "opening": ("open_tools",),
    "server": ("serve_stdio",),
}
__all__ = ["McpApp", "ToolFace", "open_tools", "serve_stdio"]

__getattr__ = lazy_names(__name__, _HOMES)
