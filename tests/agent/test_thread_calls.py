"""Work that a framework's threads hand to the loop of their run."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from typing import Any

from codin.agent.adapters._threads import ThreadCalls


def _stopped(calls: ThreadCalls, work: Coroutine[Any, Any, Any]) -> bool:
    try:
        calls.wait(work)
    except CancelledError:
        return True
    return False


async def test_a_thread_gets_what_the_loop_gives() -> None:
    calls = ThreadCalls()

    async def work() -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    assert await asyncio.to_thread(calls.wait, work()) == threading.current_thread().name


async def test_stopping_ends_what_has_begun_before_its_thread_goes_on() -> None:
    """The loop may begin it and be told to stop before the thread has run again."""
    calls, ended = ThreadCalls(), []

    async def work() -> None:
        calls.stop()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(True)
            raise

    assert await asyncio.to_thread(_stopped, calls, work())
    assert ended


async def test_nothing_begins_after_the_stop() -> None:
    calls = ThreadCalls()
    calls.stop()
    begun = []

    async def work() -> None:
        begun.append(True)

    assert await asyncio.to_thread(_stopped, calls, work())
    assert not begun
