"""The contract of a tool."""

from __future__ import annotations

from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from codin.errors import CodinError

Origin = Literal["function", "openapi", "mcp", "agent", "evolved", "builtin"]

Effects = Literal["none", "repeatable", "once"]
"""What repeating a call does: nothing to the world; the same again; something twice."""


class ToolLimits(BaseModel):
    """What one call may use: seconds, bytes of memory, characters of result."""

    model_config = ConfigDict(frozen=True)

    seconds: float = 60.0
    memory_bytes: int = 1024 * 1024 * 1024
    result_chars: int = 8_000


class ToolSpec(BaseModel):
    """All that is known of a tool without calling it. Schemas are JSON Schema 2020-12."""

    model_config = ConfigDict(frozen=True)

    name: str
    description: str = ""
    input_schema: dict[str, Any] = Field(
        default_factory=lambda: {"type": "object", "properties": {}}
    )
    output_schema: dict[str, Any] | None = None
    origin: Origin = "function"
    permissions: tuple[str, ...] = ()
    limits: ToolLimits = ToolLimits()
    effects: Effects = "repeatable"
    trusted: bool = False
    tags: tuple[str, ...] = ()


@runtime_checkable
class Tool(Protocol):
    """Something that an agent can call.

    What an agent's code holds is a proxy bound to the executor, a principal and a run: ``invoke``
    on it is a call of the executor, with permission, schema and limits checked each time.
    """

    name: str
    spec: ToolSpec

    async def invoke(self, *args: Any, **kwargs: Any) -> Any:
        """Call the tool and return its result.

        Raises:
            ToolError: with a message that a model can act on.
        """
        ...


class ToolError(CodinError):
    """Base of what a tool call can end with. The message is written for the caller to act on."""


class ToolDefinitionError(ToolError):
    """This cannot be a tool; the message names the part that stands in the way."""


class ToolClash(ToolError):
    """Two tools want the same name; the message names both."""


class UnboundTool(ToolError):
    """A bare tool was invoked outside of a run; only the executor runs tools."""


class RunEnded(ToolError):
    """The run that the call belongs to is over: its grant has expired."""


class UnknownTool(ToolError):
    """No such tool for this caller; unknown and forbidden look the same."""


class InvalidArguments(ToolError):
    """The arguments do not fit the tool's schema."""


class ToolFailed(ToolError):
    """The tool raised."""


class ToolTimeout(ToolError):
    """The tool took longer than its limit, and was ended."""


class ToolOutputLimit(ToolError):
    """The tool gave out more than its limit, and was ended."""
