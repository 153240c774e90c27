"""Signals reach an event loop that is busy."""

from __future__ import annotations

import asyncio
import os
import signal
import time

from codin.signals import on_signals
from codin.task.notify import LocalNotifier


async def test_a_signal_is_not_lost_when_the_pipe_of_the_loop_is_full() -> None:
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    with on_signals(asked.set, (signal.SIGTERM,)):
        for _ in range(20_000):
            loop.call_soon_threadsafe(int)
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(5):
            await asked.wait()


async def test_a_signal_wakes_a_loop_that_waits() -> None:
    asked = asyncio.Event()
    with on_signals(asked.set, (signal.SIGTERM,)):
        sender = await asyncio.create_subprocess_shell(f"sleep 0.2; kill -TERM {os.getpid()}")
        began = time.monotonic()
        async with asyncio.timeout(5):
            await asked.wait()
        assert time.monotonic() - began < 2
        await sender.wait()


async def test_what_a_signal_did_before_is_restored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with on_signals(int, (signal.SIGTERM,)):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


async def test_readers_of_one_task_are_woken_together() -> None:
    notifier = LocalNotifier()
    readers = [notifier.subscribe("t") for _ in range(5_000)]
    await asyncio.to_thread(notifier.notify, ["t"])
    assert all(await asyncio.gather(*(one.wait(5) for one in readers)))
