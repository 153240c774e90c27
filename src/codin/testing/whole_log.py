"""All that a task log has, for proofs that look through it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from codin.security import LOCAL_USER
from codin.task import EventLog
from codin.task.log import LogEvent, TaskRow

_PAGE = 500


async def all_tasks(log: EventLog) -> AsyncIterator[TaskRow]:
    """The tasks of the local user, the latest change first."""
    after = None
    while True:
        page = await log.tasks(LOCAL_USER, limit=_PAGE, after=after)
        for row in page.tasks:
            yield row
        after = page.cursor
        if after is None:
            return


async def all_events(log: EventLog, row: TaskRow) -> list[LogEvent]:
    """The events of a task of the local user."""
    events: list[LogEvent] = []
    while some := await log.read(LOCAL_USER, row.task_id, events[-1].seq if events else 0):
        events += some
    return events
