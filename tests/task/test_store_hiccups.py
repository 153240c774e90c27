"""The log cannot be used for one moment, whichever that is: a task comes to its end all the same,
with each step and each call done by one task, and nobody is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from a2a.types import GetTaskRequest, Task
from calling_house import colleague, open_house, reason, state, texts
from goal_house import answer_of, events_of, house, plan_of, rows_of

from codin.agent.base import Task as AgentTask
from codin.agent.events import AgentEvent, TextFinal, ToolCall
from codin.agent.planning.plan import Plan
from codin.agent.planning.planner import Planner, PlanRequest
from codin.security import LOCAL_USER
from codin.task import AgentRequestHandler, EventLog, LogError, TaskRunner
from codin.task.log.follow import follow
from codin.testing.tasks import call_context, send_request

pytestmark = pytest.mark.slow

_CALLS = ("create", "append", "read", "task", "steps", "claim", "now")


class Hiccup:
    """Has the call of the log with the ``number`` fail once; ``came`` says whether there was one.
    What the platform looks at by the clock is not counted."""

    def __init__(self, log: EventLog, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self._left = number
        self.came = ""
        for name in _CALLS:
            monkeypatch.setattr(log, name, self._counted(name, getattr(log, name)))

    def _counted(self, name: str, call: Any) -> Any:
        async def counted(*given: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left == 0:
                self.came = name
                raise LogError("the task log cannot be used: it is away")
            return await call(*given, **named)

        return counted


class Mended(Planner):
    """Plans two steps and one after them, the second of which fails and is done by another way."""

    async def plan(self, request: PlanRequest) -> Plan:
        return plan_of(
            {"id": "one", "agent": "good"},
            {"id": "two", "agent": "bad", "retry": {"attempts": 1}},
            {"id": "three", "agent": "good", "needs": ["one", "two"]},
            budget={"tokens": 1_000_000},
        )

    async def repair(self, request: PlanRequest, plan: Plan, failed_step: Any, error: str) -> Plan:
        assert error == "it cannot be done"
        return plan_of(
            {"id": "one", "agent": "good"},
            {"id": "other", "agent": "good"},
            {"id": "three", "agent": "good", "needs": ["one", "other"]},
            budget={"tokens": 1_000_000},
        )


async def good(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
    await asyncio.sleep(0.02)
    yield TextFinal(message_id="m", text="done")


async def bad(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
    raise ValueError("it cannot be done")
    yield


async def begun(handler: AgentRequestHandler) -> str:
    """Send something to do, again where the log may not have taken it, as clients do."""
    request = send_request("do it")
    request.configuration.return_immediately = True
    while True:
        try:
            task = await handler.on_message_send(request, call_context())
        except LogError:
            await asyncio.sleep(0.01)
        else:
            assert isinstance(task, Task)
            return task.id


async def over(handler: AgentRequestHandler, log: EventLog, task_id: str) -> Task:
    """The task, once it has ended, by a reader that tries again when the log is away for it too."""
    while True:
        try:
            async for _ in follow(log, LOCAL_USER, task_id, poll=0.05):
                pass
            task = await handler.on_get_task(GetTaskRequest(id=task_id), call_context())
        except LogError:
            continue
        assert task is not None
        return task


@pytest.mark.parametrize("number", range(1, 61))
async def test_a_goal_comes_to_its_end(
    runner: TaskRunner, log: EventLog, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hiccup = Hiccup(log, number, monkeypatch)
    manager = house(runner, Mended(), {"good": good, "bad": bad})
    task_id = await begun(manager.handler)
    task = await over(manager.handler, log, task_id)
    monkeypatch.undo()
    assert answer_of(task) == "done", hiccup.came
    rows = await rows_of(log, task)
    found = {name: (row.state, row.attempt) for name, row in rows.items()}
    done = ("completed", 1)
    assert found == {"one": done, "two": ("failed", 1), "other": done, "three": done}, hiccup.came
    assert len((await log.tasks(LOCAL_USER)).tasks) == 5
    events = await events_of(log, task_id)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))


async def boss(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
    """Asks an agent, and hands the task to another with what that said."""
    tools = {tool.name: tool for tool in task.tools}
    said = await tools["ask_good"].invoke(request="what?")
    yield TextFinal(message_id="said", text=said)
    yield ToolCall(call_id="c", name="transfer_to_last")
    await tools["transfer_to_last"].invoke(note=said)
    yield TextFinal(message_id="never", text="never said")


async def last(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
    yield TextFinal(message_id="m", text=task.text.splitlines()[-1])


@pytest.mark.parametrize("number", range(1, 61))
async def test_agents_that_call_agents_come_to_their_ends(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents = (
        colleague("boss", boss, asked=("agent:good",), hands_off_to=("last",)),
        colleague("good", good),
        colleague("last", last),
    )
    async with open_house(tmp_path, *agents) as house:
        hiccup = Hiccup(house.log, number, monkeypatch)
        handler = house.manager.agent_handler(LOCAL_USER, "boss")
        task_id = await begun(handler)
        task = await over(handler, house.log, task_id)
        monkeypatch.undo()
        assert state(task) == "COMPLETED", (hiccup.came, reason(task))
        assert texts(task) == ["done", "boss notes: done"], hiccup.came
        assert await house.children(task_id) == {
            "good": "TASK_STATE_COMPLETED",
            "last": "TASK_STATE_COMPLETED",
        }
        assert len((await house.log.tasks(LOCAL_USER)).tasks) == 3, hiccup.came
        events = await house.events(task_id)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
