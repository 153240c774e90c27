"""What a goal uses is counted from its log, and a budget that is used up stops it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from a2a.types import TaskState
from goal_house import (
    Fixed,
    Mending,
    answer_of,
    error_of,
    error_type,
    house,
    plan_of,
    reach,
    rows_of,
)

from codin.agent.base import Task as AgentTask
from codin.agent.events import AgentEvent, InputRequest, TextFinal, Usage
from codin.agent.planning.plan import Plan
from codin.security import LOCAL_USER, RunGrants
from codin.task import EventLog, LogEvent, RunServices, TaskRunner
from codin.task.budget import Spent, UnknownPrice, price
from codin.task.calls import LogCallRecorder
from codin.tool.invocation import CallStarted

FAILED = TaskState.TASK_STATE_FAILED
COMPLETED = TaskState.TASK_STATE_COMPLETED


def using(tokens: int, model: str = "gpt-4o") -> Any:
    async def events(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        yield Usage(model=model, input_tokens=tokens - 10, output_tokens=10)
        yield TextFinal(message_id="m", text=f"used {tokens}")

    return events


def chain(**around: Any) -> Any:
    """Three steps, one after the other."""
    needs = [], ["s0"], ["s1"]
    steps = [{"id": f"s{n}", "agent": "w", "needs": before} for n, before in enumerate(needs)]
    return Fixed(plan_of(*steps, **around))


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"tokens": 150}, "200 of 150 tokens"),
        ({"model_calls": 1}, "2 of 1 model calls"),
        ({"money": 0.0005}, "of 0.0005 US dollars"),
    ],
)
async def test_a_budget_that_is_used_up_stops_the_goal_with_what_was_reached(
    runner: TaskRunner, log: EventLog, budget: Any, said: str
) -> None:
    agents = {"w": using(100)}
    task = await reach(house(runner, chain(budget=budget), agents))
    assert task.status.state == FAILED
    assert error_type(task) == "BudgetExceeded"
    assert "the plan's budget is used up: " in error_of(task)
    assert said in error_of(task)
    assert answer_of(task).startswith("Not finished: ")
    assert "[w] used 100" in answer_of(task)
    states = [row.state for row in (await rows_of(log, task)).values()]
    assert states[-1] == "skipped"
    assert "working" not in states
    enough = {name: most * 10 for name, most in budget.items()}
    task = await reach(house(runner, chain(budget=enough), agents))
    assert task.status.state == COMPLETED


async def test_a_step_that_uses_too_much_is_stopped_at_it(
    runner: TaskRunner, log: EventLog
) -> None:
    async def greedy(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        yield Usage(model="m", input_tokens=1_000)
        await asyncio.sleep(60)
        yield TextFinal(message_id="m", text="late")

    began = time.monotonic()
    task = await reach(house(runner, chain(budget={"tokens": 150}), {"w": greedy}))
    assert time.monotonic() - began < 15
    assert error_of(task) == "the plan's budget is used up: 1,000 of 150 tokens"
    states = [row.state for row in (await rows_of(log, task)).values()]
    assert states == ["canceled", "skipped", "skipped"]


async def test_a_budget_of_seconds(runner: TaskRunner, log: EventLog) -> None:
    async def slow(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        await asyncio.sleep(30)
        yield TextFinal(message_id="m", text="late")

    began = time.monotonic()
    task = await reach(house(runner, chain(budget={"seconds": 0.3}), {"w": slow}))
    assert time.monotonic() - began < 10
    assert error_of(task) == "the plan's budget is used up: 0.3 seconds"
    assert error_type(task) == "BudgetExceeded"
    (first, *_) = (await rows_of(log, task)).values()
    assert first.state == "canceled"
    assert (await log.task(LOCAL_USER, str(first.child_id))).ended


async def test_calls_of_tools_are_counted_from_the_platforms_records(
    runner: TaskRunner, log: EventLog
) -> None:
    recorder, grants = LogCallRecorder(runner), RunGrants()

    async def calling(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        grant = grants.resolve(str(task.token))
        await recorder.started(grant, CallStarted("c", "t", "{}", "none", key="k"))
        yield TextFinal(message_id="m", text="called")

    services = RunServices(grants=grants, seconds=20.0)
    manager = house(runner, chain(budget={"tool_calls": 1}), {"w": calling}, services=services)
    task = await reach(manager)
    assert error_of(task) == "the plan's budget is used up: 2 of 1 tool calls"


async def test_a_budget_in_money_needs_a_known_price(runner: TaskRunner) -> None:
    agents = {"w": using(100, "nobody-has-heard-of-it")}
    task = await reach(house(runner, chain(budget={"money": 100}), agents))
    assert error_type(task) == "BudgetExceeded"
    assert "what nobody-has-heard-of-it costs is not known" in error_of(task)


async def test_what_was_used_before_a_restart_counts(runner: TaskRunner, log: EventLog) -> None:
    async def asking(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        yield Usage(model="m", input_tokens=60)
        if not task.text.startswith("yes"):
            yield InputRequest(request_id="q", prompt="Go on?")
        yield TextFinal(message_id="m", text="asked")

    plan = plan_of(
        {"id": "ask", "agent": "a"},
        {"id": "rest", "agent": "w", "needs": ["ask"]},
        budget={"tokens": 110},
    )
    agents = {"a": asking, "w": using(50)}
    asked = await reach(house(runner, Fixed(plan), agents))
    assert asked.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
    done = await reach(house(runner, Fixed(plan), agents), "yes", task_id=asked.id)
    assert error_of(done) == "the plan's budget is used up: 120 of 110 tokens"


async def test_what_a_mended_plan_reached_is_told(runner: TaskRunner) -> None:
    async def failing(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        raise ValueError("cannot")
        yield

    def plan(first: str) -> Plan:
        second = {"id": "rest", "agent": "w", "needs": [first]}
        last = {"id": "last", "agent": "w", "needs": ["rest"]}
        step = {"id": first, "agent": "f" if first == "bad" else "w"}
        return plan_of(step, second, last, budget={"tokens": 150})

    planner = Mending(plan("bad"), plan("good"))
    task = await reach(house(runner, planner, {"w": using(100), "f": failing}))
    assert error_type(task) == "BudgetExceeded"
    assert answer_of(task).startswith("Not finished: ")
    assert "of 3 steps were done" in answer_of(task)
    assert "[w] used 100" in answer_of(task)


def event(seq: int, at: float, state: str = "") -> LogEvent:
    body: dict[str, Any] = {"status": {"state": state}} if state else {}
    return LogEvent("t", seq, "status" if state else "artifact", at, body)


def test_waiting_for_an_answer_takes_no_time() -> None:
    spent = Spent()
    for one in (
        event(1, 100.0, "TASK_STATE_WORKING"),
        event(2, 103.0),
        event(3, 104.0, "TASK_STATE_INPUT_REQUIRED"),
        event(4, 9_000.0, "TASK_STATE_WORKING"),
        event(5, 8_999.0),  # a clock that was set back
        event(6, 9_001.5),
    ):
        spent.take(one)
    assert spent.seconds == pytest.approx(6.5)


def test_prices_are_those_of_the_provider() -> None:
    assert price("openai:gpt-4o", 1_000_000, 0) == price("gpt-4o", 1_000_000, 0) > 0
    with pytest.raises(UnknownPrice):
        price("nobody-has-heard-of-it", 1, 1)
