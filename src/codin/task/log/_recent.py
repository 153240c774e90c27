"""What this process wrote last, for those in it who read it as it comes."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from codin.security import Principal
from codin.task.log.entries import Entry, LogEvent
from codin.task.states import TERMINAL

_MOST_BYTES = 1024 * 1024
"""Of bodies, as they are written down: a reader that is awake needs what came in milliseconds."""


@dataclass(slots=True)
class Noted:
    """What a write gave, and the events that it wrote to a task of ``principal``, up to its last:
    those before a gap, which is known only by reading, are left out. Who creates a task knows its
    ``agent_id``."""

    principal: Principal
    task_id: str
    result: Any = None
    agent_id: str | None = None
    events: list[tuple[LogEvent, int]] = field(default_factory=list)

    def add(self, event: LogEvent, size: int) -> None:
        """Take in the next event, whose body has ``size`` bytes."""
        self.events.append((event, size))

    def take(self, entry: Entry, seq: int, time: float, size: int) -> None:
        """Take in ``entry`` as the next event."""
        if entry.kind == "call":
            self.gap()  # whatever a tool was given may read back as another type
        else:
            self.add(LogEvent(self.task_id, seq, entry.kind, time, entry.body), size)

    def take_all(
        self, entries: Sequence[Entry], texts: Sequence[str], last: int, time: float
    ) -> None:
        """Take in ``entries``, whose bodies are written down as ``texts``, as the next events up to
        ``last``."""
        for seq, (entry, text) in enumerate(
            zip(entries, texts, strict=True), last - len(entries) + 1
        ):
            self.take(entry, seq, time, len(text))

    def gap(self) -> None:
        """Something was written that is not known here."""
        self.events.clear()


@dataclass(slots=True)
class _Window:
    """The last events of a task, without gaps."""

    principal: Principal
    agent_id: str | None
    events: deque[tuple[LogEvent, int]] = field(default_factory=deque)

    def of(self, principal: Principal) -> bool:
        return (self.principal.tenant, self.principal.subject) == (
            principal.tenant,
            principal.subject,
        )

    @property
    def first(self) -> int:
        return self.events[0][0].seq

    @property
    def last(self) -> int:
        return self.events[-1][0].seq


class RecentEvents:
    """Keeps the latest committed events, so many that their bodies have ``most`` bytes.

    Any thread may call it. It never says that an event is the last: other processes write too.
    """

    def __init__(self, most: int = _MOST_BYTES) -> None:
        self._most = most
        self._size = 0
        self._lock = threading.Lock()
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def add(self, noted: Noted) -> None:
        """Take in what was committed."""
        with self._lock:
            window = self._windows.get(noted.task_id)
            # Who reads is woken once for several writes, and must not take the first for all.
            follows = noted.events and window and noted.events[0][0].seq == window.last + 1
            if window is not None and not follows:
                self._forget(noted.task_id)
                window = None
            if not noted.events:
                return
            if window is None:
                window = self._windows[noted.task_id] = _Window(noted.principal, noted.agent_id)
            self._windows.move_to_end(noted.task_id)
            window.events.extend(noted.events)
            self._size += sum(size for _, size in noted.events)
            while self._size > self._most:
                self._shrink()

    def drop(self, task_id: str) -> None:
        """Something may have been written to a task that is not known here."""
        with self._lock:
            if task_id in self._windows:
                self._forget(task_id)

    def after(self, principal: Principal, task_id: str, seq: int) -> list[LogEvent]:
        """The task's events from ``seq + 1`` on, if they are here and the principal's."""
        with self._lock:
            window = self._windows.get(task_id)
            if window is None or not window.first <= seq + 1 <= window.last:
                return []
            if not window.of(principal):
                return []
            start = seq + 1 - window.first
            return [event for event, _ in islice(window.events, start, None)]

    def whole(self, principal: Principal, task_id: str) -> tuple[str, list[LogEvent]] | None:
        """The agent and the events of a task that has ended, if all are here and the
        principal's."""
        with self._lock:
            window = self._windows.get(task_id)
            if window is None or window.agent_id is None or not window.of(principal):
                return None
            if window.first != 1 or window.events[-1][0].state not in TERMINAL:
                return None
            return window.agent_id, [event for event, _ in window.events]

    def _forget(self, task_id: str) -> None:
        self._size -= sum(size for _, size in self._windows.pop(task_id).events)

    def _shrink(self) -> None:
        """Drop the oldest event of the task that was written to the longest ago."""
        task_id, window = next(iter(self._windows.items()))
        _, size = window.events.popleft()
        self._size -= size
        if not window.events:
            del self._windows[task_id]
