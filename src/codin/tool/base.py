"""The contract of a tool."""

from __future__ import annotations

from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, model_validator

from codin.errors import CodinError

Origin = Literal["function", "command", "openapi", "mcp", "agent", "evolved", "builtin"]

Effects = Literal["none", "repeatable", "once"]
"""What repeating a call does: nothing to the world; the same again; something twice."""


IfInterrupted = Literal["repeat", "ask", "fail"]
"""What becomes of a call that was under way when the process that made it ended: it is made again
with the same idempotency key, somebody is asked whether it is to be, or it fails."""


class ToolLimits(BaseModel):
    """What one call may use: seconds, bytes of memory, characters of result.

    ``concurrency`` is how many calls of one principal run at once, ``per_minute`` how many of them
    begin within any minute. ``attempts`` is how often a call is tried, within its ``seconds``,
    while it ends with ``ToolUnavailable``; what may happen only once is tried once.
    """

    model_config = ConfigDict(frozen=True)

    seconds: float = 60.0
    memory_bytes: int = 1024 * 1024 * 1024
    result_chars: int = 8_000
    concurrency: int | None = Field(default=None, ge=1)
    per_minute: int | None = Field(default=None, ge=1, le=10_000)
    attempts: int = Field(default=1, ge=1, le=10)


class ToolSpec(BaseModel):
    """All that is known of a tool without calling it. Schemas are JSON Schema 2020-12.

    ``version`` is up to four numbers with dots between them. ``deprecated`` is what to use
    instead, in words; the description then begins with it. ``if_interrupted`` is ``ask``, where it
    is not given, for effects that come only ``once``, and ``repeat`` for others. A ``pure`` tool
    gives the same result for the same arguments, and does nothing else: its results are kept for
    each principal, ``cache_seconds`` long.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    version: str = "1"
    description: str = ""
    input_schema: dict[str, Any] = Field(
        default_factory=lambda: {"type": "object", "properties": {}}
    )
    output_schema: dict[str, Any] | None = None
    origin: Origin = "function"
    permissions: tuple[str, ...] = ()
    limits: ToolLimits = ToolLimits()
    effects: Effects = "repeatable"
    if_interrupted: IfInterrupted | None = None
    trusted: bool = False
    tags: tuple[str, ...] = ()
    deprecated: str | None = None
    pure: bool = False
    cache_seconds: float = Field(default=300.0, ge=0)

    @property
    def when_interrupted(self) -> IfInterrupted:
        """What becomes of a call that may have been made."""
        return self.if_interrupted or ("ask" if self.effects == "once" else "repeat")

    @model_validator(mode="after")
    def _tell_of_deprecation(self) -> ToolSpec:
        # In the description, because that is the one thing which every model is shown.
        note = f"Deprecated: {self.deprecated}" if self.deprecated else ""
        if not self.description.startswith(note):
            object.__setattr__(self, "description", f"{note}\n{self.description}".rstrip())
        return self


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


class ToolRefused(ToolError):
    """A policy of the operator's does not let this call be made."""


class ApprovalNeeded(ToolRefused):
    """A policy of the operator's wants somebody to approve this call first."""


class ToolBusy(ToolError):
    """The caller has as many calls of the tool as it may have; ``seconds`` is how long to wait."""

    def __init__(self, message: str, *, seconds: float = 0.0) -> None:
        super().__init__(message)
        self.seconds = seconds


class ToolFailed(ToolError):
    """The tool raised."""


class ToolUnavailable(ToolFailed):
    """What the tool needs is not there just now: the same call may go well a little later."""


class ToolTimeout(ToolError):
    """The tool took longer than its limit, and was ended."""


class ToolOutputLimit(ToolError):
    """The tool gave out more than its limit, and was ended."""


def error_of(kind: str | None, message: str) -> ToolError:
    """The error whose class has the name ``kind``, as records and other processes tell of it;
    ``ToolFailed`` where there is no such class."""
    return _ERRORS.get(kind or "", ToolFailed)(message)


_ERRORS: dict[str, type[ToolError]] = {
    one.__name__: one
    for one in (
        RunEnded,
        UnknownTool,
        InvalidArguments,
        ToolRefused,
        ApprovalNeeded,
        ToolBusy,
        ToolFailed,
        ToolUnavailable,
        ToolTimeout,
        ToolOutputLimit,
    )
}
