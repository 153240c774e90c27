"""Has tasks stop and go on, in whatever process they run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from codin.agent.events import Canceled
from codin.security import Principal
from codin.task._runs import Runs
from codin.task._watch import Watch
from codin.task.errors import TaskEnded, TaskError
from codin.task.log.base import EventLog
from codin.task.log.follow import follow
from codin.task.log.leases import Lease
from codin.task.log.rows import TaskRow
from codin.task.recovery import Recovery
from codin.task.states import INTERRUPTED, TERMINAL

_LOOK_SECONDS = 0.1
"""How often is looked whether another process has let go of a task."""


class Control:
    """Cancels, pauses and holds the tasks of ``log``: those in ``runs`` at once, and those of other
    processes by what the log tells these, within ``patience_seconds``."""

    def __init__(
        self,
        log: EventLog,
        runs: Runs,
        recovery: Recovery,
        watch: Watch,
        *,
        patience_seconds: float,
    ) -> None:
        self._log = log
        self._runs = runs
        self._recovery = recovery
        self._watch = watch
        self._patience = patience_seconds

    async def cancel(self, principal: Principal, task_id: str, reason: str = "") -> TaskRow:
        """Stop a task, in whatever process it runs, and give how it stands once that is logged.

        Raises:
            UnknownTask: there is none for this principal.
            TaskEnded: it is over already.
        """
        row = await self._log.task(principal, task_id)
        if row.ended:
            raise TaskEnded(f"task {task_id} has ended ({row.state}): there is nothing to cancel")
        reason = reason or "canceled by its user"
        active = self._runs.get(task_id)
        if active is not None:
            await active.cancel(reason)
        else:
            await self._cancel_elsewhere(principal, row, reason)
        row = await self._log.task(principal, task_id)
        if row.interrupted:  # its run ended with a question just then
            await self._cancel_elsewhere(principal, row, reason)
        return await self._log.task(principal, task_id)

    async def pause(self, principal: Principal, task_id: str) -> TaskRow:
        """Have a task, and all that was begun for it, go no further until it is resumed, in
        whatever process it runs; what it is doing is made again then, as after a crash.

        Raises:
            UnknownTask: there is none for this principal.
            TaskEnded: it is over already.
        """
        row = await self._log.request_pause(principal, task_id, paused=True)
        here = [one for one in self._runs if task_id in (one.run.task_id, one.run.goal_id)]
        await asyncio.gather(*(active.pause() for active in here))
        return row

    async def unpause(self, principal: Principal, task_id: str) -> TaskRow:
        """Have a paused task go on.

        Raises:
            UnknownTask: there is none for this principal.
            TaskEnded: it is over.
        """
        row = await self._log.request_pause(principal, task_id, paused=False)
        self._watch.start()
        self._watch.nudge()
        return row

    @asynccontextmanager
    async def held(self, principal: Principal, task_id: str) -> AsyncIterator[Lease]:
        """The lease of a task that is at work, with nobody who runs it meanwhile; what it has begun
        goes on, and so does it afterwards.

        Raises:
            UnknownTask: there is none for this principal.
            TaskEnded: it is over.
            TaskError: whoever runs it does not let go of it.
        """
        was = (await self._log.task(principal, task_id)).paused
        row = await self._log.request_pause(principal, task_id, paused=True, below=False)
        try:
            lease = await self._free(row)
            try:
                yield lease
            finally:
                await self._log.release(lease)
        finally:
            if not was:
                with suppress(TaskEnded):
                    await self._log.request_pause(principal, task_id, paused=False, below=False)
                self._watch.start()
                self._watch.nudge()

    async def _free(self, row: TaskRow) -> Lease:
        """The lease of a paused task, once whoever runs it has let go of it."""
        active = self._runs.get(row.task_id)
        if active is not None:
            await active.leave()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                while (lease := await self._recovery.claim(row)) is None:
                    if (await self._log.task(row.principal, row.task_id)).ended:
                        raise TaskEnded(f"task {row.task_id} has ended meanwhile")
                    await asyncio.sleep(_LOOK_SECONDS)
                return lease
        raise TaskError(f"task {row.task_id} is not let go of by the process that runs it")

    async def take(self, principal: Principal, task_id: str) -> bool:
        """Have a task that nobody runs, because it is paused or was left behind, go on here, with
        what was begun for it; whether it does, and is not in the hands of another process.

        Raises:
            UnknownTask: there is none for this principal.
            TaskEnded: it is over.
        """
        row = await self.unpause(principal, task_id)
        below = [
            one
            for one in await self._log.unfinished()
            if one.goal_id == task_id != one.task_id and one.principal == row.principal
        ]
        for one in below:
            await self._recovery.take(one)
        return not row.interrupted and await self._recovery.take(row)

    async def _cancel_elsewhere(self, principal: Principal, row: TaskRow, reason: str) -> None:
        lease = await self._recovery.claim(row)
        if lease is not None:
            await self._recovery.end(row, lease, Canceled(message=reason))
            return
        await self._log.request_cancel(principal, row.task_id)
        with suppress(TimeoutError):
            # Should its process be dead, whoever takes it over cancels it.
            async with asyncio.timeout(self._patience):
                async for _ in follow(
                    self._log, principal, row.task_id, until=TERMINAL | INTERRUPTED
                ):
                    pass
