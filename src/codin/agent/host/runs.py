"""The runs that are under way in a host, and the token of each."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from codin.agent.host.attribution import current_run


@dataclass(frozen=True, slots=True)
class Run:
    """One run under way. ``key`` names it inside the host only; the token never leaves memory.

    ``over`` is set when it is being ended: nothing asks a model for it any more.
    """

    task_id: str
    token: str = field(repr=False)
    key: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    over: asyncio.Event = field(default_factory=asyncio.Event, repr=False, compare=False)


class ActiveRuns:
    """The runs under way."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}

    @contextmanager
    def entered(self, task_id: str, token: str) -> Iterator[Run]:
        """A run for as long as the block lasts, current in its context."""
        run = Run(task_id, token)
        self._runs[run.key] = run
        current = current_run.set(run.key)
        try:
            yield run
        finally:
            run.over.set()
            current_run.reset(current)
            del self._runs[run.key]

    def end(self, task_id: str) -> None:
        """End what the runs of a task ask of models, also in threads that nothing else stops."""
        for run in self._runs.values():
            if run.task_id == task_id:
                run.over.set()

    def find(self, key: str | None) -> Run | None:
        """The run of ``key``; without one, the only run there is."""
        if key is not None:
            return self._runs.get(key)
        return next(iter(self._runs.values())) if len(self._runs) == 1 else None

    @property
    def task_ids(self) -> tuple[str, ...]:
        """The tasks that the runs are of."""
        return tuple(run.task_id for run in self._runs.values())

    def __len__(self) -> int:
        return len(self._runs)
