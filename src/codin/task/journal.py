"""What a run writes to its task's log, in order and in few transactions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from codin.agent.a2a import EventEncoder
from codin.agent.events import AgentEvent, EndEvent, TextDelta
from codin.task._pace import Pace
from codin.task._signal import Signal
from codin.task.log.base import EventLog
from codin.task.log.entries import Adopt, Entry
from codin.task.log.leases import Lease
from codin.task.log.rows import StepRow

FLUSH_SECONDS = 0.02
FLUSH_BYTES = 2048
"""What follows soon after something was written is kept back until this long after it, or until
there is this much text: a commit for each token would cost more than the token, and one for each
step of a goal would have the steps wait for the disk. The end, and what somebody waits for, is
not."""

SETTLE_SECONDS = 0.002
"""What is said within this time goes into one commit; the end of a run waits for nothing."""

_BUSY_SECONDS = 0.25
"""What is kept back is kept back for longer while the log is busy: so long at most."""
_FLUSH_WRITES = 4
"""As long as so many writes take then."""

_ROOM = 1000
"""Entries that wait for the log at most, before whoever writes has to wait too."""


class Journal:
    """Collects what a run says, and writes it: by ``run``, or from ``open`` on, when something has
    waited, and by ``finish``. What is put in after the end is dropped.

    ``put`` and ``end`` encode at once, so that an event that cannot be said is its sender's error.
    """

    def __init__(
        self,
        log: EventLog,
        lease: Lease,
        encoder: EventEncoder,
        *,
        flush_seconds: float = FLUSH_SECONDS,
        pace: Pace | None = None,
    ) -> None:
        self._log = log
        self._lease = lease
        self._encoder = encoder
        self._flush_seconds = flush_seconds
        self._pace = pace or Pace()
        self._entries: list[Entry | Adopt] = []
        self._steps: list[StepRow] = []
        self._delta: TextDelta | None = None
        self._closed = False
        self._over = False
        self._failure: Exception | None = None
        self._count = 0
        self._done = 0
        self._filled = Signal()
        self._urgent = Signal()
        self._now = Signal()
        self._flushed = 0.0
        self._written: asyncio.Event | None = None
        self._broken: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._writer: asyncio.Task[None] | None = None

    async def put(self, item: AgentEvent | Entry | Adopt, steps: Sequence[StepRow] = ()) -> bool:
        """Add ``item``, and ``steps`` in the same transaction; whether it was taken. Waits while
        there is no room."""
        while len(self._entries) >= _ROOM and not (self._closed or self._over):
            await self._pressed()
        if self._closed or self._over:
            return False
        self._steps += steps
        self._add(item)
        return True

    def end(self, event: EndEvent, steps: Sequence[StepRow] = ()) -> None:
        """Add the event that ends the run. Only the first one counts."""
        if self._closed:
            return
        self._closed = True
        self._steps += steps
        self._add(event)
        self._urgent.set()
        self._now.set()
        self._tell()

    def open(self, broken: Callable[[], None]) -> None:
        """From now on what has been put in is written without being asked; ``broken`` is called
        when the log does not take it. Most runs are over before: so there is no task for it until
        there is something to do."""
        self._broken = broken

    async def finish(self) -> None:
        """Return once the end, which has been put in, is written. Raises as ``run``."""
        self._stop_timer()
        if self._writer is None:
            await self.run()
        else:
            await self._writer

    def close(self) -> None:
        """Write no more, and let nobody wait for it."""
        self._broken = None
        self._over = True
        self._tell()
        self._stop_timer()
        if self._writer is not None:
            self._writer.cancel()

    def fail(self, error: Exception) -> None:
        """Write no more, because of ``error``: as if the log had not taken something."""
        if self._failure is None:
            broken, self._failure = self._broken, error
            self.close()
            if broken is not None:
                broken()

    def check(self) -> None:
        """Return when nothing has gone wrong so far. Raises as ``run``, and what it failed by."""
        if self._failure is not None:
            raise self._failure
        if self._writer is not None and self._writer.done() and not self._writer.cancelled():
            self._writer.result()

    async def run(self) -> None:
        """Write until the end is written.

        Raises:
            TaskError: the log does not take it: the lease is stale, the task has ended, or the
                store is broken.
        """
        try:
            await self._write()
        finally:
            self._over = True
            self._tell()

    async def _write(self) -> None:
        while True:
            await self._filled.wait()
            await self._linger()
            ending = self._closed
            self._encode_delta()
            entries, self._entries = self._entries, []
            steps, self._steps = self._steps, []
            count = self._count
            self._filled.clear()
            self._urgent.clear()
            self._now.clear()
            loop = asyncio.get_running_loop()
            self._flushed = loop.time()
            await self._log.append(self._lease, entries, steps=steps)
            self._pace.took(loop.time() - self._flushed)
            self._done = count
            self._tell()
            if ending:
                return

    async def flushed(self) -> bool:
        """Return when all that was put in before is committed, or nothing more will be; whether it
        is."""
        target = self._count
        while self._done < target and not self._over:
            await self._pressed()
        return self._done >= target

    async def _pressed(self) -> None:
        """Have what there is written at once, and return when something has been, or is over."""
        if self._broken is not None:
            self._begin()
        self._urgent.set()
        self._now.set()
        if self._written is None:
            self._written = asyncio.Event()
        self._written.clear()
        await self._written.wait()

    def _tell(self) -> None:
        if self._written is not None:
            self._written.set()

    def _begin(self) -> None:
        """Write in a task of its own, what there is at once."""
        self._stop_timer()
        if self._writer is None and not self._over:
            self._now.set()  # it has waited enough
            self._writer = asyncio.create_task(self.run())
            self._writer.add_done_callback(self._ended)

    def _ended(self, writer: asyncio.Task[None]) -> None:
        failed = not writer.cancelled() and writer.exception() is not None
        if failed and self._broken is not None:
            self._broken()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _linger(self) -> None:
        """Return when what there is should be written: the first after a pause at once, what
        follows it when it is worth a commit."""
        busy = self._pace.seconds
        together = max(self._flush_seconds, min(busy * _FLUSH_WRITES, _BUSY_SECONDS))
        since = asyncio.get_running_loop().time() - self._flushed
        if since < together:
            await self._urgent.wait(together - since)
        await self._now.wait(self._settle_seconds)

    @property
    def _settle_seconds(self) -> float:
        return max(SETTLE_SECONDS, min(self._pace.seconds, _BUSY_SECONDS))

    def _add(self, item: AgentEvent | Entry | Adopt) -> None:
        if isinstance(item, TextDelta):
            self._add_delta(item)
        elif self._delta is None and self._entries[-1:] == [item] and isinstance(item, Adopt):
            return  # it takes in all that is there when it is written
        else:
            self._encode_delta()
            self._entries.append(item if isinstance(item, Entry | Adopt) else self._encode(item))
        self._count += 1
        self._filled.set()
        if self._writer is None and self._timer is None and self._broken and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(self._settle_seconds, self._begin)

    def _add_delta(self, delta: TextDelta) -> None:
        if self._delta is not None and self._delta.message_id == delta.message_id:
            joined = self._delta.text + delta.text
            self._delta = TextDelta(message_id=delta.message_id, text=joined)
        else:
            self._encode_delta()
            self._delta = delta
        if len(self._delta.text) >= FLUSH_BYTES:
            self._urgent.set()

    def _encode_delta(self) -> None:
        if self._delta is not None:
            self._entries.append(self._encode(self._delta))
            self._delta = None

    def _encode(self, event: AgentEvent) -> Entry:
        return Entry(*self._encoder.encode_json(event))
