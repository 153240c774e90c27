"""The entries with which a task begins, and goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codin.agent.a2a import bare_status
from codin.task.log.base import Entry
from codin.task.projection import Json
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


def working(message: Message) -> Entry:
    """That the work has begun, or goes on."""
    update = {
        "taskId": message.task_id,
        "contextId": message.context_id,
        "status": bare_status(WORKING),
    }
    return Entry("status", update)
