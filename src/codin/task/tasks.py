"""Tasks as their user handles them: list, look at, cancel, replay."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING

from codin.security import Principal
from codin.task.log.base import EventLog
from codin.task.log.entries import LogEvent
from codin.task.log.follow import follow
from codin.task.log.rows import StepRow, TaskFilter, TaskPage, TaskRow
from codin.task.projection import TaskProjection
from codin.task.runner import TaskRunner

if TYPE_CHECKING:
    from a2a.types import Task


class Tasks:
    """The tasks in a log, whichever process runs them.

    With the ``runner`` of a process that runs tasks, its own are canceled directly; without one the
    process that runs a task is asked to.
    """

    def __init__(self, log: EventLog, runner: TaskRunner | None = None) -> None:
        self._log = log
        self._runner = runner or TaskRunner(log)

    async def list(
        self,
        principal: Principal,
        *,
        limit: int = 50,
        after: tuple[float, str] | None = None,
        roots: bool = True,
        state: str | None = None,
    ) -> TaskPage:
        """A page of the principal's tasks, newest change first; steps of goals only without
        ``roots``."""
        where = TaskFilter(roots=roots, state=state)
        return await self._log.tasks(principal, where, limit=limit, after=after)

    async def row(self, principal: Principal, task_id: str) -> TaskRow:
        """How a task stands.

        Raises:
            UnknownTask: there is none for this principal.
        """
        return await self._log.task(principal, task_id)

    async def get(self, principal: Principal, task_id: str) -> Task:
        """The A2A task with its history and artifacts.

        Raises:
            UnknownTask: there is none for this principal.
        """
        projection = TaskProjection()
        while events := await self._log.read(principal, task_id, projection.seq):
            for event in events:
                projection.apply(event)
        return projection.task()

    async def steps(self, principal: Principal, task_id: str) -> Sequence[StepRow]:
        """The steps of a goal; none for a task that is no goal.

        Raises:
            UnknownTask: there is none for this principal.
        """
        return await self._log.steps(principal, task_id)

    async def cancel(self, principal: Principal, task_id: str) -> TaskRow:
        """Cancel a task, and give how it stands once that is in the log.

        Raises:
            UnknownTask: there is none for this principal.
            TaskEnded: it is over.
        """
        return await self._runner.control.cancel(principal, task_id)

    async def events(
        self, principal: Principal, task_id: str, *, after: int = 0, wait: bool = False
    ) -> AsyncGenerator[LogEvent, None]:
        """The events of a task with ``seq > after``, those of its children expanded: those there
        are, or with ``wait`` all up to its end.

        Raises:
            UnknownTask: there is none for this principal.
        """
        if wait:
            async for event in follow(self._log, principal, task_id, after=after):
                yield event
            return
        while events := await self._log.read(principal, task_id, after):
            for event in events:
                yield event
            after = events[-1].seq
