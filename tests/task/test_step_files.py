"""Files that steps made are told to those that need them, also after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest
from a2a.types import TaskState
from goal_house import (
    Fixed,
    begin,
    ended,
    house,
    inputs_told,
    plan_of,
    reach,
    rows_of,
    second_runner,
    step_told,
)

from codin.agent.base import Task as AgentTask
from codin.agent.events import AgentEvent, InputRequest, TextFinal
from codin.task import EventLog, TaskRunner
from codin.task.files import FilesBefore, GoalFiles
from codin.tool.workspace import Workspaces


class Writer:
    """An agent whose steps write a file of their name, each once, and go on when they are let."""

    def __init__(self, root: Path, *held: str) -> None:
        self.workspaces = Workspaces(root)
        self.files = GoalFiles(self.workspaces)
        self.held = set(held)
        self.written: list[str] = []
        self.told: dict[str, dict[str, list[str]]] = {}

    async def __call__(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        step, inputs = step_told(task), inputs_told(task)
        item = inputs.get("values", {}).get("item", "")
        name = f"{step}{item}.txt"
        if step:
            self.told[step] = {one["id"]: one["files"] for one in inputs["inputs"]}
        if step and name not in self.written:
            folder = await self.workspaces.folder(
                task.principal, task.message.reference_task_ids[0]
            )
            (folder / name).write_text("made")
            self.written.append(name)
        if step == "asks":
            yield InputRequest(request_id="q", prompt="go on?")
        while step in self.held:
            await asyncio.sleep(0.01)
        yield TextFinal(message_id="m", text="written")

    async def until(self, *names: str) -> None:
        async with asyncio.timeout(20):
            while set(self.written) != set(names):
                await asyncio.sleep(0.01)


PLAN = plan_of(
    {"id": "first", "agent": "w"},
    {"id": "each", "agent": "w", "map": {"over": {"value": [1, 2]}}},
    {"id": "held", "agent": "w", "needs": ["first", "each"]},
    {"id": "last", "agent": "w", "needs": ["first", "each", "held"]},
)
ALL = {"first": ["first.txt"], "each": ["each1.txt", "each2.txt"], "held": ["held.txt"]}


@pytest.fixture
def writer(tmp_path: Path) -> Callable[..., Writer]:
    return lambda *held: Writer(tmp_path / "workspaces", *held)


async def test_files_of_steps_before_a_restart_are_told(
    runner: TaskRunner, log: EventLog, writer: Callable[..., Writer]
) -> None:
    agent = writer("held")
    manager = house(runner, Fixed(PLAN), {"w": agent}, files=agent.files, parallel=1)
    task_id = await begin(manager)
    await agent.until("first.txt", "each1.txt", "each2.txt", "held.txt")
    async with asyncio.timeout(20):
        while (await rows_of(log, task_id))["held"].state != "working":
            await asyncio.sleep(0.01)
    await manager.aclose(hand_over=True)

    other = second_runner(log)
    manager = house(other, Fixed(PLAN), {"w": agent}, files=agent.files, parallel=1)
    await manager.start()
    agent.held.clear()
    task = await ended(manager, log, task_id)
    await other.aclose()
    assert task.status.state == TaskState.TASK_STATE_COMPLETED
    assert agent.written.count("held.txt") == 1, "it was made before the restart only"
    assert agent.told["last"] == ALL


async def test_files_that_were_made_before_a_question_are_told(
    runner: TaskRunner, writer: Callable[..., Writer]
) -> None:
    agent = writer()
    plan = plan_of({"id": "asks", "agent": "w"}, {"id": "last", "agent": "w", "needs": ["asks"]})
    manager = house(runner, Fixed(plan), {"w": agent}, files=agent.files)
    asked = await reach(manager)
    assert asked.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
    done = await reach(manager, "yes", task_id=asked.id)
    assert done.status.state == TaskState.TASK_STATE_COMPLETED
    assert agent.told["last"] == {"asks": ["asks.txt"]}


def test_what_was_made_is_told_from_what_was_there() -> None:
    now = {"old": 5, "changed": 9, "new": 12, "unpacked": 3}
    assert FilesBefore(7, {"old": 5, "changed": 7}).made(now) == ["changed", "new", "unpacked"]
    assert FilesBefore(7).made(now) == ["changed", "new"]
    assert FilesBefore(0).made(now) == list(now)
