"""Which tasks run, where and when: room, fairness, priority, deadlines, pausing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from a2a.utils.errors import InvalidParamsError
from calling_house import colleague, open_house
from google.protobuf.json_format import ParseDict

from codin.agent.base import Task
from codin.agent.events import AgentEvent, TextFinal
from codin.security import LOCAL_USER, Principal, RunGrants
from codin.task import AgentRequestHandler, AgentWork, EventLog, RunServices, SqliteEventLog
from codin.task.errors import TaskEnded
from codin.task.log.follow import follow
from codin.task.projection import data_parts
from codin.task.runner import TaskRunner
from codin.task.scheduler import RunLimits, Scheduler
from codin.task.states import CANCELED, COMPLETED, FAILED, SUBMITTED, WORKING
from codin.testing.tasks import SmallAgent, call_context, send_request

BOB = Principal("other", "bob", roles=frozenset({"owner"}))


class Floor:
    """Agents that work until they are let go, and the runners that have them."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.begun: list[str] = []
        self.go: dict[str, asyncio.Event] = {}
        self._stack = AsyncExitStack()

    async def work(self, task: Task) -> AsyncGenerator[AgentEvent, None]:
        self.begun.append(task.text)
        await self.go.setdefault(task.text, asyncio.Event()).wait()
        yield TextFinal(message_id="m", text=f"did {task.text}")

    def works(self, principal: Principal, agent_id: str) -> AgentWork:
        agent = SmallAgent(self.work, agent_id)
        return AgentWork(agent, agent.info, RunServices(grants=RunGrants()))

    def runner(self, *, pulse_seconds: float = 0.1, **limits: Any) -> TaskRunner:
        runner = TaskRunner(
            self.log,
            lease_seconds=30,
            pulse_seconds=pulse_seconds,
            works=self.works,
            limits=RunLimits(**limits),
        )
        self._stack.push_async_callback(runner.aclose)
        return runner

    async def send(
        self,
        runner: TaskRunner,
        text: str,
        *,
        by: Principal = LOCAL_USER,
        agent: str = "small",
        **urgency: Any,
    ) -> str:
        handler = AgentRequestHandler(agent, lambda who: self.works(who, agent), runner)
        request = send_request(text, metadata={"codin": urgency} if urgency else None)
        request.configuration.return_immediately = True
        task: Any = await handler.on_message_send(request, call_context(by))
        return str(task.id)

    def let(self, *texts: str) -> None:
        for text in texts:
            self.go.setdefault(text, asyncio.Event()).set()

    async def end(self, task_id: str, by: Principal = LOCAL_USER) -> str:
        async with asyncio.timeout(20):
            async for _ in follow(self.log, by, task_id, poll=0.05):
                pass
        return (await self.log.task(by, task_id)).state

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not true():
                await asyncio.sleep(0.01)

    async def aclose(self) -> None:
        await self._stack.aclose()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
async def floor(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Floor]:
    log: EventLog
    if request.param == "postgres":
        from codin.task import PostgresEventLog

        log = await PostgresEventLog.open(request.getfixturevalue("database"))
    else:
        log = await SqliteEventLog.open(tmp_path / "codin.db")
    floor = Floor(log)
    yield floor
    await floor.aclose()
    await log.close()


async def test_what_has_no_room_waits_its_turn(floor: Floor) -> None:
    runner = floor.runner(runs=2)
    tasks = [await floor.send(runner, f"t{number}") for number in range(5)]
    await floor.until(lambda: len(floor.begun) == 2)
    await asyncio.sleep(0.3)
    assert floor.begun == ["t0", "t1"]
    rows = [await floor.log.task(LOCAL_USER, task_id) for task_id in tasks]
    assert [row.state for row in rows] == [WORKING, WORKING, SUBMITTED, SUBMITTED, SUBMITTED]
    floor.let("t1")
    await floor.until(lambda: len(floor.begun) == 3)
    assert floor.begun[2] == "t2"
    floor.let("t0", "t2", "t3", "t4")
    assert [await floor.end(task_id) for task_id in tasks] == [COMPLETED] * 5
    events = await floor.log.read(LOCAL_USER, tasks[4])
    assert [event.body["attempt"] for event in events if event.kind == "begun"] == [1]


async def test_tenants_take_turns_and_priority_counts_among_ones_own(floor: Floor) -> None:
    runner = floor.runner(runs=1)
    await floor.send(runner, "first")
    await floor.until(lambda: floor.begun == ["first"])
    for number in range(3):
        await floor.send(runner, f"ann{number}")
    await floor.send(runner, "ann urgent", priority=50)
    await floor.send(runner, "bob", by=BOB, priority=-100)
    floor.let("first", "ann0", "ann1", "ann2", "ann urgent", "bob")
    await floor.until(lambda: len(floor.begun) == 6)
    assert floor.begun[1:3] == ["bob", "ann urgent"]
    assert floor.begun[3:] == ["ann0", "ann1", "ann2"]


async def test_an_agent_and_a_tenant_have_limits_of_their_own(floor: Floor) -> None:
    runner = floor.runner(runs=10, per_tenant=3, per_agent={"slow": 1})
    for number in range(2):
        await floor.send(runner, f"slow{number}", agent="slow")
    for number in range(4):
        await floor.send(runner, f"ann{number}")
    await floor.send(runner, "bob", by=BOB)
    await floor.until(lambda: len(floor.begun) == 4)
    await asyncio.sleep(0.3)
    assert sorted(floor.begun) == ["ann0", "ann1", "bob", "slow0"]
    floor.let("slow0")
    await floor.until(lambda: "slow1" in floor.begun)


async def test_a_runtime_has_a_limit_of_its_own(floor: Floor) -> None:
    def runtimes() -> dict[str, str]:
        return {"boxed": "docker", "crated": "docker", "small": "process"}

    runner = floor.runner(runs=10, per_runtime={"docker": 1})
    runner.scheduler.runtimes = runtimes
    for agent in ("boxed", "crated", "small", "small"):
        await floor.send(runner, f"{agent}{len(floor.begun)}", agent=agent)
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)
    assert floor.begun == ["boxed0", "small1", "small2"]
    floor.let("boxed0")
    await floor.until(lambda: floor.begun[3:] == ["crated1"])
    # one that has no containers leaves what runs in them to others
    without = floor.runner(runs=10, per_runtime={"docker": 0})
    without.scheduler.runtimes = runtimes
    task_id = await floor.send(without, "left", agent="crated")
    floor.let("crated1", "left")
    assert await floor.end(task_id) == COMPLETED
    assert without.active(LOCAL_USER, task_id) is None


async def test_where_agents_run_is_known_from_who_has_them(tmp_path: Path) -> None:
    async with open_house(tmp_path, colleague("p", Floor.work)) as house:
        assert house.manager.runner.scheduler.runtimes() == {"p": "process"}


async def test_a_process_without_room_leaves_its_tasks_to_others(floor: Floor) -> None:
    door, worker = floor.runner(runs=0), floor.runner(runs=2)
    assert await worker.recover() == []
    tasks = [await floor.send(door, f"t{number}") for number in range(6)]
    floor.let(*(f"t{number}" for number in range(6)))
    assert [await floor.end(task_id) for task_id in tasks] == [COMPLETED] * 6


async def test_what_waits_is_taken_at_once(floor: Floor) -> None:
    door, *workers = (floor.runner(runs=runs, pulse_seconds=60) for runs in (0, 1, 1))
    for worker in workers:
        assert await worker.recover() == []
    task_id = await floor.send(door, "t")
    await floor.until(lambda: floor.begun == ["t"])
    first, second = sorted(workers, key=lambda one: one.active(LOCAL_USER, task_id) is None)
    await first.aclose(hand_over=True)
    await floor.until(lambda: floor.begun == ["t", "t"])
    assert second.active(LOCAL_USER, task_id) is not None
    await second.control.pause(LOCAL_USER, task_id)
    await door.control.unpause(LOCAL_USER, task_id)
    await floor.until(lambda: floor.begun == ["t", "t", "t"])
    floor.let("t")
    assert await floor.end(task_id) == COMPLETED


async def test_a_deadline_ends_what_runs_and_what_waits(floor: Floor) -> None:
    runner = floor.runner(runs=1)
    runs = await floor.send(runner, "runs", seconds=0.5)
    waits = await floor.send(runner, "waits", seconds=0.3)
    for task_id in (runs, waits):
        assert await floor.end(task_id) == FAILED
        assert "by its deadline" in str((await floor.log.task(LOCAL_USER, task_id)).status)
    assert floor.begun == ["runs"]


@pytest.mark.parametrize(
    "urgency", [{"priority": 101}, {"priority": "high"}, {"seconds": 0}, {"seconds": True}]
)
async def test_an_urgency_that_is_none_is_refused(floor: Floor, urgency: dict[str, Any]) -> None:
    with pytest.raises(InvalidParamsError, match="of a task is a number from"):
        await floor.send(floor.runner(), "x", **urgency)


async def test_metadata_that_is_no_object_is_refused(floor: Floor) -> None:
    runner = floor.runner()
    handler = AgentRequestHandler("small", lambda who: floor.works(who, "small"), runner)
    request = send_request("x")
    ParseDict({"codin": 5}, request.message.metadata)
    with pytest.raises(InvalidParamsError, match="is an object"):
        await handler.on_message_send(request, call_context())


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_paused_task_goes_on_when_it_is_resumed(floor: Floor, elsewhere: bool) -> None:
    runner = floor.runner()
    other = floor.runner(runs=0) if elsewhere else runner
    task_id = await floor.send(runner, "t")
    await floor.until(lambda: floor.begun == ["t"])
    assert (await other.control.pause(LOCAL_USER, task_id)).paused
    await floor.until(lambda: runner.active(LOCAL_USER, task_id) is None)
    await asyncio.sleep(0.3)
    row = await floor.log.task(LOCAL_USER, task_id)
    assert (row.state, row.owner, floor.begun) == (WORKING, None, ["t"])
    told = [
        one["type"]
        for event in await floor.log.read(LOCAL_USER, task_id)
        if event.kind == "status"
        for one in data_parts(event.body)
    ]
    assert told == ["paused"]
    floor.let("t")
    assert not (await other.control.unpause(LOCAL_USER, task_id)).paused
    assert await floor.end(task_id) == COMPLETED
    assert floor.begun == ["t", "t"]
    with pytest.raises(TaskEnded):
        await other.control.pause(LOCAL_USER, task_id)


async def test_a_paused_task_can_be_canceled(floor: Floor) -> None:
    runner = floor.runner()
    task_id = await floor.send(runner, "t")
    await floor.until(lambda: floor.begun == ["t"])
    await runner.control.pause(LOCAL_USER, task_id)
    assert (await runner.control.cancel(LOCAL_USER, task_id)).state == CANCELED


def test_goals_and_called_agents_take_no_room() -> None:
    scheduler = Scheduler(RunLimits(runs=1))
    scheduler.begin("g", "goal", "t", "orchestrator")
    scheduler.begin("b", "below", "t", "a")
    assert scheduler.admits("agent", "t", "a")
    scheduler.begin("r", "agent", "t", "a")
    scheduler.begin("r", "agent", "t", "a")
    assert not scheduler.admits("agent", "t", "a")
    assert scheduler.admits("goal", "t", "a")
    scheduler.end("r")
    scheduler.end("r")
    assert scheduler.room.runs == 1
