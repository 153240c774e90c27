"""A team whose words are known beforehand, and that says hostile things on request.

A goal with the word ``hostile`` has markup in everything that is said and made; with ``hang`` the
writer does not come to an end; with ``fail`` the analyst fails; with ``ask`` the scout asks first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from codin.agent.base import Task
from codin.agent.events import (
    AgentEvent,
    Failed,
    InputRequest,
    TextDelta,
    TextFinal,
    Thought,
    ToolCall,
    ToolOutput,
    ToolResult,
)
from codin.agent.planning.plan import Plan, Step
from codin.agent.planning.planner import Planner, PlanRequest
from codin.testing.serving import ScriptedAgent, save

PROBE = (
    '<img src=x onerror="window.probed=1"><script>window.probed=1</script>'
    "<svg onload=window.probed=1></svg>[go](javascript:window.probed=1)"
)
ANSWER = "The **North** region leads with 312,001.18, ahead of West by 21,702.08."
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63606060"
    "000000040001f61738550000000049454e44ae426082"
)


def _probe(task: Task) -> str:
    return PROBE if "hostile" in task.text else ""


async def scout(task: Task) -> AsyncGenerator[AgentEvent, None]:
    probe = _probe(task)
    if "ask" in task.text:
        yield InputRequest(request_id="year", prompt="Which year?" + probe)
        return
    yield ToolCall(call_id="s1", name="list_files", arguments={"path": "data" + probe})
    yield ToolResult(call_id="s1", name="list_files", content=["data/sales.csv" + probe])
    for word in ("data/sales.csv ", "has ", "4,200 ", "rows.", probe):
        yield TextDelta(message_id="m", text=word)
        await asyncio.sleep(0.02)
    yield TextFinal(message_id="m", text="data/sales.csv has 4,200 rows." + probe)


async def analyst(task: Task) -> AsyncGenerator[AgentEvent, None]:
    if "fail" in task.text:
        yield Failed(error_type="ValueError", message="no column 'revenue'" + _probe(task))
        return
    probe = _probe(task)
    yield Thought(text="group by region" + probe)
    code = "totals = df.groupby('region').revenue.sum()\nprint(totals)" + probe
    yield ToolCall(call_id="a1", name="run_python", arguments={"code": code})
    yield ToolOutput(call_id="a1", name="run_python", text="North 312001.18\n" + probe)
    await asyncio.sleep(0.05)
    yield ToolOutput(call_id="a1", name="run_python", text="West 290299.10\n", stream="stderr")
    yield ToolResult(call_id="a1", name="run_python", content={"error": probe}, is_error=True)
    await save(task, "chart.png", PNG)
    rows = "<b onmouseover=probed=1>.csv" if probe else "rows.csv"
    await save(task, rows, b"region,revenue\nNorth,312001.18\n")
    yield TextFinal(message_id="m", text="North 312,001.18; West leads nobody." + probe)


async def writer(task: Task) -> AsyncGenerator[AgentEvent, None]:
    answer = ANSWER + _probe(task)
    for word in answer.split(" "):
        yield TextDelta(message_id="w", text=word + " ")
        await asyncio.sleep(0.02)
    if "hang" in task.text:
        await asyncio.Event().wait()
    await save(task, "report.md", f"# Report\n\n{answer}\n".encode())
    yield TextFinal(message_id="w", text=answer)


TEAM = [
    ScriptedAgent("scout", scout, "Scout", "Finds data files and reads them."),
    ScriptedAgent("analyst", analyst, "Analyst", "Computes with Python."),
    ScriptedAgent("writer", writer, "Writer", "Writes the result down."),
]


class FixedPlanner(Planner):
    """Plans every goal as the same three steps, one after the other."""

    async def plan(self, request: PlanRequest) -> Plan:
        goal = request.goal
        probe = PROBE if "hostile" in goal else ""
        steps = (
            Step(id="find", agent="scout", instruction="Find the data. " + goal + probe),
            Step(id="compute", agent="analyst", instruction="Compute. " + goal, needs=("find",)),
            Step(id="write", agent="writer", instruction="Write. " + goal, needs=("compute",)),
        )
        return Plan(goal=goal, steps=steps, reason="Found, computed, written." + probe)
