"""What the runner does beside A2A: other processes, tools that tell, a log that fails."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from a2a.types import CancelTaskRequest, Task, TaskState

from codin.agent.base import Task as AgentTask
from codin.agent.events import AgentEvent, TextDelta, TextFinal
from codin.memory.inmemory import InMemoryMemory
from codin.security import LOCAL_USER, RunGrant, RunGrants, Scope
from codin.task import (
    AgentRequestHandler,
    AgentWork,
    EventLog,
    LogCallRecorder,
    RunServices,
    SqliteEventLog,
    TaskRunner,
    UnknownTask,
)
from codin.task.conversation import MemoryConversation
from codin.task.log.follow import follow
from codin.testing.tasks import BOB, SmallAgent, call_context, send_request
from codin.tool.base import RunEnded
from codin.tool.events import ToolOutput
from codin.tool.invocation import CallFinished, CallStarted

Serve = Callable[..., AgentRequestHandler]
OpenLog = Callable[[], Awaitable[EventLog]]


async def hanging(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
    yield TextDelta(message_id="m", text="begun")
    await asyncio.sleep(60)


async def begun(handler: AgentRequestHandler) -> tuple[Task, Any]:
    stream = handler.on_message_send_stream(send_request(), call_context())
    first = await anext(stream)
    assert isinstance(first, Task)
    return first, stream


async def test_a_task_of_another_process_can_be_canceled(serve: Serve, open_log: OpenLog) -> None:
    task, stream = await begun(serve(hanging))
    other_log = await open_log()
    other = TaskRunner(other_log)
    row = await asyncio.wait_for(other.control.cancel(LOCAL_USER, task.id), 5)
    assert row.state == "TASK_STATE_CANCELED"
    assert [e async for e in stream][-1].status.state == TaskState.TASK_STATE_CANCELED
    with pytest.raises(UnknownTask):
        await other.control.cancel(BOB, task.id)
    await other.aclose()
    await other_log.close()


async def test_a_reader_in_another_process_sees_it_grow(
    serve: Serve, log: EventLog, open_log: OpenLog
) -> None:
    handler = serve(hanging)
    task, stream = await begun(handler)
    other_log = await open_log()
    seen: list[int] = []

    async def read() -> None:
        seen.extend(
            [event.seq async for event in follow(other_log, LOCAL_USER, task.id, poll=0.05)]
        )

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.1)
    await handler.on_cancel_task(CancelTaskRequest(id=task.id), call_context())
    await asyncio.wait_for(reading, 5)
    assert seen == list(range(1, len(await log.read(LOCAL_USER, task.id)) + 1))
    await stream.aclose()
    await other_log.close()


async def test_a_fenced_run_is_stopped(serve: Serve, log: SqliteEventLog) -> None:
    stopped = asyncio.Event()

    async def talking(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        try:
            while True:
                yield TextDelta(message_id="m", text="x")
                await asyncio.sleep(0.01)
        finally:
            stopped.set()

    task, stream = await begun(serve(talking))
    owner = (await log.task(LOCAL_USER, task.id)).owner
    lease = await log.claim(LOCAL_USER, task.id, owner="thief", ttl=30, dead=owner)
    assert lease is not None
    await asyncio.wait_for(stopped.wait(), 2)
    assert (await log.task(LOCAL_USER, task.id)).owner == "thief"
    await stream.aclose()


async def test_a_log_that_fails_stops_the_run(
    runner: TaskRunner, serve: Serve, log: SqliteEventLog
) -> None:
    stopped = asyncio.Event()
    going = asyncio.Event()

    async def talking(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        try:
            while True:
                yield TextDelta(message_id="m", text="x")
                going.set()
                await asyncio.sleep(0.01)
        finally:
            stopped.set()

    task, stream = await begun(serve(talking))
    await going.wait()
    await stream.aclose()
    await log.close()
    await asyncio.wait_for(stopped.wait(), 2)
    await asyncio.wait_for(runner.wait(task.id), 2)


async def test_tools_tell_and_are_recorded(serve: Serve, log: SqliteEventLog) -> None:
    runner: TaskRunner
    grants = RunGrants()
    kept: list[RunGrant] = []

    async def calling(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        assert task.token is not None
        grant = grants.resolve(task.token)
        kept.append(grant)
        await recorder.started(grant, CallStarted("c1", "t", '{"a":1}', "none"))
        assert (await log.read(LOCAL_USER, task.id))[-1].kind == "call", "committed before the call"
        await runner.emit(grant, ToolOutput(call_id="c1", name="t", text="working on it"))
        await recorder.finished(grant, CallFinished("c1", "t", '{"a":1}', 0.5, value={"b": 2}))
        yield TextFinal(message_id="m", text="ok")

    handler = serve(calling, grants=grants)
    runner = handler._runner
    recorder = LogCallRecorder(runner)
    task = await handler.on_message_send(send_request(), call_context())
    events = await log.read(LOCAL_USER, task.id)
    calls = [event.body for event in events if event.kind == "call"]
    assert [call["type"] for call in calls] == ["started", "finished"]
    assert calls[1]["value"] == {"b": 2}
    assert calls[0]["arguments"] == '{"a":1}'
    assert "working on it" in str([event.body for event in events if event.kind == "status"])
    with pytest.raises(RunEnded, match="its calls are not recorded"):
        await recorder.started(kept[0], CallStarted("c2", "t", "{}", "none"))
    await runner.emit(kept[0], ToolOutput(call_id="c2", name="t", text="too late"))
    assert len(await log.read(LOCAL_USER, task.id)) == len(events)


async def test_a_conversation_is_remembered(log: SqliteEventLog) -> None:
    memory = InMemoryMemory()
    runner = TaskRunner(log, conversation=MemoryConversation(memory))
    seen: list[list[str]] = []

    async def echo(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        seen.append([message.parts[0].text for message in task.history])
        yield TextFinal(message_id="m", text=f"you said {task.text}")

    agent = SmallAgent(echo)
    work = AgentWork(agent, agent.info, RunServices(grants=RunGrants()))
    handler = AgentRequestHandler(agent.id, lambda _: work, runner)
    for text, context_id in (("one", "c1"), ("two", "c1"), ("three", "c2")):
        await handler.on_message_send(send_request(text, context_id=context_id), call_context())
    assert seen == [[], ["one", "you said one"], []]
    kept = await memory.history.list(Scope.of(LOCAL_USER, agent=agent.id, session="c1"))
    assert [message.text for message in kept] == ["one", "you said one", "two", "you said two"]
    await runner.aclose()


async def test_what_a_root_used_is_let_go(log: SqliteEventLog) -> None:
    ended: list[Any] = []

    async def note(principal: Any, goal_id: str) -> None:
        ended.append((principal, goal_id))
        raise RuntimeError("and that must not matter")

    runner = TaskRunner(log, root_ended=note)
    agent = SmallAgent(hanging)
    work = AgentWork(agent, agent.info, RunServices(grants=RunGrants(), seconds=0.1))
    handler = AgentRequestHandler(agent.id, lambda _: work, runner)
    task = await handler.on_message_send(send_request(), call_context())
    await runner.wait(task.id)
    assert ended == [(LOCAL_USER, task.id)]
    await runner.aclose()


async def test_a_client_that_leaves_at_once_leaves_no_orphan(
    serve: Serve, log: SqliteEventLog, runner: TaskRunner
) -> None:
    async def quick(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        yield TextFinal(message_id="m", text="ok")

    handler = serve(quick)
    for delay in (0, 0, 0.0005, 0.001, 0.002):
        sending = asyncio.create_task(handler.on_message_send(send_request(), call_context()))
        await asyncio.sleep(delay)
        sending.cancel()
        await asyncio.wait([sending])
    for _ in range(1000):
        if not await log.unfinished():
            break
        await asyncio.sleep(0.02)
    assert await log.unfinished() == []


_VICTIM = """
import asyncio, sys
from codin.agent.events import TextDelta
from codin.security import LOCAL_USER, RunGrants
from codin.task import AgentRequestHandler, AgentWork, RunServices, SqliteEventLog, TaskRunner
from codin.testing.tasks import SmallAgent, call_context, send_request

async def talking(task):
    number = 0
    while True:
        number += 1
        yield TextDelta(message_id=str(number), text=str(number))
        await asyncio.sleep(0.001)

async def main():
    runner = TaskRunner(await SqliteEventLog.open(sys.argv[1]))
    agent = SmallAgent(talking)
    work = AgentWork(agent, agent.info, RunServices(grants=RunGrants()))
    handler = AgentRequestHandler(agent.id, lambda _: work, runner)
    count = 0
    async for event in handler.on_message_send_stream(send_request(), call_context()):
        count += 1
        print(count, flush=True)

asyncio.run(main())
"""


async def test_what_a_client_saw_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "codin.db"
    process = subprocess.Popen(
        [sys.executable, "-c", _VICTIM, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(50):
        process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    seen = 50 + sum(1 for line in process.stdout.read().split("\n") if line.strip())
    process.wait()
    log = await SqliteEventLog.open(path)
    runner = TaskRunner(log)
    (task_id,) = await runner.recover()
    events = await log.read(LOCAL_USER, task_id, 0, 100_000)
    assert len(events) > seen - 1
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[-1].state == "TASK_STATE_FAILED"
    await runner.aclose()
    await log.close()
