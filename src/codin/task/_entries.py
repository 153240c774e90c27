"""The entries with which a task begins, and goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codin.agent.a2a import bare_status
from codin.task.log.base import Entry, TaskRow
from codin.task.projection import Json, to_json
from codin.task.states import SUBMITTED, WORKING

if TYPE_CHECKING:
    from a2a.types import Message


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
    from a2a.types import TaskState

    from codin.agent.a2a import agent_message, data_part, status_update

    part = data_part({"type": "attempt", "attempt": attempt})
    message = agent_message([part], context_id=row.context_id, task_id=row.task_id)
    state = TaskState.TASK_STATE_WORKING
    update = status_update(row.task_id, row.context_id, state, message)
    return Entry("status", to_json(update.status_update))


def working(message: Message) -> Entry:
    """That the work has begun, or goes on."""
    update = {
        "taskId": message.task_id,
        "contextId": message.context_id,
        "status": bare_status(WORKING),
    }
    return Entry("status", update)
