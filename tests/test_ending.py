"""Loops end, also those that miss that they are told to."""

from __future__ import annotations

import asyncio

import pytest

from codin import ending
from codin.ending import end


async def test_a_loop_that_loses_its_cancellation_is_told_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ending, "AGAIN_SECONDS", 0.01)
    lost: list[int] = []

    async def deaf() -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                lost.append(len(lost))
                if len(lost) > 2:
                    raise

    async def quick() -> None:
        return None

    loops = [asyncio.create_task(deaf()), asyncio.create_task(quick())]
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await end(*loops)
    assert [loop.done() for loop in loops] == [True, True]
    assert len(lost) == 3


async def test_what_a_loop_died_of_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> None:
        raise ValueError("no reason")

    loop = asyncio.create_task(broken(), name="sweeper")
    await asyncio.sleep(0)
    await end(loop)
    assert "sweeper had ended" in caplog.text
    assert "no reason" in caplog.text
