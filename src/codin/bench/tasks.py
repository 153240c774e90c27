"""`codin bench tasks`: durable steps, goals and recovery beside what others take for a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from codin.bench._pairs import Groups, measured_groups
from codin.bench._task_goals import in_file, in_langgraph, in_postgres
from codin.bench._task_recovery import recovery
from codin.bench.base import BenchReport

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured in a round: a goal of so many ``steps`` one after the other, one of
    ``dag`` and one of ``large_dag`` that depend on each other, so many ``goals`` at once, and so
    many tasks ``left`` behind by a process that was killed."""

    rounds: int = 3
    steps: int = 100
    dag: int = 1000
    large_dag: int = 10_000
    goals: int = 200
    left: int = 1000


QUICK = Effort(rounds=1, steps=5, dag=20, large_dag=60, goals=4, left=10)
"""To see that it works; its figures say nothing."""

_GROUPS: Groups = {
    in_file: ("step overhead sqlite", "dag 1000", "dag 10000", "200 goals"),
    in_langgraph: ("step overhead sqlite, langgraph",),
    in_postgres: ("step overhead postgres", "200 goals postgres"),
    recovery: ("recover 1000",),
}
"""What is measured, with the names of its figures."""


async def bench_tasks(effort: Effort, say: Say) -> BenchReport:
    """Measure everything that this machine can give, ours and its baseline in turn.

    Raises:
        BenchError: something gave a wrong answer.
    """
    return await measured_groups("tasks", _GROUPS, effort, effort.rounds, say)


def run(effort: Effort, say: Say) -> BenchReport:
    """``bench_tasks`` for code that has no loop: on uvloop where it is, as ``codin up``."""
    from codin.loop import run as run_loop

    return run_loop(bench_tasks(effort, say))
