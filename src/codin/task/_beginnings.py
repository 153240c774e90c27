"""Runs that begin wholly or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

Drive = Callable[[], Coroutine[Any, Any, None]]
"""Drives a run that has begun, to its end."""


class Beginnings:
    """Begins runs and has them driven: a caller that is cancelled in between must not leave a task
    that nobody runs."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Future[Any]] = set()
        self._drivers: set[asyncio.Task[None]] = set()

    async def whole(self, beginning: Coroutine[Any, Any, tuple[T, Drive]]) -> T:
        """What ``beginning`` gives besides what drives the run, which is driven from now on."""
        begun: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._under_way.add(begun)
        begun.add_done_callback(self._under_way.discard)
        driver = asyncio.create_task(_led(beginning, begun))
        self._drivers.add(driver)
        driver.add_done_callback(self._drivers.discard)
        return await asyncio.shield(begun)

    async def settled(self) -> None:
        """Return when each run that is beginning has begun, or failed to."""
        await asyncio.gather(*self._under_way, return_exceptions=True)


async def _led(beginning: Coroutine[Any, Any, tuple[T, Drive]], begun: asyncio.Future[T]) -> None:
    """Drive what ``beginning`` has begun, after telling of it."""
    try:
        answer, drive = await beginning
    except asyncio.CancelledError:
        begun.cancel()
        raise
    except Exception as error:
        begun.set_exception(error)
        return
    begun.set_result(answer)
    await drive()
