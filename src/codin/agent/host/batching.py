"""Fewer, larger pieces of text.

Models stream word by word. In the host each piece would be an update of the A2A task, which costs
more the longer the text is already; joined over some milliseconds nobody sees a difference.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from codin.agent.events import AgentEvent, TextDelta

SECONDS = 0.025
CHARACTERS = 2_000


async def in_batches(
    events: AsyncGenerator[AgentEvent, None],
) -> AsyncGenerator[AgentEvent, None]:
    """``events``, with text deltas that follow each other closely joined.

    A delta after a pause is given at once. Order and content stay the same. ``events`` is closed
    with this generator.
    """
    batch = _Batch()
    coming = asyncio.ensure_future(anext(events, None))
    try:
        while True:
            await asyncio.wait({coming}, timeout=batch.wait_seconds)
            if not coming.done():
                ready = batch.take()
            elif (event := coming.result()) is not None:
                coming = asyncio.ensure_future(anext(events, None))
                ready = batch.add(event)
            else:
                break
            for one in ready:
                yield one
        for one in batch.take():
            yield one
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
        await events.aclose()


class _Batch:
    """The delta that is held back, and until when."""

    def __init__(self) -> None:
        self._held: TextDelta | None = None
        self._due = 0.0
        self._time = asyncio.get_running_loop().time

    @property
    def wait_seconds(self) -> float | None:
        """How long to wait for more; without end when nothing is held."""
        return None if self._held is None else max(self._due - self._time(), 0)

    def add(self, event: AgentEvent) -> list[AgentEvent]:
        """What is to be given now that ``event`` has come."""
        held = self._held
        if not isinstance(event, TextDelta):
            return [*self.take(), event]
        if held is not None and held.message_id == event.message_id:
            self._held = TextDelta(message_id=held.message_id, text=held.text + event.text)
            before: list[AgentEvent] = []
        else:
            before = self.take()
            self._held = event
        if self._time() >= self._due or len(self._held.text) >= CHARACTERS:
            return [*before, *self.take()]
        return before

    def take(self) -> list[AgentEvent]:
        """What is held, if anything; what comes next is held for a while again."""
        if self._held is None:
            return []
        ready, self._held = self._held, None
        self._due = self._time() + SECONDS
        return [ready]
