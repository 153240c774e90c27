"""What a run writes to its task's log, in order and in few transactions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from codin.agent.a2a import EventEncoder
from codin.agent.events import AgentEvent, EndEvent, TextDelta
from codin.task.log.base import Adopt, Entry, EventLog, Lease, StepRow

FLUSH_SECONDS = 0.02
FLUSH_BYTES = 2048
"""Text that follows other text is kept back for this long, or until there is this much of it: a
commit for each token would cost more than the token."""

SETTLE_SECONDS = 0.002
"""What is said within this time goes into one commit; the end of a run waits for nothing."""

_ROOM = 1000
"""Entries that wait for the log at most, before whoever writes has to wait too."""


class Journal:
    """Collects what a run says; ``run`` writes it. What is put in after the end is dropped.

    ``put`` and ``end`` encode at once, so that an event that cannot be said is its sender's error.
    """

    def __init__(
        self,
        log: EventLog,
        lease: Lease,
        encoder: EventEncoder,
        *,
        flush_seconds: float = FLUSH_SECONDS,
    ) -> None:
        self._log = log
        self._lease = lease
        self._encoder = encoder
        self._flush_seconds = flush_seconds
        self._entries: list[Entry | Adopt] = []
        self._steps: list[StepRow] = []
        self._delta: TextDelta | None = None
        self._closed = False
        self._over = False
        self._count = 0
        self._done = 0
        self._filled = asyncio.Event()
        self._urgent = asyncio.Event()
        self._now = asyncio.Event()
        self._flushed = 0.0
        self._written = asyncio.Event()

    async def put(self, item: AgentEvent | Entry | Adopt, steps: Sequence[StepRow] = ()) -> None:
        """Add ``item``, and ``steps`` in the same transaction. Waits while there is no room."""
        while len(self._entries) >= _ROOM and not (self._closed or self._over):
            self._written.clear()
            self._now.set()
            await self._written.wait()
        if self._closed or self._over:
            return
        self._steps += steps
        self._add(item)

    def end(self, event: EndEvent, steps: Sequence[StepRow] = ()) -> None:
        """Add the event that ends the run. Only the first one counts."""
        if self._closed:
            return
        self._closed = True
        self._steps += steps
        self._add(event)
        self._now.set()
        self._written.set()

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
            self._written.set()

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
            self._flushed = asyncio.get_running_loop().time()
            await self._log.append(self._lease, entries, steps=steps)
            self._done = count
            self._written.set()
            if ending:
                return

    async def flushed(self) -> None:
        """Return when all that was put in before is committed, or nothing more will be."""
        target = self._count
        self._urgent.set()
        self._now.set()
        while self._done < target and not self._over:
            self._written.clear()
            await self._written.wait()

    async def _linger(self) -> None:
        """Return when what there is should be written. The first text after a pause goes at once,
        what follows it when it is worth a commit."""
        since = asyncio.get_running_loop().time() - self._flushed
        await _at_most(self._flush_seconds - since, self._urgent)
        await _at_most(SETTLE_SECONDS, self._now)

    def _add(self, item: AgentEvent | Entry | Adopt) -> None:
        if isinstance(item, TextDelta):
            self._add_delta(item)
        elif self._delta is None and self._entries[-1:] == [item] and isinstance(item, Adopt):
            return  # it takes in all that is there when it is written
        else:
            self._encode_delta()
            self._entries.append(item if isinstance(item, Entry | Adopt) else self._encode(item))
            self._urgent.set()
        self._count += 1
        self._filled.set()

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


async def _at_most(seconds: float, event: asyncio.Event) -> None:
    """Wait for ``event``, but no longer than that."""
    if seconds <= 0 or event.is_set():
        return
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
