"""What a task's log is made of: the events, and what is appended to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["task", "message", "status", "artifact", "child", "call", "state", "begun", "model"]
"""What a body holds: ``task``, ``message``, ``status`` and ``artifact`` the JSON of A2A's Task (at
its creation), Message (a later one of the user), TaskStatusUpdateEvent, TaskArtifactUpdateEvent;
``child`` an event of a child task; ``call`` a record of a tool call.

Shown to nobody are ``state``, what an agent needs to go on when it is answered; ``begun``, what a
run was begun with; and ``model``, what a model answered it."""

_UNSHOWN = frozenset({"state", "begun", "model"})
UNTOLD = _UNSHOWN | {"call"}
"""The kinds that are no news to a client of A2A."""


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One entry of a task's log. ``time`` is in seconds since the epoch.

    A ``child`` event's body is ``{"step", "agent", "task_id", "seq", "kind", "body"}`` with the
    child's own event inside, read through the reference that the log keeps.
    """

    task_id: str
    seq: int
    kind: Kind
    time: float
    body: dict[str, Any]

    @property
    def shown(self) -> dict[str, Any]:
        """What may be seen of the body: nothing of what only a run needs to go on."""
        return _shown(self.kind, self.body)

    @property
    def state(self) -> str | None:
        """The state that the task is in from this event on; ``None`` when it says nothing of it."""
        return state_of(self.kind, self.body)


def _shown(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    if kind == "child":  # a child may have children itself
        return {**body, "body": _shown(body["kind"], body["body"])}
    return {} if kind in _UNSHOWN else body


def state_of(kind: str, body: dict[str, Any]) -> str | None:
    """The task state that an event of ``kind`` with ``body`` sets, if any."""
    if kind not in ("task", "status"):
        return None
    return str(body["status"]["state"])


@dataclass(frozen=True, slots=True)
class Entry:
    """An event to be appended."""

    kind: Literal["task", "message", "status", "artifact", "call", "state", "begun", "model"]
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Adopt:
    """Take in, by reference, the events of a child task that are not in this log yet."""

    child_id: str
    step: str
    agent: str


def last_status(entries: Sequence[Entry]) -> Entry:
    """The one of ``entries``, the first of which is a task, that says in what state it is."""
    return next(one for one in reversed(entries) if state_of(one.kind, one.body) is not None)
