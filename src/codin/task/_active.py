"""A run as it is driven: the work, the writing, and how both are stopped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from codin.agent.events import Canceled, EndEvent, Failed
from codin.agent.response import failure
from codin.task.errors import FencedError, is_away
from codin.task.recovery import past_deadline
from codin.task.work import Run, Work

_log = logging.getLogger(__name__)


class ActiveRun:
    """Drives one run: exactly one end is written, whatever the work does.

    Work that is cancelled has ``grace_seconds`` to stop; then it is left behind and said to be.
    Deadlines are by ``clock``.
    """

    driver: asyncio.Task[None]

    def __init__(
        self, run: Run, work: Work, *, grace_seconds: float, clock: Callable[[], Awaitable[float]]
    ) -> None:
        self.run = run
        self._work = work
        self._journal = run.journal
        self._grace = grace_seconds
        self._clock = clock
        self.left = False
        """Whether it was stopped here so that it goes on somewhere else."""
        self._stop_reason: str | None = None
        self._turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._due = False
        self._timed_out = False

    def stop(self, reason: str) -> None:
        """Ask for the end of the work. Only the first reason counts."""
        if self._stop_reason is None:
            self._stop_reason = reason
            self._go_on()

    def lose(self) -> None:
        """Ask for the end of the work, of which nothing more is to be told: the task goes on in
        other hands."""
        if self._turn.done():
            return  # it is ending; if it may not, the log says so
        self.run.lost = True
        self._journal.close()
        self._go_on()

    async def pause(self) -> None:
        """Stop the work until somebody wants it to go on."""
        await self.run.say({"type": "paused"})
        await self.leave()

    async def hand_over(self) -> None:
        """Stop the work so that another process goes on with it: it is not what ended this one."""
        await self.run.say({"type": "handed_over"})
        await self.leave()

    async def leave(self) -> None:
        """Stop the work without a word, and return when another process may go on with it, from all
        that was said."""
        self.left = True
        await self.run.flushed()
        self.lose()
        await asyncio.wait([self.driver])

    async def cancel(self, reason: str) -> None:
        """Stop the work, and return when its end is in the log."""
        self.stop(reason)
        await asyncio.wait([self.driver])

    async def drive(self, ending: Callable[[EndEvent], Awaitable[None]]) -> None:
        """Do the work, and return once its end is in the log; ``ending`` is awaited before that.

        Raises:
            FencedError: the task is in other hands now; the work is stopped.
            TaskError: the log took it no more, or could not be read; the work is stopped.
        """
        try:
            await self._driven(await self._seconds(), ending)
        finally:
            self._journal.close()

    async def _driven(
        self, seconds: float | None, ending: Callable[[EndEvent], Awaitable[None]]
    ) -> None:
        loop = asyncio.get_running_loop()
        timer = None if seconds is None else loop.call_later(seconds, self._time_out)
        self._journal.open(self._broken)
        performing = asyncio.create_task(self._work.perform(self.run))
        performing.add_done_callback(self._go_on)
        try:
            await self._turn
            halted = await self._halt(performing)
            self._journal.check()  # what ended it: nothing of this run is to show anywhere
            if self.run.lost:
                raise FencedError(f"task {self.run.task_id} goes on elsewhere: it was stopped here")
            end = self._outcome(performing, halted=halted)
            await ending(end)
            self._journal.end(end)
            await self._journal.finish()
        finally:
            if timer is not None:
                timer.cancel()
            self._turn.cancel()
            performing.cancel()

    def _broken(self) -> None:
        """The log takes nothing more of it."""
        self.run.lost = True
        self._go_on()

    def _go_on(self, _: object = None) -> None:
        if not self._turn.done():
            self._turn.set_result(None)

    def _time_out(self) -> None:
        if not self._turn.done():
            self._timed_out = True
            self._go_on()

    async def _seconds(self) -> float | None:
        """How long the work may take from now on."""
        given, deadline = self._work.seconds, self.run.urgency.deadline
        if deadline is None:
            return given
        left = max(deadline - await self._clock(), 0.0)
        self._due = given is None or left <= given
        return left if self._due else given

    def _outcome(self, performing: asyncio.Task[EndEvent], *, halted: bool) -> EndEvent:
        left = "" if halted else "; it did not stop when it was told to, and was left behind"
        if self._stop_reason is not None:
            return Canceled(message=self._stop_reason + left)
        if self._timed_out:
            if self._due:
                return past_deadline(left)
            limit = f"{self._work.seconds:g} s"
            message = f"it took longer than the {limit} allowed, and was stopped{left}"
            return Failed(error_type="Timeout", message=message)
        if not halted or performing.cancelled():
            return Failed(error_type="Stopped", message=f"{self._work.id} ended without an answer")
        error = performing.exception()
        if error is not None:
            if is_away(error):
                raise error
            _log.debug("the work of task %s failed", self.run.task_id, exc_info=error)
            return failure(error)
        return performing.result()

    async def _halt(self, performing: asyncio.Task[EndEvent]) -> bool:
        """Stop the work if it still goes on; whether it did stop."""
        if not performing.done():
            # Once only: a second cancellation would break into the work's own clearing up.
            performing.cancel()
            await asyncio.wait([performing], timeout=self._grace)
        if performing.done() and not performing.cancelled():
            performing.exception()  # retrieved, or asyncio complains that nobody did
        if not performing.done():
            _log.error("%s did not stop when it was canceled", self._work.id)
        return performing.done()
