"""A signal is heard whether it comes before or after the wait; without one the wait ends."""

from __future__ import annotations

import asyncio

import pytest

from codin.task._signal import Signal


async def test_it_is_heard_before_and_after() -> None:
    signal = Signal()
    signal.set()
    assert await signal.wait(0)
    signal.clear()
    waiting = asyncio.create_task(signal.wait(10))
    await asyncio.sleep(0)
    signal.set()
    assert await asyncio.wait_for(waiting, 1)


async def test_a_wait_ends_by_itself_or_by_being_cancelled() -> None:
    signal = Signal()
    assert not await signal.wait(0.01)
    waiting = asyncio.create_task(signal.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    signal.set()
    assert await signal.wait()
