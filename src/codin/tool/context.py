"""What a tool may know of the call that it serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

_call_id: ContextVar[str | None] = ContextVar("codin_call_id", default=None)


def _to_nobody(text: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """Who calls, in which run. A parameter of this type is filled in and is not in the schema.

    ``progress`` tells whoever watches how far the call has come, in a line of text.
    """

    call_id: str
    task_id: str
    goal_id: str
    agent_id: str
    tenant: str
    user: str
    tell: Callable[[str], None] = field(default=_to_nobody, repr=False, compare=False)

    def progress(self, text: str) -> None:
        """Tell ``text``, at once."""
        self.tell(f"{text}\n")

    def facts(self) -> dict[str, str]:
        """All that it says, by name."""
        names = ("call_id", "task_id", "goal_id", "agent_id", "tenant", "user")
        return {name: getattr(self, name) for name in names}


@contextmanager
def calling(call_id: str | None) -> Iterator[None]:
    """Give the next ``invoke`` of a bound tool the id that the agent's framework uses.

    Live output and the record of the call then carry the same id as the agent's own events.
    """
    token = _call_id.set(call_id)
    try:
        yield
    finally:
        _call_id.reset(token)


def current_call_id() -> str | None:
    """The id set by ``calling``, or ``None``."""
    return _call_id.get()
