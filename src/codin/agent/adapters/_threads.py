"""What the threads of a framework have done in the loop of their run."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class ThreadCalls:
    """Work that threads hand to the loop in which this was made, and wait for.

    It is kept in the loop alone, so that none begins unseen while the run is being stopped.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopped = False

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """What ``work`` gives, for a thread that is not the loop's.

        Raises what ``work`` does, and
            concurrent.futures.CancelledError: the run was stopped.
        """
        return asyncio.run_coroutine_threadsafe(self._done(work), self._loop).result()

    def stop(self) -> None:
        """End what threads wait for, and what they would begin. To be called in the loop."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()

    async def _done(self, work: Coroutine[Any, Any, T]) -> T:
        if self._stopped:
            work.close()
            raise asyncio.CancelledError
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await work
