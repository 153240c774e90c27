"""What a tool may know of the call that it serves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

_call_id: ContextVar[str | None] = ContextVar("codin_call_id", default=None)


@dataclass(frozen=True, slots=True)
class ToolContext:
    """Who calls, in which run. A parameter of this type is filled in and is not in the schema."""

    call_id: str
    task_id: str
    goal_id: str
    agent_id: str
    tenant: str
    user: str


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
