"""Keeps a runner's leases, and takes over what other processes left behind."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from codin.ending import end
from codin.security import Principal
from codin.task._runs import Runs
from codin.task.errors import TaskError
from codin.task.log.base import WAITING, EventLog
from codin.task.recovery import Recovery

_APART_SECONDS = 0.05
"""How far looks are apart for which others ask, however many these are."""

_LOOK_SECONDS = 5.0
"""How long a look that is under way is waited for at the end: the database may be away."""

_ALL = 1_000_000

_log = logging.getLogger(__name__)


class Watch:
    """Looks every ``pulse_seconds``, from ``start`` to ``stop``, also when nothing runs here, and
    whenever the log tells that something waits.

    The leases of ``runs`` are renewed; what is canceled elsewhere, or is in other hands now, is
    stopped. Tasks that nobody holds are taken over, where it ``takes_over`` any; those of processes
    of this machine that have ended every ``lease_seconds``, also where a clock that was set back
    has their leases last for hours.

    What this process holds for as long as that without running it is nobody's: such as what it was
    given by a database that went away before it could say so. It is seen to as well.
    """

    def __init__(
        self,
        log: EventLog,
        recovery: Recovery,
        runs: Runs,
        *,
        owner: str,
        lease_seconds: float,
        pulse_seconds: float,
        takes_over: bool,
    ) -> None:
        self._log = log
        self._recovery = recovery
        self._runs = runs
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._pulse_seconds = pulse_seconds
        self._takes = takes_over
        self._nudged = asyncio.Event()
        self._unsure: dict[str, Principal] = {}
        self._idle: dict[str, float] = {}
        self._looked = 0.0
        self._looking = asyncio.Lock()
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, unless it has."""
        if not self._loops:
            # Of their own: taking over much must not keep the leases from being renewed.
            self._loops = [
                asyncio.create_task(
                    self._repeat(self._pulse, lambda: asyncio.sleep(self._pulse_seconds))
                ),
                asyncio.create_task(self._repeat(self._take_over, self._next)),
                asyncio.create_task(self._listen()),
            ]

    async def take_no_more(self) -> None:
        """Leave to others whatever waits, also what this process gives up from now on: a look that
        is under way is over first, which could take it and be ended before it gives it back."""
        self._takes = False
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS), self._looking:
                pass

    async def stop(self) -> None:
        """End it. Stopping twice does nothing."""
        loops, self._loops = self._loops, []
        await end(*loops)

    def doubt(self, principal: Principal, task_id: str) -> None:
        """A run could not begin or end by the log's fault, and its task may be held all the same,
        with nobody who runs it: see to it."""
        self._unsure[task_id] = principal

    def trust(self, task_id: str) -> None:
        """The task is begun anew."""
        self._unsure.pop(task_id, None)

    def nudge(self) -> None:
        """There is room for what waits: do not let it wait for the next time."""
        self._nudged.set()

    async def _next(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pulse_seconds):
                await self._nudged.wait()
        self._nudged.clear()

    async def _listen(self) -> None:
        with self._log.notifier.subscribe(WAITING) as waiting:
            while True:
                if await waiting.wait(self._pulse_seconds):
                    self.nudge()
                    await asyncio.sleep(_APART_SECONDS)

    async def _repeat(
        self, act: Callable[[], Awaitable[None]], wait: Callable[[], Awaitable[None]]
    ) -> None:
        while True:
            await wait()
            try:
                await act()
            except TaskError as error:
                _log.warning("the task log could not be looked after, and will be again: %s", error)
            except Exception:  # without this no lease would be renewed any more
                _log.exception("the task log could not be looked after, and will be again")

    async def _pulse(self) -> None:
        before = list(self._runs)
        pulse = await self._log.pulse(self._owner, self._lease_seconds)
        for active in before:
            task_id = active.run.task_id
            if task_id in pulse.cancel:
                active.stop("canceled by its user")
            elif task_id not in pulse.held:
                active.lose()
            elif task_id in pulse.pause:
                await active.pause()
        now = time.monotonic()
        idle = (task_id for task_id in pulse.held if task_id not in self._runs)
        self._idle = {task_id: self._idle.get(task_id, now) for task_id in idle}

    async def _take_over(self) -> None:
        async with self._looking:
            await self._look()

    async def _look(self) -> None:
        await self._doubt_idle()
        for task_id, principal in list(self._unsure.items()):
            await self._settle(task_id, principal)
        if self._takes:
            await self._take_from_dead()
        if self._takes:
            await self._recovery.lost()

    async def _doubt_idle(self) -> None:
        since = time.monotonic() - self._lease_seconds
        idle = {task_id for task_id, first in self._idle.items() if first < since}
        if idle:
            for row in await self._log.unfinished(limit=_ALL):
                if row.task_id in idle and row.owner == self._owner:
                    self.doubt(row.principal, row.task_id)
            self._idle.clear()

    async def _settle(self, task_id: str, principal: Principal) -> None:
        """One that cannot be seen to keeps none of the others waiting."""
        if task_id in self._runs:
            return
        try:
            await self._recovery.settle(principal, task_id)
        except TaskError as error:
            _log.warning("task %s could not be seen to, and will be again: %s", task_id, error)
        except Exception:
            _log.exception("task %s could not be seen to, and will be again", task_id)
        else:
            self._unsure.pop(task_id, None)

    async def _take_from_dead(self) -> None:
        now = time.monotonic()
        if now - self._looked >= self._lease_seconds:
            await self._recovery.dead()
            self._looked = now
