"""Reading a task from its log: as it stands, as it goes on, and from where a client had it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from a2a.utils.errors import InvalidParamsError

from codin.security import Principal
from codin.task.log.base import READ_LIMIT, EventLog
from codin.task.log.follow import follow_batches
from codin.task.projection import TaskProjection
from codin.task.states import INTERRUPTED, TERMINAL
from codin.task.updates import TaskUpdate, updates_of

STOPS = TERMINAL | INTERRUPTED
"""States in which nothing more comes by itself."""

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
        more = upto is None or upto > 0
        while more:
            left = READ_LIMIT if upto is None else upto - projection.seq
            limit = min(READ_LIMIT, left)
            events = await self._log.read(principal, task_id, projection.seq, limit)
            for event in events:
                projection.apply(event)
            more = len(events) == limit and projection.seq != upto
        return projection

    async def settled(self, principal: Principal, task_id: str, after: int) -> TaskProjection:
        """The task as it stands in the first state after event ``after`` in which nothing more
        will come by itself; waits until it is in one."""
        projection = await self.project(principal, task_id, upto=after)
        following = follow_batches(self._log, principal, task_id, after=after, until=STOPS)
        async with aclosing(following) as batches:
            async for events in batches:
                for event in events:
                    projection.apply(event)
        return projection

    async def updates(
        self, principal: Principal, task_id: str, context_id: str, after: int
    ) -> AsyncGenerator[TaskUpdate, None]:
        """What comes after ``after``, up to the first state in which nothing more will come by
        itself (A2A 1.0, section 11.7)."""
        following = follow_batches(self._log, principal, task_id, after=after, until=STOPS)
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
        last = TERMINAL if after == row.last_seq and row.interrupted else STOPS
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
