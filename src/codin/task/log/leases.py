"""Who may write to a task, and what a process has room for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from codin.task.states import TERMINAL


@dataclass(frozen=True, slots=True)
class Room:
    """What may begin in a process: so many ``runs`` of agents, none of these ``tenants`` and none
    of these ``agents``; with ``roomless`` also what takes no room. The tenants in ``served`` had
    their turn before others, the last one last."""

    runs: int
    tenants: frozenset[str] = frozenset()
    agents: frozenset[str] = frozenset()
    served: tuple[str, ...] = ()
    roomless: bool = True


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write to a task. ``fence`` grows with each claim; ``expires`` is in seconds
    since the epoch, by the database's clock."""

    task_id: str
    owner: str
    fence: int
    expires: float


def holds(lease: Lease, owner: str | None, fence: int, state: str) -> bool:
    """Whether ``lease`` is that of a task with these, or was when the task ended."""
    return fence == lease.fence and (owner == lease.owner or state in TERMINAL)


@dataclass(frozen=True, slots=True)
class Pulse:
    """What an owner holds, and which of these somebody wants canceled, or paused."""

    held: frozenset[str]
    cancel: frozenset[str]
    pause: frozenset[str] = frozenset()


def pulse_of(held: Iterable[tuple[str, Any, Any]]) -> Pulse:
    """From the ids that are held, and for each whether it is to be canceled, and paused."""
    rows = list(held)
    return Pulse(
        frozenset(task_id for task_id, _, _ in rows),
        frozenset(task_id for task_id, cancel, _ in rows if cancel),
        frozenset(task_id for task_id, _, pause in rows if pause),
    )
