"""Keeps a runner's leases, and takes over what other processes left behind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from codin.ending import end
from codin.security import Principal
from codin.task._runs import Runs
from codin.task.errors import TaskError
from codin.task.log.base import EventLog
from codin.task.recovery import Recovery

_log = logging.getLogger(__name__)


class Watch:
    """Looks every ``pulse_seconds``, from ``start`` to ``stop``, also when nothing runs here.

    The leases of ``runs`` are renewed; what is canceled elsewhere, or is in other hands now, is
    stopped. Tasks that nobody holds are taken over, where it ``takes_over`` any.
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
            ]

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

    async def _take_over(self) -> None:
        for task_id, principal in list(self._unsure.items()):
            if task_id not in self._runs:
                await self._recovery.settle(principal, task_id)
                self._unsure.pop(task_id, None)
        if self._takes:
            await self._recovery.lost()
