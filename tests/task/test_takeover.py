"""Tasks whose process is killed, paused or cut off from the log: others go on with them, or end
them, once, and nobody has to ask for it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from codin.agent.base import Task as AgentTask
from codin.agent.events import AgentEvent, Failed, InputRequest, TextDelta, TextFinal
from codin.memory.inmemory import InMemoryMemory
from codin.security import LOCAL_USER, Principal, RunGrants, Scope
from codin.task import (
    AgentRequestHandler,
    AgentWork,
    EventLog,
    LogError,
    PostgresEventLog,
    RunServices,
    SqliteEventLog,
    TaskRunner,
)
from codin.task.conversation import MemoryConversation
from codin.task.log.entries import Adopt
from codin.task.log.follow import follow
from codin.task.log.leases import Lease
from codin.task.log.rows import StepRow, TaskRow
from codin.task.owner import new_owner
from codin.task.projection import data_parts
from codin.task.recovery import Recovery, interrupted
from codin.task.scheduler import RunLimits
from codin.task.states import CANCELED, COMPLETED, FAILED, INPUT_REQUIRED, WORKING
from codin.testing.log_conformance import ANN, begin, status
from codin.testing.tasks import SmallAgent, call_context, send_request

pytestmark = pytest.mark.slow

LEASE = 1.0
PULSE = 0.1

OWNER = """
import asyncio, os, sys
from codin.agent.events import InputRequest, TextDelta
from codin.security import LOCAL_USER, RunGrants
from codin.task import AgentRequestHandler, AgentWork, RunServices, TaskRunner
from codin.task import PostgresEventLog, SqliteEventLog
from codin.testing.tasks import SmallAgent, call_context, send_request

store, place, lease, pulse = sys.argv[1:]

async def act(task):
    if task.text == "ask":
        yield InputRequest(request_id="r", prompt="which colour?")
        return
    yield TextDelta(message_id="m", text="begun")
    try:
        while True:
            await asyncio.sleep(0.05)
            if task.text == "talk":
                yield TextDelta(message_id="m", text="more")
    finally:
        print("stopped", task.text, flush=True)

async def main():
    log = await (PostgresEventLog if store == "postgres" else SqliteEventLog).open(place)
    runner = TaskRunner(log, lease_seconds=float(lease), pulse_seconds=float(pulse))
    agent = SmallAgent(act)
    work = AgentWork(agent, agent.info, RunServices(grants=RunGrants()))
    handler = AgentRequestHandler(agent.id, lambda _: work, runner)
    for text in ("talk", "silent", "ask"):
        stream = handler.on_message_send_stream(send_request(text), call_context())
        first = await anext(stream)
        await anext(stream)
        await anext(stream)
        print(text, first.id, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""

Place = tuple[str, str]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A kind of store, and where there is an empty one."""
    if request.param == "postgres":
        return "postgres", request.getfixturevalue("database")
    return "sqlite", str(tmp_path / "codin.db")


@pytest.fixture
async def log(place: Place) -> AsyncIterator[EventLog]:
    log: EventLog
    log = await (PostgresEventLog if place[0] == "postgres" else SqliteEventLog).open(place[1])
    yield log
    await log.close()


@pytest.fixture
async def watchers(log: EventLog) -> AsyncIterator[list[TaskRunner]]:
    """Two gateways, as it were, that have no runs of their own."""
    runners = [
        TaskRunner(log, lease_seconds=LEASE, pulse_seconds=PULSE, works=painting) for _ in range(2)
    ]
    for runner in runners:
        assert await runner.recover() == []
    yield runners
    for runner in runners:
        await runner.aclose()


class Owner:
    """A process with a task that talks, one that is silent, and one that waits for an answer."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.tasks: dict[str, str] = {}

    async def begun(self) -> None:
        for _ in range(3):
            text, task_id = (await self.line()).split()
            self.tasks[text] = task_id

    async def line(self) -> str:
        assert self._process.stdout is not None
        async with asyncio.timeout(60):
            return (await self._process.stdout.readline()).decode()

    def send(self, what: signal.Signals) -> None:
        self._process.send_signal(what)


@asynccontextmanager
async def owning(place: Place) -> AsyncIterator[Owner]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", OWNER, *place, str(LEASE), str(PULSE)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        owner = Owner(process)
        await owner.begun()
        yield owner
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def end_of(log: EventLog, task_id: str) -> dict[str, Any]:
    """The status that ends a task."""
    async with asyncio.timeout(LEASE + 30):
        return [event.body async for event in follow(log, LOCAL_USER, task_id, poll=0.05)][-1][
            "status"
        ]


async def paint(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
    yield TextFinal(message_id="m", text=f"painted {task.text}")


def painting(principal: Principal, agent_id: str) -> AgentWork:
    agent = SmallAgent(paint)
    return AgentWork(agent, agent.info, RunServices(grants=RunGrants()))


def painter(runner: TaskRunner) -> AgentRequestHandler:
    return AgentRequestHandler("small", lambda _: painting(LOCAL_USER, "small"), runner)


async def test_what_a_killed_process_left_goes_on(
    place: Place, log: EventLog, watchers: list[TaskRunner]
) -> None:
    async with owning(place) as owner:
        owner.send(signal.SIGKILL)
        await log.request_cancel(LOCAL_USER, owner.tasks["silent"])
        assert (await end_of(log, owner.tasks["talk"]))["state"] == COMPLETED
        events = await log.read(LOCAL_USER, owner.tasks["talk"])
        begun = [event.body for event in events if event.kind == "begun"]
        assert [one["attempt"] for one in begun] == [1, 2]
        assert "painted talk" in str(events)
        assert [
            one["attempt"]
            for event in events
            if event.kind == "status"
            for one in data_parts(event.body)
            if one["type"] == "attempt"
        ] == [2]
        assert (await end_of(log, owner.tasks["silent"]))["state"] == CANCELED
        waiting = await log.task(LOCAL_USER, owner.tasks["ask"])
        assert waiting.state == INPUT_REQUIRED
        answer = send_request("blue", task_id=waiting.task_id)
        done = await painter(watchers[0]).on_message_send(answer, call_context())
        assert "painted blue" in str(done)


async def test_a_paused_process_is_fenced_when_it_comes_back(
    place: Place, log: EventLog, watchers: list[TaskRunner]
) -> None:
    async with owning(place) as owner:
        owner.send(signal.SIGSTOP)
        try:
            for text in ("talk", "silent"):
                assert (await end_of(log, owner.tasks[text]))["state"] == COMPLETED
            ended = await log.tasks(LOCAL_USER)
        finally:
            owner.send(signal.SIGCONT)
        # also the one that writes nothing: what it does must not go on
        said = {(await owner.line()).strip() for _ in range(2)}
        assert said == {"stopped talk", "stopped silent"}
        await asyncio.sleep(3 * PULSE)
        assert [(row.state, row.last_seq) for row in (await log.tasks(LOCAL_USER)).tasks] == [
            (row.state, row.last_seq) for row in ended.tasks
        ]


async def test_a_living_process_keeps_what_it_has(
    place: Place, log: EventLog, watchers: list[TaskRunner]
) -> None:
    async with owning(place) as owner:
        await asyncio.sleep(LEASE * 1.5)
        for text in ("talk", "silent"):
            assert (await log.task(LOCAL_USER, owner.tasks[text])).state == WORKING


async def test_a_cancel_ends_with_whoever_takes_over(
    place: Place, log: EventLog, watchers: list[TaskRunner]
) -> None:
    async with owning(place) as owner:
        owner.send(signal.SIGSTOP)  # it lives, and will not answer
        row = await asyncio.wait_for(
            watchers[0].control.cancel(LOCAL_USER, owner.tasks["silent"]), 10
        )
        assert row.state == CANCELED


async def test_a_task_of_a_dead_process_is_canceled_at_once(log: EventLog) -> None:
    code = "from codin.task.owner import new_owner; print(new_owner())"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    await begin(log, "t", principal=LOCAL_USER, owner=said.decode().strip(), ttl=600)
    runner = TaskRunner(log, pulse_seconds=600)
    row = await asyncio.wait_for(runner.control.cancel(LOCAL_USER, "t"), 5)
    assert row.state == CANCELED
    await runner.aclose()


async def test_a_cancel_that_meets_a_question_ends_the_task(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        await begun.wait()
        yield InputRequest(request_id="r", prompt="which colour?")

    begun = asyncio.Event()
    runner = TaskRunner(log, pulse_seconds=PULSE)
    agent = SmallAgent(ask)
    work = AgentWork(agent, agent.info, RunServices(grants=RunGrants()))
    handler = AgentRequestHandler(agent.id, lambda _: work, runner)
    request = send_request("paint")
    request.configuration.return_immediately = True
    task: Any = await handler.on_message_send(request, call_context())
    # another process asks for it when the run has just ended in its own way
    other = TaskRunner(log, pulse_seconds=PULSE)
    real = log.request_cancel

    async def late(*args: Any) -> Any:
        begun.set()
        async for _ in follow(log, LOCAL_USER, task.id, until={INPUT_REQUIRED}):
            pass
        return await real(*args)

    monkeypatch.setattr(log, "request_cancel", late)
    row = await asyncio.wait_for(other.control.cancel(LOCAL_USER, task.id), 10)
    assert row.state == CANCELED
    await other.aclose()
    await runner.aclose()


def recovery(log: EventLog, lease_seconds: float) -> Recovery:
    """That of a process that can go on with nothing."""

    async def nothing(row: TaskRow, lease: Lease) -> Failed:
        return interrupted("there is no such agent")

    return Recovery(log, nothing, owner=new_owner(), lease_seconds=lease_seconds)


async def test_steps_end_before_their_goal(log: EventLog) -> None:
    goal = await begin(log, "goal", ttl=0.2)
    states = {"done": "COMPLETED", "busy": "WORKING", "asking": "INPUT_REQUIRED"}
    for child, state in states.items():
        # they were begun after the goal's lease was last renewed, and have longer ones
        lease = await begin(log, child, parent="goal", ttl=600)
        await log.append(lease, [status(state)])
        await log.append(
            goal, [Adopt(child, child, "a")], steps=[StepRow(child, "a", "do", child_id=child)]
        )
    working = [StepRow("busy", "a", "do", state="working", child_id="busy")]
    await log.append(goal, [status("WORKING")], steps=working)
    await asyncio.sleep(0.3)
    assert await recovery(log, LEASE).lost() == ["goal"]
    *_, before, last = await log.read(ANN, "goal")
    assert (before.kind, before.body["task_id"]) == ("child", "busy")
    assert before.body["body"]["status"]["state"] == FAILED
    assert last.state == FAILED
    assert {child: (await log.task(ANN, child)).state for child in states} == {
        "done": "TASK_STATE_COMPLETED",
        "busy": FAILED,
        "asking": INPUT_REQUIRED,
    }
    steps = {step.step_id: step.state for step in await log.steps(ANN, "goal")}
    assert steps == {"done": "skipped", "busy": "failed", "asking": "skipped"}


async def test_many_are_shared_among_those_who_take_over(log: EventLog) -> None:
    for number in range(250):
        await begin(log, f"t{number}", ttl=0.01)
    await asyncio.sleep(0.1)
    recoveries = [recovery(log, 30) for _ in range(3)]
    ended = await asyncio.gather(*(recovery.lost() for recovery in recoveries))
    assert sorted(task_id for some in ended for task_id in some) == sorted(
        f"t{number}" for number in range(250)
    )
    assert await log.unfinished() == []


Fail = Callable[[str], None]


@pytest.fixture
def fail(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> Fail:
    """Has one call of a method of the log fail after all is written."""

    def once(name: str) -> None:
        real: Callable[..., Awaitable[Any]] = getattr(log, name)

        async def failing(*args: Any, **kwargs: Any) -> Any:
            monkeypatch.setattr(log, name, real)
            await real(*args, **kwargs)
            raise LogError("the connection broke")

        monkeypatch.setattr(log, name, failing)

    return once


async def test_a_task_that_was_written_without_an_acknowledgement_is_done(
    log: EventLog, fail: Fail
) -> None:
    runner = TaskRunner(log, lease_seconds=30, pulse_seconds=PULSE, works=painting)
    await runner.recover()
    fail("create")
    with pytest.raises(LogError):
        await painter(runner).on_message_send(send_request("red"), call_context())
    [row] = await log.unfinished()
    assert (await end_of(log, row.task_id))["state"] == COMPLETED
    await runner.aclose()


async def test_a_task_that_was_claimed_without_an_acknowledgement_is_done(
    log: EventLog, fail: Fail
) -> None:
    door = TaskRunner(log, pulse_seconds=PULSE, limits=RunLimits(runs=0))
    worker = TaskRunner(log, lease_seconds=LEASE, pulse_seconds=PULSE, works=painting)
    request = send_request("red")
    request.configuration.return_immediately = True
    task: Any = await painter(door).on_message_send(request, call_context())
    fail("claim_lost")
    with pytest.raises(LogError):
        await worker.recover()
    assert (await log.task(LOCAL_USER, task.id)).owner == worker.owner, "and it does not know it"
    assert (await end_of(log, task.id))["state"] == COMPLETED
    for runner in (door, worker):
        await runner.aclose()


async def test_one_that_cannot_be_seen_to_keeps_none_waiting(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = TaskRunner(log, lease_seconds=30, pulse_seconds=PULSE, works=painting)
    await runner.recover()
    real = log.create

    async def create(*args: Any, **kwargs: Any) -> Any:
        await real(*args, **kwargs)
        raise LogError("the connection broke")

    monkeypatch.setattr(log, "create", create)
    for text in ("stuck", "red"):
        with pytest.raises(LogError):
            await painter(runner).on_message_send(send_request(text), call_context())
    stuck, red = await log.unfinished()
    settle = Recovery.settle

    async def settling(self: Recovery, principal: Principal, task_id: str) -> None:
        if task_id == stuck.task_id:
            raise LogError("what it refers to is damaged")
        await settle(self, principal, task_id)

    monkeypatch.setattr(Recovery, "settle", settling)
    assert (await end_of(log, red.task_id))["state"] == COMPLETED
    await runner.aclose()


async def test_an_answer_without_an_acknowledgement_can_be_given_again(
    log: EventLog, fail: Fail
) -> None:
    async def ask(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        if task.text == "blue":
            yield TextFinal(message_id="m", text="painted blue")
        else:
            yield InputRequest(request_id="r", prompt="which colour?")

    runner = TaskRunner(log, lease_seconds=30, pulse_seconds=PULSE)
    agent = SmallAgent(ask)
    work = AgentWork(agent, agent.info, RunServices(grants=RunGrants()))
    handler = AgentRequestHandler(agent.id, lambda _: work, runner)
    asked: Any = await handler.on_message_send(send_request("paint"), call_context())
    fail("claim")
    answer = send_request("blue", task_id=asked.id)
    with pytest.raises(LogError):
        await handler.on_message_send(answer, call_context())
    async with asyncio.timeout(5):
        while (await log.task(LOCAL_USER, asked.id)).owner is not None:
            await asyncio.sleep(0.02)
    assert "painted blue" in str(await handler.on_message_send(answer, call_context()))
    await runner.aclose()


async def test_a_run_that_the_log_failed_goes_on_once_it_is_back(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = True

    def breaking(name: str) -> None:
        real: Callable[..., Awaitable[Any]] = getattr(log, name)

        async def maybe(*args: Any, **kwargs: Any) -> Any:
            if away:
                raise LogError("the server is away")
            return await real(*args, **kwargs)

        monkeypatch.setattr(log, name, maybe)

    runner = TaskRunner(log, lease_seconds=30, pulse_seconds=PULSE, works=painting)
    for name in ("append", "release", "claim_lost"):
        breaking(name)
    request = send_request("red")
    request.configuration.return_immediately = True
    task: Any = await painter(runner).on_message_send(request, call_context())
    await asyncio.sleep(3 * PULSE)
    away = False
    assert (await end_of(log, task.id))["state"] == COMPLETED
    await runner.aclose()


async def test_a_run_in_other_hands_is_not_remembered(log: EventLog) -> None:
    begun = asyncio.Event()

    async def hanging(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        yield TextFinal(message_id="m", text="half of it")
        begun.set()
        await asyncio.sleep(60)

    memory = InMemoryMemory()
    async with AsyncExitStack() as stack:
        runner = TaskRunner(log, conversation=MemoryConversation(memory), pulse_seconds=PULSE)
        stack.push_async_callback(runner.aclose)
        agent = SmallAgent(hanging)
        work = AgentWork(agent, agent.info, RunServices(grants=RunGrants()))
        handler = AgentRequestHandler(agent.id, lambda _: work, runner)
        request = send_request("do it", context_id="c")
        request.configuration.return_immediately = True
        task: Any = await handler.on_message_send(request, call_context())
        await begun.wait()
        await log.claim(LOCAL_USER, task.id, owner="thief", ttl=30, dead=runner.owner)
        await asyncio.wait_for(runner.wait(task.id), 5)
        scope = Scope.of(LOCAL_USER, agent=agent.id, session="c")
        assert await memory.history.list(scope) == []
        assert (await log.task(LOCAL_USER, task.id)).owner == "thief"


async def test_what_a_process_hands_over_goes_on_in_another(log: EventLog) -> None:
    begun = asyncio.Event()

    async def slow(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        try:
            yield TextDelta(message_id="m", text="half ")
            begun.set()
            await asyncio.sleep(60)
        finally:
            stopped.append(task.id)

    stopped: list[str] = []
    runner = TaskRunner(log, lease_seconds=30, pulse_seconds=PULSE)
    agent = SmallAgent(slow)
    work = AgentWork(agent, agent.info, RunServices(grants=RunGrants()))
    handler = AgentRequestHandler(agent.id, lambda _: work, runner)
    request = send_request("red")
    request.configuration.return_immediately = True
    task: Any = await handler.on_message_send(request, call_context())
    await begun.wait()
    await runner.aclose(hand_over=True)
    assert stopped == [task.id], "it was stopped here"
    row = await log.task(LOCAL_USER, task.id)
    assert (row.state, row.owner) == (WORKING, None)
    other = TaskRunner(log, lease_seconds=30, pulse_seconds=PULSE, works=painting)
    assert await other.recover() == [task.id]
    assert (await end_of(log, task.id))["state"] == COMPLETED
    await other.aclose()
