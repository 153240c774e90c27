"""`codin bench tools`: calls of tools beside calling the same thing without the platform."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from codin.bench._pairs import Groups, measured_groups
from codin.bench._tool_calls import calls
from codin.bench._tool_documents import documents
from codin.bench._tool_finding import finding
from codin.bench._tool_mcp import mcp_calls
from codin.bench.base import BenchReport

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured in a round: so many ``calls`` of each kind."""

    rounds: int = 5
    calls: int = 5000


QUICK = Effort(rounds=1, calls=50)
"""To see that it works; its figures say nothing."""

_GROUPS: Groups = {
    calls: ("executor overhead", "executor, thread"),
    mcp_calls: ("mcp stdio call",),
    documents: ("openapi github load", "openapi github rss"),
    finding: ("find_tools 2000",),
}
"""What is measured, with the names of its figures."""


async def bench_tools(effort: Effort, say: Say) -> BenchReport:
    """Measure everything that this machine can give, ours and its baseline in turn.

    Raises:
        BenchError: something gave a wrong answer.
    """
    return await measured_groups("tools", _GROUPS, effort, effort.rounds, say)


def run(effort: Effort, say: Say) -> BenchReport:
    """``bench_tools`` for code that has no loop: on uvloop where it is, as ``codin up``."""
    from codin.loop import run as run_loop

    return run_loop(bench_tools(effort, say))
