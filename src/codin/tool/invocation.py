"""One call of a tool: what its implementation is given, how it ends, and who writes it down."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from codin.sandbox.outcome import OnOutput, Usage
from codin.tool.base import Effects, ToolError, ToolLimits, ToolSpec, UnboundTool
from codin.tool.events import ToolOutput

if TYPE_CHECKING:
    from codin.runtime.base import Runtime
    from codin.security import RunGrant
    from codin.tool.session import GoalSandboxes

EventSink = Callable[["RunGrant", ToolOutput], Awaitable[None]]
"""Takes the live events of a run's tool calls; a sink for all ``AgentEvent`` is one."""


def _unchecked(arguments: Mapping[str, Any]) -> None:
    """Lets all arguments pass."""


@dataclass(slots=True)
class Invocation:
    """One call, as the tool's implementation sees it: allowed, with arguments that fit.

    ``emit`` takes output while the tool runs. The implementation sets ``usage`` where it knows
    what was used, and adds to ``secrets`` those that it used: they are taken out of whatever the
    call gives out. ``idempotency_key`` is the same when the same call of a run that is repeated
    after a crash is made again, and no other call has it. A tool that takes other arguments to be
    meant than it was given has to ``check`` them: it raises ``ToolRefused``.
    """

    grant: RunGrant
    call_id: str
    arguments: dict[str, Any]
    limits: ToolLimits
    runtime: Runtime
    sandboxes: GoalSandboxes
    emit: OnOutput
    usage: Usage = field(default_factory=Usage)
    idempotency_key: str = ""
    secrets: list[str] = field(default_factory=list)
    check: Callable[[Mapping[str, Any]], None] = _unchecked


class RunnableTool(ABC):
    """A tool that the executor can run. Nobody but the executor calls ``run``.

    ``run`` returns JSON data or text. It raises a ``ToolError`` whose message the caller can act
    on; anything else it raises becomes ``ToolFailed``. Cancelling it leaves nothing running.
    """

    name: str
    spec: ToolSpec

    @abstractmethod
    async def run(self, call: Invocation) -> Any:
        """Do the work of one call."""

    async def recorded(self, grant: RunGrant, arguments: dict[str, Any]) -> None:  # noqa: B027
        """Called once a call that went well is recorded, before its caller is given the result."""

    async def invoke(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: a bare tool has no run, no permissions and no limits.

        Raises:
            UnboundTool: always. Agents are given bound tools; see ``ToolExecutor.bind``.
        """
        raise UnboundTool(
            f"tool '{self.name}' is not bound to a run: register it, and call it through "
            "ToolExecutor.call or one of ToolExecutor.bind's tools"
        )


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """How a call ended.

    ``value`` is JSON data; ``text`` is what a model reads: the same as text, or the error's
    message. When the result was longer than its limit, both are the cut text, ``truncated`` is set
    and ``file`` is the file of the workspace that has all of it, where it could be kept.
    ``mismatch`` says how the value does not fit what the tool says of its results. A value that is
    ``cached`` is that of an earlier call.
    """

    value: Any = None
    text: str = ""
    is_error: bool = False
    usage: Usage = field(default_factory=Usage)
    truncated: bool = False
    error: ToolError | None = None
    call_id: str = ""
    file: str | None = None
    mismatch: str = ""
    cached: bool = False

    @property
    def error_type(self) -> str | None:
        """The name of the error's class, or ``None``."""
        return type(self.error).__name__ if self.error else None

    def unwrap(self) -> Any:
        """The value.

        Raises:
            ToolError: what the call ended with.
        """
        if self.error is not None:
            raise self.error
        return self.value


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A call begins. ``arguments`` is canonical JSON: equal calls have equal text. ``key`` is the
    call's idempotency key, empty where there is no such tool."""

    call_id: str
    name: str
    arguments: str
    effects: Effects
    key: str = ""


@dataclass(frozen=True, slots=True)
class CallFinished:
    """A call has ended, after ``seconds``. ``error_type`` is ``None`` when it went well."""

    call_id: str
    name: str
    arguments: str
    seconds: float
    value: Any = None
    error_type: str | None = None
    message: str = ""
    truncated: bool = False
    key: str = ""


class CallRecorder(ABC):
    """Writes down every call, also those that the agent's framework never tells of.

    ``finished`` is awaited before the result is given to the caller: what was seen is recorded.
    Each started call is finished once, with ``error_type="Canceled"`` when its run was stopped, and
    ``"ApprovalNeeded"`` when it was stopped because the call has to be approved. ``started`` waits
    while the run may make no call. Both raise ``RunEnded`` when it cannot be written down because
    the run is over: then the call is not made, or its result not given to anybody.
    """

    async def known(self, grant: RunGrant, key: str) -> CallFinished | None:
        """How the call with the idempotency key ``key`` ended in a run that is made again; ``None``
        when it has to be made."""
        return None

    async def interrupted(self, grant: RunGrant, key: str) -> bool:
        """Whether the call with the idempotency key ``key`` was under way when the process of an
        earlier attempt of its run ended, so that it may have been made."""
        return False

    @abstractmethod
    async def started(self, grant: RunGrant, call: CallStarted) -> None: ...

    @abstractmethod
    async def finished(self, grant: RunGrant, call: CallFinished) -> None: ...


class NoRecorder(CallRecorder):
    """Writes nothing down."""

    async def started(self, grant: RunGrant, call: CallStarted) -> None:
        """Do nothing."""

    async def finished(self, grant: RunGrant, call: CallFinished) -> None:
        """Do nothing."""


_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=repr
).encode


def canonical(arguments: Mapping[str, Any]) -> str:
    """``arguments`` as JSON with sorted keys and no spaces."""
    return _encode(arguments if isinstance(arguments, dict) else dict(arguments))
