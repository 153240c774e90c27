"""What an agent says while it works: the same events for every framework."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from codin.tool.events import ToolOutput

__all__ = [
    "END_EVENTS",
    "AgentEvent",
    "ArtifactProduced",
    "Canceled",
    "Completed",
    "EndEvent",
    "Failed",
    "HandOff",
    "InputRequest",
    "NewFacts",
    "Rejected",
    "TerminalEvent",
    "TextDelta",
    "TextFinal",
    "Thought",
    "ToolCall",
    "ToolOutput",
    "ToolResult",
    "Usage",
]


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")


class TextDelta(_Event):
    """A piece of an assistant message, as it is written. ``message_id`` names the message."""

    kind: Literal["text_delta"] = "text_delta"
    message_id: str
    text: str


class TextFinal(_Event):
    """The whole text of an assistant message; it replaces the deltas before it."""

    kind: Literal["text_final"] = "text_final"
    message_id: str
    text: str


class Thought(_Event):
    """Reasoning that the model shows and that is no part of the answer."""

    kind: Literal["thought"] = "thought"
    text: str


class ToolCall(_Event):
    """The agent calls a tool. ``call_id`` is unique in the run."""

    kind: Literal["tool_call"] = "tool_call"
    call_id: str
    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class ToolResult(_Event):
    """The end of a tool call; ``content`` is JSON data or text."""

    kind: Literal["tool_result"] = "tool_result"
    call_id: str
    name: str
    content: Any = None
    is_error: bool = False


class HandOff(_Event):
    """Control passes from one agent to another."""

    kind: Literal["handoff"] = "handoff"
    from_agent: str
    to_agent: str


class InputRequest(_Event):
    """The run stops here until somebody answers ``prompt``. It ends this response.

    ``state`` is all that the agent needs to go on, in whatever process: the platform keeps it,
    shows it to nobody, and hands it back with the answer, as ``Task.state``. ``call`` is the tool
    call that is to be approved, where it is known, and ``reason`` why it has to be: where both are
    given, the first line of ``prompt`` asks, and the rest of it only tells them in words.
    """

    kind: Literal["input_request"] = "input_request"
    request_id: str
    prompt: str
    answer_schema: dict[str, Any] | None = None
    request_kind: Literal["input", "approval", "auth"] = "input"
    call: ToolCall | None = None
    reason: str | None = None
    state: str | None = Field(None, repr=False)


class ArtifactProduced(_Event):
    """Something made: a file or data. Exactly one of ``text``, ``data``, ``raw``, ``url``."""

    kind: Literal["artifact"] = "artifact"
    artifact_id: str
    name: str = ""
    description: str = ""
    media_type: str = ""
    text: str | None = None
    data: Any = None
    raw: bytes | None = None
    url: str | None = None


class Usage(_Event):
    """Tokens used by one model request, or by several together."""

    kind: Literal["usage"] = "usage"
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0


class NewFacts(_Event):
    """The agent has found what changes more than its own task: the plan of the goal that the task
    is a step of is made anew. ``text`` says what, so that it can be understood alone."""

    kind: Literal["new_facts"] = "new_facts"
    text: str = Field(min_length=1, max_length=20_000)


class Completed(_Event):
    """The run ended well. ``reply`` is the whole answer of an agent that says it at once and makes
    nothing: a client that waits for it over A2A gets a Message instead of a Task."""

    kind: Literal["completed"] = "completed"
    reply: str = ""


class Failed(_Event):
    """The run ended with an error. It is said here, once, and nowhere else."""

    kind: Literal["failed"] = "failed"
    error_type: str
    message: str


class Canceled(_Event):
    """The run was stopped from outside."""

    kind: Literal["canceled"] = "canceled"
    message: str = ""


class Rejected(_Event):
    """The agent does not take this task."""

    kind: Literal["rejected"] = "rejected"
    message: str


TerminalEvent = Completed | Failed | Canceled | Rejected
EndEvent = TerminalEvent | InputRequest
"""What ends a response: a terminal state, or the need for an answer."""

AgentEvent = Annotated[
    TextDelta
    | TextFinal
    | Thought
    | ToolCall
    | ToolOutput
    | ToolResult
    | HandOff
    | ArtifactProduced
    | Usage
    | NewFacts
    | InputRequest
    | Completed
    | Failed
    | Canceled
    | Rejected,
    Field(discriminator="kind"),
]

END_EVENTS = (InputRequest, Completed, Failed, Canceled, Rejected)
