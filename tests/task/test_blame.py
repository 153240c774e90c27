"""Which runs are taken for what ends their processes, and which are not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from a2a.types import Task
from goal_house import Fixed, answer_of, begin, ended, house, plan_of

from codin.agent.base import Task as AgentTask
from codin.agent.events import AgentEvent, TextFinal
from codin.model.record import ModelRecord
from codin.security import LOCAL_USER, RunGrants
from codin.task import AgentRequestHandler, EventLog, RunServices, TaskRunner
from codin.task.asking import AskingWork
from codin.task.log.leases import Lease
from codin.task.scheduler import RunLimits
from codin.task.states import COMPLETED, FAILED
from codin.testing.tasks import Events, SmallAgent, call_context, send_request

pytestmark = pytest.mark.slow


async def stolen(log: EventLog, runner: TaskRunner, task_id: str) -> Lease:
    """Have the run of a task end as if its process had: without a word. Who has it then does
    nothing with it."""
    lease = await log.claim(LOCAL_USER, task_id, owner="thief", ttl=60, dead=runner.owner)
    assert lease is not None
    await asyncio.wait_for(runner.wait(task_id), 10)
    return lease


async def killed(log: EventLog, runner: TaskRunner, task_id: str) -> None:
    """The same of the only run that there is, with which any process may go on."""
    lease = await stolen(log, runner, task_id)
    await runner.aclose(hand_over=True)
    await log.release(lease)


def runner_over(log: EventLog, **more: Any) -> TaskRunner:
    limits = RunLimits(stalls=3)
    return TaskRunner(log, lease_seconds=30, pulse_seconds=0.1, limits=limits, **more)


async def at_work(log: EventLog, events: Events, task_id: str = "") -> tuple[TaskRunner, str]:
    """A process that goes on with the task, or begins it."""
    agent = SmallAgent(events)
    given = agent, agent.info, RunServices(grants=RunGrants())
    work = AskingWork(*given, log=log, record=ModelRecord())
    runner = runner_over(log, works=lambda principal, agent_id: work)
    if task_id:
        await runner.recover()
        return runner, task_id
    request = send_request("red")
    request.configuration.return_immediately = True
    handler = AgentRequestHandler(agent.id, lambda _: work, runner)
    task = await handler.on_message_send(request, call_context())
    assert isinstance(task, Task)
    return runner, task.id


async def test_a_run_that_only_ends_its_processes_is_ended(log: EventLog) -> None:
    async def deadly(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        yield TextFinal(message_id="m", text="here it comes")
        begun.set()
        await asyncio.sleep(60)

    task_id, attempts = "", 0
    while attempts < 10:
        attempts += 1
        begun = asyncio.Event()
        runner, task_id = await at_work(log, deadly, task_id)
        if (await log.task(LOCAL_USER, task_id)).ended:
            await runner.aclose()
            break
        await asyncio.wait_for(begun.wait(), 30)
        await asyncio.sleep(0.1)
        await killed(log, runner, task_id)
    assert attempts == 5
    end = await log.task(LOCAL_USER, task_id)
    assert end.state == FAILED
    assert "got no further" in str(end.status)
    texts = [event for event in await log.read(LOCAL_USER, task_id) if event.kind == "artifact"]
    assert len(texts) == 1, "what was said is said once"


async def test_a_goal_that_waits_for_a_step_is_not_blamed(log: EventLog) -> None:
    """It gets no further while its step does not, and the step may be in other hands."""
    begun = asyncio.Event()

    async def slow(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        begun.set()
        await asyncio.sleep(60 if theft is None else 0)
        yield TextFinal(message_id="m", text="done")

    theft: Lease | None = None
    task_id = ""
    for attempt in range(6):
        runner = runner_over(log)
        manager = house(runner, Fixed(plan_of({"id": "one", "agent": "slow"})), {"slow": slow})
        if theft is None:
            task_id = await begin(manager)
            await asyncio.wait_for(begun.wait(), 30)
            async with asyncio.timeout(10):
                while not (child_id := (await log.steps(LOCAL_USER, task_id))[0].child_id):
                    await asyncio.sleep(0.02)
            theft = await stolen(log, runner, child_id)
        elif attempt == 5:
            await log.release(theft)
            await manager.start()
        else:
            assert await manager.start() == [task_id]  # and it is killed before it says anything
        if attempt < 5:
            await killed(log, runner, task_id)
    assert answer_of(await ended(manager, log, task_id)) == "done"
    await manager.aclose()


async def test_a_run_that_is_handed_over_is_not_blamed(log: EventLog) -> None:
    """However often the platform is stopped and started while it thinks."""

    async def slow(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        begun.set()
        await asyncio.sleep(60 if attempt < 5 else 0)
        yield TextFinal(message_id="m", text="done")

    task_id = ""
    for attempt in range(6):
        begun = asyncio.Event()
        runner, task_id = await at_work(log, slow, task_id)
        await asyncio.wait_for(begun.wait(), 30)
        if attempt < 5:
            await runner.aclose(hand_over=True)
    await asyncio.wait_for(runner.wait(task_id), 30)
    assert (await log.task(LOCAL_USER, task_id)).state == COMPLETED
    await runner.aclose()
