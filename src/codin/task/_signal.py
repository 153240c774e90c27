"""Something that one task of a loop waits for, again and again."""

from __future__ import annotations

import asyncio


class Signal:
    """An ``asyncio.Event`` for one that waits, with a time-out of its own: there are several for
    each run and each reader, so that what they weigh and cost counts."""

    __slots__ = ("_on", "_waiter")

    def __init__(self) -> None:
        self._on = False
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Wake who waits, or who will."""
        self._on = True
        _wake(self._waiter)

    def clear(self) -> None:
        """From now on is waited again."""
        self._on = False

    async def wait(self, timeout: float | None = None) -> bool:
        """Return ``True`` once it is set, ``False`` when it is not within ``timeout`` seconds."""
        if self._on:
            return True
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        timer = None if timeout is None else loop.call_later(timeout, _wake, waiter)
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()
        return self._on


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
