"""A team whose words are known beforehand, and that says hostile things on request.

A goal with the word ``hostile`` has markup in everything that is said and made; with ``hang`` the
writer does not come to an end; with ``fail`` the analyst fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from codin.agent.a2a import user_message
from codin.agent.base import Task
from codin.agent.events import (
    AgentEvent,
    ArtifactProduced,
    Completed,
    EndEvent,
    Failed,
    TextDelta,
    TextFinal,
    Thought,
    ToolCall,
    ToolOutput,
    ToolResult,
)
from codin.agent.plan import Plan, Step
from codin.task.log.follow import follow
from codin.task.runner import TaskRunner
from codin.task.work import ParentTask, Run, Work
from codin.testing.serving import ScriptedAgent
from codin.tool.workspace import Workspaces

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
    yield TextFinal(message_id="m", text="North 312,001.18; West 290,299.10." + probe)


async def writer(task: Task) -> AsyncGenerator[AgentEvent, None]:
    answer = ANSWER + _probe(task)
    for word in answer.split(" "):
        yield TextDelta(message_id="w", text=word + " ")
        await asyncio.sleep(0.02)
    if "hang" in task.text:
        await asyncio.Event().wait()
    yield TextFinal(message_id="w", text=answer)


TEAM = [
    ScriptedAgent("scout", scout, "Scout", "Finds data files and reads them."),
    ScriptedAgent("analyst", analyst, "Analyst", "Computes with Python."),
    ScriptedAgent("writer", writer, "Writer", "Writes the result down."),
]


class FixedGoal:
    """Does every goal by the same three steps, one after the other."""

    id = "orchestrator"
    seconds = 60.0

    def __init__(self, runner: TaskRunner, workspaces: Workspaces, works: dict[str, Work]) -> None:
        self._runner = runner
        self._workspaces = workspaces
        self._works = works

    async def perform(self, run: Run) -> EndEvent:
        goal = run.message.parts[0].text
        probe = PROBE if "hostile" in goal else ""
        steps = (
            Step(id="find", agent="scout", instruction="Find the data. " + goal + probe),
            Step(id="compute", agent="analyst", instruction="Compute. " + goal, needs=("find",)),
            Step(id="write", agent="writer", instruction="Write. " + goal, needs=("compute",)),
        )
        plan = Plan(goal=goal, steps=steps, reason="Found, computed, written." + probe)
        await run.say({"type": "plan", "plan": plan.model_dump(mode="json")})
        text = ""
        for step in plan.steps:
            try:
                text = await self._step(run, step)
            except RuntimeError as error:
                return Failed(error_type="StepFailed", message=f"step {step.id}: {error}")
        await run.emit(TextFinal(message_id="answer", text=text))
        await self._files(run, probe)
        return Completed()

    async def _step(self, run: Run, step: Step) -> str:
        child = await self._runner.start(
            run.principal,
            self._works[step.agent],
            user_message(step.instruction),
            context_id=run.context_id,
            parent=ParentTask(run.task_id, run.goal_id),
        )
        said = {"type": "step", "id": step.id, "agent": step.agent, "task_id": child, "attempt": 1}
        await run.say({**said, "state": "working"})
        text, state = "", ""
        try:
            async for event in follow(self._runner.log, run.principal, child):
                await run.adopt(child, step=step.id, agent=step.agent)
                if event.kind == "artifact":
                    text = event.body["artifact"]["parts"][0]["text"]
                state = event.state or state
        except asyncio.CancelledError:
            await self._runner.cancel(run.principal, child)
            raise
        await run.say({**said, "state": "completed" if state.endswith("COMPLETED") else "failed"})
        if not state.endswith("COMPLETED"):
            raise RuntimeError(state)
        return text

    async def _files(self, run: Run, probe: str) -> None:
        folder = await self._workspaces.folder(run.principal, run.goal_id)
        name = "<b onmouseover=probed=1>.csv" if probe else "rows.csv"
        made = {
            "chart.png": (PNG, "image/png"),
            "report.md": (b"# Report\n\n" + ANSWER.encode() + probe.encode(), "text/markdown"),
            name: (b"region,revenue\nNorth,312001.18\n", "text/csv"),
        }
        for number, (path, (content, kind)) in enumerate(made.items()):
            (folder / path).write_bytes(content)
            event = ArtifactProduced(
                artifact_id=f"f{number}", name=path, media_type=kind, raw=content
            )
            await run.emit(event)


def orchestrate(runner: TaskRunner, workspaces: Workspaces, works: dict[str, Work]) -> FixedGoal:
    return FixedGoal(runner, workspaces, works)
