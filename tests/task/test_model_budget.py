"""What the platform's model was asked for counts in a goal's budget, whoever asked and whether or
not anybody tells of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from a2a.types import TaskState
from goal_house import (
    Fixed,
    Worker,
    answer_of,
    begin,
    ended,
    error_of,
    error_type,
    events_of,
    failing,
    house,
    plan_of,
    reach,
    rows_of,
    second_runner,
    step_told,
)

from codin.agent.base import Task as AgentTask
from codin.agent.events import AgentEvent, TextFinal, Usage
from codin.agent.planning.llm import LLMPlanner
from codin.agent.planning.plan import Budget, Plan
from codin.agent.planning.planner import Planner, PlanRequest
from codin.gateway.host_api import model_authenticator
from codin.model import ModelChoice, model_proxy
from codin.model.embedded.client import EmbeddedClient
from codin.model.record import ModelRecord
from codin.model.recorded import RecordedMeter, RecordedModel
from codin.model.upstream import HttpUpstream
from codin.security import RunGrants
from codin.task import EventLog, RunServices, TaskRunner
from codin.task.budget import Spent
from codin.task.manager import TaskManager
from codin.testing.scripted_model import RecordedRequest, ScriptedModel, Turn

FAILED = TaskState.TASK_STATE_FAILED
COMPLETED = TaskState.TASK_STATE_COMPLETED
DRAFT = {"steps": [{"agent": "w", "instruction": "do it"}], "reason": "so"}


def said(request: RecordedRequest) -> Turn:
    """A model that uses 60 tokens each time."""
    plans = "response_format" in request.body
    return Turn(text=json.dumps(DRAFT) if plans else "so it is", usage=(50, 10))


@dataclass
class Models:
    """The platform's model, by its client, and by its proxy."""

    record: ModelRecord
    meter: RecordedMeter
    http: httpx.AsyncClient
    upstream: HttpUpstream
    grants: RunGrants
    script: ScriptedModel
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def planner(self) -> LLMPlanner:
        client = EmbeddedClient(ModelChoice("openai", "gpt-4o"), self.upstream, self.meter)
        return LLMPlanner(RecordedModel(client, self.record))

    def house(self, runner: TaskRunner, planner: Planner, **agents: Any) -> TaskManager:
        services = RunServices(grants=self.grants, seconds=20.0)
        return house(runner, planner, agents, services=services, record=self.record)

    async def ask(self, task: AgentTask, words: str) -> str:
        body = {"model": "any", "messages": [{"role": "user", "content": words}]}
        headers = {"authorization": f"Bearer {task.token}"}
        answer = await self.http.post("/v1/chat/completions", json=body, headers=headers)
        return str(answer.json()["choices"][0]["message"]["content"])

    async def function(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        """An agent that asks the model once, and tells nothing of it."""
        yield TextFinal(message_id="m", text=await self.ask(task, step_told(task)))

    async def telling(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        """An agent that tells of what it asked."""
        text = await self.ask(task, step_told(task))
        yield Usage(model="any", input_tokens=50, output_tokens=10)
        yield TextFinal(message_id="m", text=text)

    async def held(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        """An agent that asks, and goes on when it is let."""
        text = await self.ask(task, step_told(task))
        yield Usage(model="any", input_tokens=50, output_tokens=10)
        await self.released.wait()
        yield TextFinal(message_id="m", text=text)


@pytest.fixture
async def models() -> AsyncIterator[Models]:
    script = ScriptedModel(said)
    record, grants = ModelRecord(), RunGrants()
    meter = RecordedMeter(record)
    async with script.serve() as url:
        upstream = HttpUpstream(url, "gpt-4o", "k")
        app = model_proxy(upstream, model_authenticator(grants), meter, native={}, record=record)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://models") as http:
            yield Models(record, meter, http, upstream, grants, script)
        await upstream.aclose()


def chain(**around: Any) -> Fixed:
    """Three steps, one after the other."""
    needs: list[list[str]] = [[], ["s0"], ["s1"]]
    steps = [{"id": f"s{n}", "agent": "w", "needs": before} for n, before in enumerate(needs)]
    return Fixed(plan_of(*steps, **around))


async def spent(log: EventLog, task_id: str) -> Spent:
    """What the goal has used by its log."""
    counted = Spent()
    for event in await events_of(log, task_id):
        counted.take(event)
    return counted


@pytest.mark.parametrize(
    ("budget", "over"),
    [
        ({"tokens": 100}, "120 of 100 tokens"),
        ({"model_calls": 1}, "2 of 1 model calls"),
        ({"money": 0.0003}, "of 0.0003 US dollars"),
    ],
)
async def test_what_a_function_asks_counts(
    runner: TaskRunner, log: EventLog, models: Models, budget: Any, over: str
) -> None:
    task = await reach(models.house(runner, chain(budget=budget), w=models.function))
    assert task.status.state == FAILED
    assert error_type(task) == "BudgetExceeded"
    assert over in error_of(task)
    assert answer_of(task).startswith("Not finished: ")
    assert "[w] so it is" in answer_of(task)
    states = [row.state for row in (await rows_of(log, task)).values()]
    assert states[-1] == "skipped"
    assert "working" not in states
    enough = {name: most * 10 for name, most in budget.items()}
    task = await reach(models.house(runner, chain(budget=enough), w=models.function))
    assert task.status.state == COMPLETED
    hidden = [event.shown for event in await events_of(log, task.id) if event.kind == "model"]
    assert not any(hidden)


async def test_a_function_that_asks_again_and_again_without_a_word_is_stopped(
    runner: TaskRunner, models: Models
) -> None:
    async def greedy(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        for number in range(600):
            await models.ask(task, f"question {number}")
            await asyncio.sleep(0.05)
        yield TextFinal(message_id="m", text="late")

    began = time.monotonic()
    task = await reach(models.house(runner, chain(budget={"model_calls": 3}), w=greedy))
    assert time.monotonic() - began < 12
    assert "of 3 model calls" in error_of(task)
    assert models.script.requests, "it was asked"


async def test_what_is_told_too_counts_once(
    runner: TaskRunner, log: EventLog, models: Models
) -> None:
    plan = chain(budget={"tokens": 180, "model_calls": 3})
    task = await reach(models.house(runner, plan, w=models.telling))
    assert task.status.state == COMPLETED
    found = await spent(log, task.id)
    assert (found.tokens, found.model_calls) == (180, 3)


async def test_more_than_the_platform_saw_is_taken_from_what_is_told(
    runner: TaskRunner, log: EventLog, models: Models
) -> None:
    async def elsewhere(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        await models.ask(task, step_told(task))
        yield Usage(model="gpt-4o", input_tokens=50, output_tokens=10)
        yield Usage(model="gpt-4o", input_tokens=500, output_tokens=0)  # of another provider
        yield TextFinal(message_id="m", text="done")

    task = await reach(models.house(runner, chain(budget={"tokens": 1_000}), w=elsewhere))
    assert error_of(task) == "the plan's budget is used up: 1,120 of 1,000 tokens"


async def test_an_answer_from_the_record_uses_nothing(
    runner: TaskRunner, log: EventLog, models: Models
) -> None:
    planner = chain(budget={"tokens": 100})
    manager = models.house(runner, planner, w=models.held)
    task_id = await begin(manager)
    async with asyncio.timeout(20):
        while not (await spent(log, task_id)).tokens:
            await asyncio.sleep(0.01)
    await manager.aclose(hand_over=True)

    other = second_runner(log)
    manager = models.house(other, planner, w=models.held)
    models.released.set()
    await manager.start()
    task = await ended(manager, log, task_id)
    await other.aclose()
    assert error_of(task) == "the plan's budget is used up: 120 of 100 tokens"
    assert len(models.script.requests) == 2, "the first question was asked once"
    assert "of 3 steps were done" in answer_of(task)


class Frugal(Planner):
    """Plans with a model, unless the ``first`` plan is given, and has the plan use no more than
    ``budget``."""

    def __init__(self, planner: LLMPlanner, first: Plan | None = None, **budget: Any) -> None:
        self._planner = planner
        self._first = first
        self._budget = Budget(**budget)

    async def plan(self, request: PlanRequest) -> Plan:
        if self._first is not None:
            return self._first
        plan = await self._planner.plan(request)
        return plan.model_copy(update={"budget": self._budget})

    async def repair(self, request: PlanRequest, plan: Plan, failed_step: Any, error: str) -> Plan:
        return await self._planner.repair(request, plan, failed_step, error)


async def test_what_the_planner_asks_counts(
    runner: TaskRunner, log: EventLog, models: Models
) -> None:
    worker = Worker()
    agents = {"w": worker, "other": Worker()}
    task = await reach(models.house(runner, Frugal(models.planner, tokens=50), **agents))
    assert task.status.state == FAILED
    assert error_type(task) == "BudgetExceeded"
    assert error_of(task) == "the plan's budget is used up: 60 of 50 tokens"
    assert answer_of(task) == "Not finished: 0 of 1 steps were done."
    assert not worker.told, "nothing was begun"
    task = await reach(models.house(runner, Frugal(models.planner, tokens=60), **agents))
    assert task.status.state == COMPLETED
    assert (await spent(log, task.id)).tokens == 60


async def test_what_it_takes_to_plan_anew_counts(
    runner: TaskRunner, log: EventLog, models: Models
) -> None:
    worker = Worker(bad=failing("it cannot be done"))
    plan = plan_of(
        {"id": "good", "agent": "w"},
        {"id": "bad", "agent": "w", "needs": ["good"], "retry": {"attempts": 1}},
        budget={"tokens": 50},
    )
    planner = Frugal(models.planner, plan)
    agents = {"w": worker, "other": Worker()}
    task = await reach(models.house(runner, planner, **agents))
    assert error_type(task) == "BudgetExceeded"
    assert error_of(task) == "the plan's budget is used up: 60 of 50 tokens"
    assert answer_of(task) == "Not finished: 1 of 2 steps were done.\n\n[w] good is done"
    assert worker.steps == ["good", "bad"], "the new step was not begun"
