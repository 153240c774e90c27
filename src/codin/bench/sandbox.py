"""`codin bench sandbox`: sandboxes beside plain processes, `docker run` and `docker exec`, in one
run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from codin.bench._e2b import e2b
from codin.bench._engine import docker
from codin.bench._local import local
from codin.bench._pairs import Groups, measured_groups
from codin.bench.base import BenchReport

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured in a round: so many ``calls``, ``forks``, ``starts`` of processes or
    sandboxes and ``containers``, ``seconds`` of a rate; and once, ``sandboxes`` that are warm
    together, looked at for ``idle_seconds``."""

    rounds: int = 5
    calls: int = 2000
    forks: int = 100
    starts: int = 20
    containers: int = 3
    seconds: float = 1.0
    sandboxes: int = 200
    idle_seconds: float = 5.0


QUICK = Effort(
    rounds=1, calls=20, forks=3, starts=2, containers=1, seconds=0.1, sandboxes=3, idle_seconds=0.2
)
"""To see that it works; its figures say nothing."""

_GROUPS: Groups = {
    local: (
        *("local cold", "local warm call", "local warm rate", "local fork call"),
        *("local one-shot call", "local warm rate of one", "rss per warm sandbox"),
        *("warm sandboxes at once", "cpu of idle sandboxes"),
    ),
    docker: ("docker warm call", "docker cold"),
    e2b: ("e2b create", "e2b run command"),
}


async def bench_sandbox(effort: Effort, say: Say) -> BenchReport:
    """Measure everything that this machine can give, ours and its baseline in turn.

    Raises:
        BenchError: something gave a wrong answer.
    """
    return await measured_groups("sandbox", _GROUPS, effort, effort.rounds, say)


def run(effort: Effort, say: Say) -> BenchReport:
    """``bench_sandbox`` for code that has no loop: on uvloop where it is, as ``codin up``."""
    from codin.loop import run as run_loop

    return run_loop(bench_sandbox(effort, say))
