"""Wake-ups for readers of the log.

A wake-up carries nothing: it says that there may be something to read. So one that is lost costs
only time, and a reader in another process gets by with its slow poll.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable

from codin.task._signal import Signal


class Subscription(ABC):
    """Wake-ups about one task, from the moment it is made until it is closed."""

    @abstractmethod
    async def wait(self, timeout: float) -> bool:
        """Return ``True`` at once when there was a wake-up since the last call, or when one comes;
        ``False`` after ``timeout`` seconds without any."""

    @abstractmethod
    def close(self) -> None:
        """End it. Closing twice does nothing."""

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Notifier(ABC):
    """Passes wake-ups from whoever commits to whoever reads."""

    @abstractmethod
    def subscribe(self, task_id: str) -> Subscription:
        """Wake-ups about ``task_id`` for the running event loop. Subscribe first, then read."""

    @abstractmethod
    def notify(self, task_ids: Iterable[str]) -> None:
        """Wake whoever waits for these tasks. Any thread may call it; never raises."""


class LocalNotifier(Notifier):
    """Wake-ups inside this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, set[_LocalSubscription]] = {}

    def subscribe(self, task_id: str) -> Subscription:
        subscription = _LocalSubscription(self, task_id)
        with self._lock:
            self._waiting.setdefault(task_id, set()).add(subscription)
        return subscription

    def notify(self, task_ids: Iterable[str]) -> None:
        """One call into each loop, however many wait there: the pipe that wakes a loop is small."""
        woken: defaultdict[asyncio.AbstractEventLoop, list[_LocalSubscription]] = defaultdict(list)
        with self._lock:
            for key in set(task_ids):
                for one in self._waiting.get(key, ()):
                    woken[one.loop].append(one)
        for loop, subscriptions in woken.items():
            try:
                loop.call_soon_threadsafe(_wake, subscriptions)
            except RuntimeError:  # the loop is closed: nobody waits there any more
                for one in subscriptions:
                    one.close()

    def waiting(self, task_id: str) -> int:
        """How many wait for wake-ups about ``task_id`` in this process."""
        with self._lock:
            return len(self._waiting.get(task_id, ()))

    def forget(self, subscription: _LocalSubscription) -> None:
        """Drop a closed subscription."""
        with self._lock:
            others = self._waiting.get(subscription.task_id)
            if others is None:
                return
            others.discard(subscription)
            if not others:
                del self._waiting[subscription.task_id]


class _LocalSubscription(Subscription):
    def __init__(self, notifier: LocalNotifier, task_id: str) -> None:
        self.task_id = task_id
        self._notifier = notifier
        self.loop = asyncio.get_running_loop()
        self._woken = Signal()

    def wake(self) -> None:
        self._woken.set()

    async def wait(self, timeout: float) -> bool:
        woken = await self._woken.wait(timeout)
        self._woken.clear()
        return woken

    def close(self) -> None:
        self._notifier.forget(self)


def _wake(subscriptions: Iterable[_LocalSubscription]) -> None:
    for subscription in subscriptions:
        subscription.wake()
