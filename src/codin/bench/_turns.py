"""Turns of an agent without the platform and as the platform wraps it, in one process, in turn.

A program of its own, run where the agent's framework is::

    python -m codin.bench._turns SUBJECT TURNS      # prints {"direct": ms, "wrapped": ms}
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from importlib import import_module
from statistics import median
from typing import Any

SAID = "It takes a whole sentence to answer such a question, so here is one for you."
"""What the model says to everything."""


async def turns(subject: Any, count: int) -> dict[str, float]:
    """The median milliseconds of both ways."""
    from codin.agent import Agent
    from codin.testing.agent_fakes import task_for

    agent: Agent = subject.agent

    async def wrapped(words: str) -> str:
        return (await (await agent.handle(task_for(words)))).text

    ways = {"direct": subject.direct, "wrapped": wrapped}
    took: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(count + 1):
        for name in sorted(ways, reverse=bool(number % 2)):
            began = time.perf_counter()
            said = await ways[name](f"question {number}")
            if said != SAID:
                raise SystemExit(f"{name}: a wrong answer: {said!r:.200}")
            took[name].append(time.perf_counter() - began)
    # the first of each pays for what is loaded late
    return {name: 1e3 * median(seconds[1:]) for name, seconds in took.items()}


def main() -> None:
    """Measure, and print what was found as the last line."""
    name, count = sys.argv[1:]
    subject = import_module(f"codin.bench.subjects.{name}")
    found = asyncio.run(turns(subject, int(count)))
    print(json.dumps(found), flush=True)  # noqa: T201
    os._exit(0)  # a framework's threads would have it wait


if __name__ == "__main__":
    main()
