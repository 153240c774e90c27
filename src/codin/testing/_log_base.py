"""What the checks of event logs share."""

from __future__ import annotations

from typing import Any

from codin.security import Principal
from codin.task.log.base import EventLog
from codin.task.log.entries import Entry
from codin.task.log.leases import Lease
from codin.task.log.rows import NewTask

ANN = Principal("acme", "ann", roles=frozenset({"owner"}))
BOB = Principal("acme", "bob", roles=frozenset({"owner"}))
OTHER_ANN = Principal("rival", "ann", roles=frozenset({"owner"}))


def submitted(task_id: str = "t") -> Entry:
    """The first event of a task."""
    return Entry("task", {"id": task_id, "status": {"state": "TASK_STATE_SUBMITTED"}})


def status(state: str, text: str = "") -> Entry:
    """A status event; ``state`` without its prefix."""
    return Entry("status", {"status": {"state": f"TASK_STATE_{state}"}, "text": text})


def artifact(number: int) -> Entry:
    """An event that says nothing of the state."""
    return Entry("artifact", {"artifact": {"number": number}})


async def begin(
    log: EventLog,
    task_id: str = "t",
    *,
    principal: Principal = ANN,
    parent: str | None = None,
    **fields: Any,
) -> Lease:
    """A task with its first event."""
    task = NewTask(
        task_id,
        fields.get("context_id", "c"),
        fields.get("agent_id", "a"),
        parent or task_id,
        parent,
        fields.get("context_given", True),
        fields.get("lane", "agent"),
        fields.get("priority", 0),
        fields.get("deadline"),
    )
    return await log.create(
        principal,
        task,
        submitted(task_id),
        owner=fields.get("owner", "w1"),
        ttl=fields.get("ttl", 30.0),
        dedupe=fields.get("dedupe"),
    )
