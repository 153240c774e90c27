"""`codin bench memory`: searches among many chunks beside comparing and looking up without a
memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from codin.bench._memory_stores import pgvector, redis, sqlite
from codin.bench._pairs import Groups, measured_groups
from codin.bench.base import BenchReport

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: among so many ``chunks``, in each round so many ``questions``."""

    rounds: int = 5
    chunks: int = 100_000
    questions: int = 50


QUICK = Effort(rounds=1, chunks=1000, questions=5)
"""To see that it works; its figures say nothing."""

_FIGURES = ("vector", "text", "hybrid", "recall", "inserts")
_GROUPS: Groups = {
    store: tuple(f"{figure} {store.__name__}" for figure in _FIGURES)
    for store in (sqlite, pgvector, redis)
}
"""What is measured, with the names of its figures."""


async def bench_memory(effort: Effort, say: Say) -> BenchReport:
    """Measure everything that this machine can give, ours and its baseline in turn.

    Raises:
        BenchError: something gave a wrong answer.
    """
    return await measured_groups("memory", _GROUPS, effort, effort.rounds, say)


def run(effort: Effort, say: Say) -> BenchReport:
    """``bench_memory`` for code that has no loop: on uvloop where it is, as ``codin up``."""
    from codin.loop import run as run_loop

    return run_loop(bench_memory(effort, say))
