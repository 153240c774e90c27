"""Steps of a LangGraph graph with its SQLite checkpointer. A program of its own; its argument is
the file of the checkpoints.

Each line that it is given is ``steps N``, answered with the milliseconds that a step of a run of N
takes, each checkpoint being written before the next step begins.
"""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from typing import Any, TypedDict

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph


class State(TypedDict):
    """How far the run is, how far it goes, and what was said last."""

    number: int
    last: int
    said: str


async def step(state: State) -> dict[str, Any]:
    """What the agent that is measured does."""
    return {"number": state["number"] + 1, "said": f"step {state['number']}"}


def _further(state: State) -> str:
    return END if state["number"] >= state["last"] else "step"


async def _steps(graph: Any, count: int) -> float:
    began = time.perf_counter()
    config = {"configurable": {"thread_id": uuid.uuid4().hex}, "recursion_limit": count + 5}
    begin = State(number=0, last=count, said="")
    found = await graph.ainvoke(begin, config, durability="sync")
    assert found["said"] == f"step {count - 1}"
    return (time.perf_counter() - began) / count * 1000


async def main() -> None:
    """Answer until there is nothing more."""
    async with AsyncSqliteSaver.from_conn_string(sys.argv[1]) as saver:
        builder = StateGraph(State)
        builder.add_node("step", step)
        builder.add_edge(START, "step")
        builder.add_conditional_edges("step", _further)
        graph = builder.compile(checkpointer=saver)
        await _steps(graph, 3)
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(await _steps(graph, int(line.split()[1])), flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main())
