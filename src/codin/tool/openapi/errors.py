"""What can be wrong with an OpenAPI document, or with one operation of it."""

from __future__ import annotations

from codin.tool.base import ToolDefinitionError


class OpenApiError(ToolDefinitionError):
    """The document cannot be used at all; the message says what stands in the way."""


class UnusableOperation(ToolDefinitionError):
    """One operation cannot be a tool; the others can."""
