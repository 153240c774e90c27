"""What the logs in databases of every kind have in common: which statement answers which call."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any, ClassVar

from codin.security import Principal
from codin.task.log.base import (
    READ_LIMIT,
    Adopt,
    Entry,
    EventLog,
    Kind,
    Lease,
    LogEvent,
    NewTask,
    Pulse,
    Room,
    StepRow,
    TaskFilter,
    TaskPage,
    TaskRow,
)


class StoredLog(EventLog):
    """``statements`` and ``queries`` are modules with a function for each call, which takes a
    connection and then what the call was given."""

    statements: ClassVar[Any]
    queries: ClassVar[Any]

    @abstractmethod
    def _write(
        self, statement: Callable[..., Any], *given: Any, touches: tuple[str, ...] = ()
    ) -> Awaitable[Any]:
        """What ``statement`` gives once it is committed; who reads the tasks that it ``touches`` is
        woken before."""

    @abstractmethod
    def _read(self, query: Callable[..., Any], *given: Any) -> Awaitable[Any]:
        """What ``query`` gives."""

    async def create(
        self,
        principal: Principal,
        task: NewTask,
        first: Entry,
        *then: Entry,
        owner: str | None,
        ttl: float,
        dedupe: str | None = None,
    ) -> Lease:
        lease: Lease = await self._write(
            partial(self.statements.create, owner=owner, ttl=ttl, dedupe=dedupe),
            *(principal, task, (first, *then)),
            touches=(task.task_id,),
        )
        return lease

    async def append(
        self, lease: Lease, entries: Sequence[Entry | Adopt], *, steps: Sequence[StepRow] = ()
    ) -> int:
        given = (lease, entries, steps)
        seq: int = await self._write(self.statements.append, *given, touches=(lease.task_id,))
        return seq

    async def claim(
        self,
        principal: Principal,
        task_id: str,
        *,
        owner: str,
        ttl: float,
        dead: str | None = None,
    ) -> Lease | None:
        lease: Lease | None = await self._write(
            partial(self.statements.claim, owner=owner, ttl=ttl, dead=dead),
            *(principal, task_id),
            touches=(task_id,),
        )
        return lease

    async def claim_lost(
        self, *, owner: str, ttl: float, limit: int = 100, room: Room | None = None
    ) -> list[tuple[TaskRow, Lease]]:
        found: list[tuple[TaskRow, Lease]] = await self._write(
            self.statements.claim_lost, owner, ttl, limit, room
        )
        return found

    async def release(self, lease: Lease) -> None:
        await self._write(self.statements.release, lease)

    async def pulse(self, owner: str, ttl: float) -> Pulse:
        pulse: Pulse = await self._write(self.statements.pulse, owner, ttl)
        return pulse

    async def request_cancel(self, principal: Principal, task_id: str) -> TaskRow:
        row: TaskRow = await self._write(
            self.statements.request_cancel, principal, task_id, touches=(task_id,)
        )
        return row

    async def request_pause(self, principal: Principal, task_id: str, *, paused: bool) -> TaskRow:
        row: TaskRow = await self._write(
            self.statements.request_pause, principal, task_id, paused, touches=(task_id,)
        )
        return row

    async def read(
        self,
        principal: Principal,
        task_id: str,
        after: int = 0,
        limit: int = READ_LIMIT,
        *,
        kinds: Collection[Kind] | None = None,
    ) -> list[LogEvent]:
        events: list[LogEvent] = await self._read(
            partial(self.queries.events, after=after, limit=limit, kinds=kinds),
            *(principal, task_id),
        )
        return events

    async def task(self, principal: Principal, task_id: str) -> TaskRow:
        row: TaskRow = await self._read(self.queries.find, principal, task_id)
        return row

    async def tasks(
        self,
        principal: Principal,
        where: TaskFilter | None = None,
        *,
        limit: int = 50,
        after: tuple[float, str] | None = None,
    ) -> TaskPage:
        given = (principal, where or TaskFilter(), limit, after)
        page: TaskPage = await self._read(self.queries.page, *given)
        return page

    async def steps(self, principal: Principal, task_id: str) -> list[StepRow]:
        steps: list[StepRow] = await self._read(self.queries.steps, principal, task_id)
        return steps

    async def unfinished(self, *, limit: int = 1000) -> list[TaskRow]:
        rows: list[TaskRow] = await self._read(self.queries.unfinished, limit)
        return rows
