"""Where the plan of a goal comes from: its message, or whoever plans."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from a2a.types import TaskState
from goal_house import (
    Fixed,
    Mending,
    Worker,
    answer_of,
    error_of,
    failing,
    house,
    payloads,
    plan_of,
    reach,
    rows_of,
)

from codin.agent.a2a import data_part
from codin.agent.base import Task as AgentTask
from codin.agent.events import AgentEvent, InputRequest, TextFinal
from codin.agent.planning.by_agent import AgentPlanner
from codin.agent.planning.planner import Planner, PlanRequest
from codin.security import LOCAL_USER
from codin.task import EventLog, TaskRunner
from codin.task.goal_plans import plan_part

COMPLETED = TaskState.TASK_STATE_COMPLETED
FAILED = TaskState.TASK_STATE_FAILED


NINE = {"over": {"value": [0] * 9}}


class Nobody(Planner):
    """Must not be asked."""

    async def plan(self, request: PlanRequest) -> Any:
        raise AssertionError("a plan came with the goal")


async def test_a_plan_comes_with_the_goal(runner: TaskRunner, log: EventLog) -> None:
    plan = plan_of(
        {"id": "s", "agent": "w", "inputs": {"n": {"input": "n"}}},
        inputs={"n": {"type": "integer", "default": 1}},
    )
    part = data_part({"type": "plan", "plan": plan.shown(), "values": {"n": 2**60}})
    worker = Worker()
    task = await reach(house(runner, Nobody(), {"w": worker}), "Count.", parts=[part])
    assert task.status.state == COMPLETED
    assert worker.values("s") == [{"n": 2**60}]
    # a goal may be nothing but its plan
    task = await reach(house(runner, Nobody(), {"w": worker}), "", parts=[plan_part(plan)])
    assert task.status.state == COMPLETED
    assert worker.values("s")[-1] == {"n": 1}


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({}, "it is no object with goal and steps"),
        ({"plan": {"goal": "g", "steps": [{"id": "s"}]}}, "steps.0.agent: Field required"),
        ({"plan": {"goal": "g", "steps": []}, "values": [1]}, "values: give an object"),
        (
            {"plan": plan_of({"id": "s", "agent": "hidden"}).shown()},
            "names an unknown agent 'hidden' (known: w)",
        ),
        (
            {
                "plan": plan_of(
                    {"id": "s", "agent": "w", "map": {"over": {"value": [0] * 9}}}
                ).shown()
            },
            "it has 10 steps, more than the 5 allowed",
        ),
    ],
)
async def test_a_plan_that_comes_is_checked_like_any_other(
    runner: TaskRunner, log: EventLog, payload: Any, said: str
) -> None:
    part = data_part({"type": "plan", **payload})
    manager = house(runner, Nobody(), {"w": Worker()}, max_steps=5)
    task = await reach(manager, "Count.", parts=[part])
    assert task.status.state == FAILED
    assert said in error_of(task)
    assert await rows_of(log, task) == {}


async def test_a_plan_that_came_is_kept_to_unless_it_says_otherwise(runner: TaskRunner) -> None:
    plan = plan_of({"id": "s", "agent": "w"})
    other = plan_of({"id": "t", "agent": "w"})
    planner = Mending(plan, other)
    worker = Worker(s=failing("no"))
    task = await reach(house(runner, planner, {"w": worker}), parts=[plan_part(plan)])
    assert error_of(task) == "step 's' (w) failed: no"
    assert planner.failed == []
    loose = plan.model_copy(update={"replans": 1})
    task = await reach(house(runner, planner, {"w": worker}), parts=[plan_part(loose)])
    assert answer_of(task) == "t is done"


def planning(*answers: Any) -> Any:
    left = list(answers)

    async def events(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        answer = left.pop(0)
        if isinstance(answer, str | dict):
            said = answer if isinstance(answer, str) else json.dumps(answer)
            yield TextFinal(message_id="m", text=said)
        else:
            yield answer

    return events


async def test_an_agent_plans_in_a_task_below_the_goal(runner: TaskRunner, log: EventLog) -> None:
    good = plan_of({"id": "s", "agent": "w"}).shown()
    agents = {"w": Worker(), "boss": planning("No.", good)}
    task = await reach(house(runner, AgentPlanner("boss"), agents))
    assert answer_of(task) == "s is done"
    rows = await rows_of(log, task)
    assert (rows[".plan"].agent, rows[".plan"].state, rows[".plan"].attempt) == (
        "boss",
        "completed",
        2,
    )
    child = await log.task(LOCAL_USER, str(rows[".plan"].child_id))
    assert child.parent_id == task.id
    (shown,) = await payloads(log, task, "plan")
    assert [step["id"] for step in shown["plan"]["steps"]] == ["s"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (failing("asleep"), "boss did not plan: asleep"),
        (InputRequest(request_id="q", prompt="Why?"), "boss did not plan: it asked 'Why?'"),
    ],
)
async def test_an_agent_that_does_not_plan_fails_the_goal(
    runner: TaskRunner, log: EventLog, answer: Any, said: str
) -> None:
    agents = {"w": Worker(), "boss": planning(answer)}
    task = await reach(house(runner, AgentPlanner("boss"), agents))
    assert task.status.state == FAILED
    assert said in error_of(task)
    row = (await rows_of(log, task))[".plan"]
    assert (await log.task(LOCAL_USER, str(row.child_id))).ended, "nobody will answer it"


async def test_an_agent_that_is_not_there_cannot_plan(runner: TaskRunner) -> None:
    task = await reach(house(runner, AgentPlanner("gone"), {"w": Worker()}))
    assert task.status.state == FAILED
    assert "gone did not plan" in error_of(task)


async def test_what_a_planner_raises_is_the_goals_failure(runner: TaskRunner) -> None:
    task = await reach(house(runner, Fixed(plan_of()), {"w": Worker()}))
    assert error_of(task) == "the plan cannot be run: it has no steps"
