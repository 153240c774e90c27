"""The entries with which a task begins, and goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from codin.agent._parts import data_json
from codin.agent.a2a import bare_status
from codin.ids import new_id
from codin.task.log.entries import Entry
from codin.task.log.rows import TaskRow
from codin.task.projection import Json
from codin.task.states import SUBMITTED, WORKING

if TYPE_CHECKING:
    from a2a.types import Message

    from codin.task.work import Run


def submitted(message: Message, said: Json) -> Entry:
    """The task as it is taken, with the message that makes it."""
    task = {
        "id": message.task_id,
        "contextId": message.context_id,
        "status": bare_status(SUBMITTED),
        "history": [said],
    }
    return Entry("task", task)


def repeated(row: TaskRow, attempt: int) -> Entry:
    """That the work goes on in another process, by an ``attempt`` of its run after others."""
    return told(row, {"type": "attempt", "attempt": attempt})


def told(task: TaskRow | Run, payload: Mapping[str, Any]) -> Entry:
    """A piece of data, as a status of a task that is at work."""
    ids = {"taskId": task.task_id, "contextId": task.context_id}
    said = {"messageId": new_id(), **ids, "role": "ROLE_AGENT", "parts": [data_json(payload)]}
    return Entry("status", {**ids, "status": {**bare_status(WORKING), "message": said}})


def working(message: Message) -> Entry:
    """That the work has begun, or goes on."""
    update = {
        "taskId": message.task_id,
        "contextId": message.context_id,
        "status": bare_status(WORKING),
    }
    return Entry("status", update)
