"""Reading a task from its log: as it stands, as it goes on, and from where a client had it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from a2a.utils.errors import InvalidParamsError, TaskNotFoundError

from codin.security import Principal
from codin.task.errors import UnknownTask
from codin.task.log.base import READ_LIMIT, EventLog
from codin.task.log.entries import LogEvent
from codin.task.log.follow import follow_batches
from codin.task.log.rows import TaskRow
from codin.task.projection import TaskProjection
from codin.task.states import STOPPED, TERMINAL
from codin.task.updates import TaskUpdate, updates_of

_ALL = 1_000_000_000


class TaskReader:
    """What clients of A2A are shown of the tasks in ``log``.

    The methods raise ``UnknownTask`` when there is no such task for the principal.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def project(
        self, principal: Principal, task_id: str, *, upto: int | None = None
    ) -> TaskProjection:
        """The task as it stands, or stood at event ``upto``."""
        projection = TaskProjection()
        more = upto != 0
        while more:
            events = await self._some(principal, task_id, projection.seq, upto)
            for event in events:
                projection.apply(event)
            rest = len(events) == READ_LIMIT if upto is None else projection.seq < upto
            more = bool(events) and rest
        return projection

    async def _some(
        self, principal: Principal, task_id: str, after: int, upto: int | None
    ) -> Sequence[LogEvent]:
        """Events after ``after``, at least one if there is one. Only for those up to an event that
        is known to be there it is enough to look at the recent ones."""
        if upto is None:
            return await self._log.read(principal, task_id, after)
        recent = self._log.recent(principal, task_id, after)[: upto - after]
        limit = min(READ_LIMIT, upto - after)
        return recent or await self._log.read(principal, task_id, after, limit)

    async def settled(self, principal: Principal, task_id: str, after: int) -> TaskProjection:
        """The task as it stands in the first state after event ``after`` in which nothing more
        will come by itself; waits until it is in one."""
        projection = await self.project(principal, task_id, upto=after)
        following = follow_batches(self._log, principal, task_id, after=after, until=STOPPED)
        async with aclosing(following) as batches:
            async for events in batches:
                for event in events:
                    projection.apply(event)
        return projection

    async def updates(
        self, principal: Principal, task_id: str, context_id: str, after: int
    ) -> AsyncGenerator[TaskUpdate, None]:
        """What comes after ``after``, up to the first state in which nothing more will come by
        itself (A2A 1.0, section 11.7). Of a task that waits already, what comes of the answer."""
        following = follow_batches(
            self._log, principal, task_id, after=after, until=STOPPED, over=TERMINAL
        )
        async with aclosing(following) as batches:
            async for events in batches:
                for update in updates_of(events, context_id):
                    yield update

    async def resumed(
        self, principal: Principal, task_id: str, after: int
    ) -> AsyncGenerator[TaskUpdate, None]:
        """Exactly what comes after ``after``, up to the end or to a question that is still open.

        Raises:
            InvalidParamsError: there is no event ``after`` yet.
        """
        row = await self._log.task(principal, task_id)
        if after > row.last_seq:
            raise InvalidParamsError(
                f"task {task_id} has no event {after} yet: resume after one that a stream gave"
            )
        last = TERMINAL if after == row.last_seq and row.interrupted else STOPPED
        seen = after
        while seen < row.last_seq:
            limit = min(READ_LIMIT, row.last_seq - seen)
            events = await self._log.read(principal, task_id, seen, limit)
            seen = events[-1].seq
            for update in updates_of(events, row.context_id):
                yield update
        if row.state in last:
            return
        async with aclosing(self.updates(principal, task_id, row.context_id, seen)) as rest:
            async for update in rest:
                yield update

    async def seq_of(self, principal: Principal, task_id: str, message_id: str) -> int | None:
        """Where in its log the task got this very message; a client that had no answer to it sends
        it again (A2A 1.0, section 3.3.1)."""
        events = await self._log.read(principal, task_id, 0, _ALL, kinds=("task", "message"))
        for event in events:
            said = event.body["history"] if event.kind == "task" else [event.body]
            if any(one.get("messageId") == message_id for one in said):
                # a later message and the state that it leads to are written together
                return event.seq if event.kind == "task" else event.seq + 1
        return None


async def task_of(log: EventLog, principal: Principal, agent_id: str, task_id: str) -> TaskRow:
    """The task of an agent, as its principal may see it.

    Raises:
        TaskNotFoundError: there is none; also when it is another agent's.
    """
    try:
        row = await log.task(principal, task_id)
    except UnknownTask as error:
        raise TaskNotFoundError(str(error)) from error
    if row.agent_id != agent_id:
        raise TaskNotFoundError(str(UnknownTask(task_id)))
    return row
