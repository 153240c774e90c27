"""What the logs in databases of every kind have in common: which statement answers which call."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

from codin.security import Principal
from codin.task.artifacts.parts import digests_in
from codin.task.errors import UnknownTask
from codin.task.log._recent import Noted, RecentEvents
from codin.task.log.base import READ_LIMIT, WAITING, EventLog
from codin.task.log.entries import Adopt, Entry, Kind, LogEvent
from codin.task.log.leases import Lease, Pulse, Room
from codin.task.log.rows import NewTask, StepRow, TaskFilter, TaskPage, TaskRow

if TYPE_CHECKING:
    from codin.task.artifacts import Artifacts

_WITH_PARTS: tuple[Kind, ...] = ("task", "message", "status", "artifact", "begun")


class StoredLog(EventLog):
    """``statements`` and ``queries`` are modules with a function for each call, which takes a
    connection and then what the call was given. What creates a task or adds to one gives a
    ``Noted``."""

    statements: ClassVar[Any]
    queries: ClassVar[Any]

    def __init__(self) -> None:
        self._recent = RecentEvents()

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
        entries = await self._kept(task.task_id, (first, *then))
        noted: Noted = await self._write(
            partial(self.statements.create, owner=owner, ttl=ttl, dedupe=dedupe),
            *(principal, task, entries),
            touches=(task.task_id, WAITING) if owner is None else (task.task_id,),
        )
        lease: Lease = noted.result
        return lease

    async def append(
        self, lease: Lease, entries: Sequence[Entry | Adopt], *, steps: Sequence[StepRow] = ()
    ) -> int:
        given = (lease, await self._kept(lease.task_id, entries), steps)
        noted: Noted = await self._write(self.statements.append, *given, touches=(lease.task_id,))
        seq: int = noted.result
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

    async def release(self, lease: Lease, *, handed_over: bool = False) -> None:
        touches = (WAITING,) if handed_over else ()
        await self._write(self.statements.release, lease, touches=touches)

    async def pulse(self, owner: str, ttl: float) -> Pulse:
        pulse: Pulse = await self._write(self.statements.pulse, owner, ttl)
        return pulse

    async def request_cancel(self, principal: Principal, task_id: str) -> TaskRow:
        row: TaskRow = await self._write(
            self.statements.request_cancel, principal, task_id, touches=(task_id,)
        )
        return row

    async def request_pause(
        self, principal: Principal, task_id: str, *, paused: bool, below: bool = True
    ) -> TaskRow:
        touches = (task_id,) if paused else (task_id, WAITING)
        row: TaskRow = await self._write(
            self.statements.request_pause, principal, task_id, paused, below, touches=touches
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
        events = await self._stored(principal, task_id, after, limit, kinds)
        if self.artifacts is not None:
            return [await _given(self.artifacts, event) for event in events]
        return events

    def recent(self, principal: Principal, task_id: str, after: int) -> list[LogEvent]:
        return self._at_hand(self._recent.after(principal, task_id, after))

    def whole(self, principal: Principal, task_id: str) -> tuple[str, list[LogEvent]] | None:
        found = self._recent.whole(principal, task_id)
        if found is None:
            return None
        agent_id, events = found
        given = self._at_hand(events)
        return (agent_id, given) if len(given) == len(events) else None

    async def digests(self, principal: Principal, task_id: str) -> set[str]:
        found: set[str] = set()
        after = 0
        with suppress(UnknownTask):
            while events := await self._stored(principal, task_id, after, READ_LIMIT, _WITH_PARTS):
                found.update(*(digests_in(event.kind, event.body) for event in events))
                after = events[-1].seq
        return found

    def unbounded(self) -> Self:
        if self.artifacts is None:
            return self
        found = copy.copy(self)
        found.artifacts = self.artifacts.unbounded()
        return found

    async def task(self, principal: Principal, task_id: str) -> TaskRow:
        row: TaskRow = await self._read(self.queries.find, principal, task_id)
        return await self._shown(row)

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
        return replace(page, tasks=tuple([await self._shown(row) for row in page.tasks]))

    async def steps(self, principal: Principal, task_id: str) -> list[StepRow]:
        steps: list[StepRow] = await self._read(self.queries.steps, principal, task_id)
        return steps

    async def unfinished(self, *, limit: int = 1000) -> list[TaskRow]:
        rows: list[TaskRow] = await self._read(self.queries.unfinished, limit)
        return rows

    async def now(self) -> float:
        now: float = await self._read(self.queries.now)
        return now

    async def _stored(
        self,
        principal: Principal,
        task_id: str,
        after: int,
        limit: int,
        kinds: Collection[Kind] | None,
    ) -> list[LogEvent]:
        """Events as they are in the database."""
        events: list[LogEvent] = await self._read(
            partial(self.queries.events, after=after, limit=limit, kinds=kinds),
            *(principal, task_id),
        )
        return events

    async def _kept(
        self, task_id: str, entries: Sequence[Entry | Adopt]
    ) -> Sequence[Entry | Adopt]:
        """``entries`` as the database is to have them."""
        if self.artifacts is None:
            return entries
        kept: list[Entry | Adopt] = []
        for entry in entries:
            if isinstance(entry, Entry):
                body = await self.artifacts.keep(task_id, entry.kind, entry.body)
                kept.append(entry if body is entry.body else replace(entry, body=body))
            else:
                kept.append(entry)
        return kept

    async def _shown(self, row: TaskRow) -> TaskRow:
        if self.artifacts is None or "message" not in row.status:
            return row
        body = {"status": row.status}
        given = await self.artifacts.give("status", body)
        return row if given is body else replace(row, status=given["status"])

    def _at_hand(self, events: list[LogEvent]) -> list[LogEvent]:
        """The first of ``events``, as far as their contents are at hand."""
        if self.artifacts is None:
            return events
        found: list[LogEvent] = []
        for event in events:
            body = self.artifacts.give_at_once(event.kind, event.body)
            if body is None:
                break
            found.append(event if body is event.body else replace(event, body=body))
        return found


async def _given(artifacts: Artifacts, event: LogEvent) -> LogEvent:
    body = await artifacts.give(event.kind, event.body)
    return event if body is event.body else replace(event, body=body)
