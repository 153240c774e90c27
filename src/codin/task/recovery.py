"""What becomes of tasks that nobody runs any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from codin.agent.a2a import EventEncoder
from codin.agent.events import Canceled, Failed
from codin.security import Principal
from codin.task.errors import FencedError, TaskEnded, TaskError, UnknownTask
from codin.task.journal import Journal
from codin.task.log.base import EventLog
from codin.task.log.entries import Adopt
from codin.task.log.leases import Lease
from codin.task.log.rows import StepRow, TaskRow
from codin.task.owner import is_dead
from codin.task.scheduler import Scheduler

TakeUp = Callable[[TaskRow, Lease], Awaitable[Failed | None]]
"""Begins the run of a task that is held by the lease, or goes on with it; gives the task's end
instead where it cannot."""

_BATCH = 100
_AT_ONCE = 16
"""How many are seen to at a time: they share the log's commits, and leave room for others."""
_UNFINISHED = 1000

_log = logging.getLogger(__name__)

_T = TypeVar("_T")
_Taken = tuple[TaskRow, Lease]


class Recovery:
    """Takes over tasks that wait for a process or were left behind by one, as ``owner``.
    ``take_up`` has one go on, or gives its end: then it is brought to that, and so is what
    somebody wanted canceled. Those that wait for somebody stay as they are.

    Any number of processes do so over one log; each task is taken over by one of them.
    """

    def __init__(
        self,
        log: EventLog,
        take_up: TakeUp,
        *,
        owner: str,
        lease_seconds: float,
        scheduler: Scheduler | None = None,
    ) -> None:
        self._log = log
        self._take_up = take_up
        self._scheduler = scheduler or Scheduler()
        self._owner = owner
        self._lease_seconds = lease_seconds

    async def lost(self) -> list[str]:
        """See to the tasks that nobody runs, as far as there is room; gives their ids."""
        seen_to: list[str] = []
        while True:
            room, waited = self._scheduler.room, self._scheduler.waited
            taken = await self._log.claim_lost(
                owner=self._owner, ttl=self._lease_seconds, limit=_BATCH, room=room
            )
            runs = sum(row.lane == "agent" for row, _ in taken)
            full = 0 < room.runs <= runs
            self._scheduler.queued = full or waited != self._scheduler.waited
            seen_to += await self._see_to_all(taken)
            if len(taken) < _BATCH:
                return seen_to

    async def dead(self) -> list[str]:
        """See to the tasks of processes of this machine that have ended, without waiting for their
        leases to run out; gives their ids."""
        seen_to: list[str] = []
        while True:
            rows = await self._log.unfinished(limit=_UNFINISHED)
            gone = {owner for owner in {row.owner for row in rows} if owner and is_dead(owner)}
            done = await self._see_to_all(await self._take(r for r in rows if r.owner in gone))
            seen_to += done
            if not done or len(rows) < _UNFINISHED:
                return seen_to

    async def take(self, row: TaskRow) -> bool:
        """See to the task, if no process that lives has it; whether it was free."""
        lease = await self.claim(row)
        return lease is not None and await self._try(row, lease)

    async def claim(self, row: TaskRow) -> Lease | None:
        """The task's lease, unless a process that lives has it."""
        dead = row.owner if row.owner is not None and is_dead(row.owner) else None
        return await self._claim(row, dead)

    async def settle(self, principal: Principal, task_id: str) -> None:
        """See to a task that the owner may hold without running it, because the log failed it:
        unless it waits for somebody."""
        try:
            row = await self._log.task(principal, task_id)
        except UnknownTask:
            return
        held = row.owner == self._owner
        if row.ended or not (held or (row.owner is None and not row.interrupted)):
            return
        lease = await self._claim(row, row.owner)
        if lease is None:
            return
        row = await self._log.task(principal, task_id)  # as it stands now that nobody else writes
        if row.interrupted:
            await self._log.release(lease)
        else:
            await self._see_to(row, lease)

    async def end(self, row: TaskRow, lease: Lease, why: Canceled | Failed) -> None:
        """Write ``why`` as the end of the task ``row``, which ``lease`` holds, with its steps and
        what was begun for them.

        Raises:
            TaskError: the log does not take it.
        """
        journal = Journal(self._log, lease, EventEncoder(row.task_id, row.context_id))
        left: list[StepRow] = []
        for step in await self._log.steps(row.principal, row.task_id):
            if step.child_id is not None:
                await self._end_child(row.principal, step.child_id, why)
                await journal.put(Adopt(step.child_id, step.step_id, step.agent))
            if step.state == "working":
                left.append(_stopped(step, why))
            elif step.state == "waiting":
                left.append(replace(step, state="skipped"))
        journal.end(why, left)
        await journal.run()

    async def _end_child(self, principal: Principal, task_id: str, why: Canceled | Failed) -> None:
        """Before its goal ends, whoever holds it: its last events belong into the goal's log."""
        try:
            row = await self._log.task(principal, task_id)
            # One that waits for an answer can still be given it, unless it is not wanted any more.
            if row.ended or (row.interrupted and isinstance(why, Failed)):
                return
            lease = await self._claim(row, row.owner)
            if lease is not None:
                await self.end(row, lease, why)
        except (FencedError, TaskEnded, UnknownTask):
            return  # somebody else was faster

    async def _take(self, rows: Iterable[TaskRow]) -> list[_Taken]:
        taken: list[_Taken] = []
        for some in _chunks(list(rows)):
            leases = await asyncio.gather(*(self._claim(row, row.owner) for row in some))
            pairs = zip(some, leases, strict=True)
            taken += [(row, lease) for row, lease in pairs if lease is not None]
        return taken

    async def _claim(self, row: TaskRow, dead: str | None) -> Lease | None:
        return await self._log.claim(
            row.principal, row.task_id, owner=self._owner, ttl=self._lease_seconds, dead=dead
        )

    async def _see_to_all(self, taken: list[_Taken]) -> list[str]:
        taken = [one for one in taken if await self._admitted(*one)]
        seen_to: list[str] = []
        # Children first: then their goals find them at work, or ended.
        for children in (True, False):
            wave = [one for one in taken if (one[0].parent_id is not None) is children]
            for some in _chunks(wave):
                done = await asyncio.gather(*(self._try(row, lease) for row, lease in some))
                seen_to += [row.task_id for (row, _), ok in zip(some, done, strict=True) if ok]
        return seen_to

    async def _admitted(self, row: TaskRow, lease: Lease) -> bool:
        """Whether there is room for the task, which is taken from now on; else it is given back."""
        late = row.deadline is not None and await self._log.now() >= row.deadline
        to_end = row.cancel_requested or late
        if to_end or self._scheduler.admits(row.lane, row.tenant, row.agent_id):
            self._scheduler.begin(row.task_id, row.lane, row.tenant, row.agent_id)
            return True
        await self._log.release(lease)
        return False

    async def _try(self, row: TaskRow, lease: Lease) -> bool:
        try:
            if not await self._see_to(row, lease):
                self._scheduler.end(row.task_id)
        except (FencedError, TaskEnded):
            self._scheduler.end(row.task_id)
            return False  # somebody else was faster
        except Exception:
            self._scheduler.end(row.task_id)
            _log.exception("task %s was left behind, and could not be seen to yet", row.task_id)
            with suppress(TaskError):
                await self._log.release(lease)
            return False
        return True

    async def _see_to(self, row: TaskRow, lease: Lease) -> bool:
        """Whether the task is at work now; otherwise it has ended."""
        if row.cancel_requested:
            why = "canceled by its user; the process that ran it has ended"
            await self.end(row, lease, Canceled(message=why))
        elif end := await self._take_up(row, lease):
            await self.end(row, lease, end)
        else:
            return True
        return False


def interrupted(reason: str) -> Failed:
    """The end of a task whose process has ended, and that cannot go on."""
    message = f"the process that ran it has ended, and it could not go on: {reason}"
    return Failed(error_type="Interrupted", message=message)


def unauthorized(reason: str) -> Failed:
    """The end of a task that has to go on, and whose owner may do nothing any more."""
    message = f"it was begun with a credential that is good no more, and does not go on: {reason}"
    return Failed(error_type="Unauthorized", message=message)


def past_deadline(left: str = "") -> Failed:
    """The end of a task that is not done when it should be."""
    message = f"it was not done by its deadline, and was stopped{left}"
    return Failed(error_type="DeadlineExceeded", message=message)


def _chunks(all_of_them: list[_T]) -> Iterator[list[_T]]:
    for start in range(0, len(all_of_them), _AT_ONCE):
        yield all_of_them[start : start + _AT_ONCE]


def _stopped(step: StepRow, why: Canceled | Failed) -> StepRow:
    if isinstance(why, Canceled):
        return replace(step, state="canceled")
    return replace(step, state="failed", error=why.message)
