"""Clocks that jump by hours while tasks are at work, and workers that have one name."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from codin.agent.base import Task
from codin.agent.events import AgentEvent, TextFinal
from codin.database import SqliteDatabase
from codin.security import LOCAL_USER, RunGrants
from codin.task import (
    AgentRequestHandler,
    AgentWork,
    EventLog,
    PostgresEventLog,
    RunServices,
    SqliteEventLog,
    TaskRunner,
)
from codin.task.log.follow import follow
from codin.task.scheduler import RunLimits
from codin.task.states import COMPLETED, SUBMITTED, WORKING
from codin.testing.log_conformance import begin
from codin.testing.tasks import SmallAgent, call_context, send_request

pytestmark = pytest.mark.slow

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can count processes anew")

HOURS = 3 * 3600.0
LEASE, PULSE = 1.0, 0.1


@pytest.fixture(params=["sqlite", "postgres"])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EventLog]:
    log: EventLog
    if request.param == "postgres":
        log = await PostgresEventLog.open(request.getfixturevalue("database"))
    else:
        log = await SqliteEventLog.open(tmp_path / "codin.db")
    yield log
    await log.close()


class Floor:
    """Agents that work until they are let go; one runner, in which one task at a time has room."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.begun: list[str] = []
        self.go = asyncio.Event()
        self.grants = RunGrants()
        self.runner = TaskRunner(
            log,
            lease_seconds=LEASE,
            pulse_seconds=PULSE,
            works=lambda principal, agent_id: self.work,
            limits=RunLimits(runs=1),
        )

    async def act(self, task: Task) -> AsyncGenerator[AgentEvent, None]:
        self.begun.append(task.text)
        await self.go.wait()
        # what it may use is still its own
        assert self.grants.resolve(task.token or "").task_id == task.id
        yield TextFinal(message_id="m", text=f"did {task.text}")

    @property
    def work(self) -> AgentWork:
        agent = SmallAgent(self.act)
        return AgentWork(agent, agent.info, RunServices(grants=self.grants, seconds=900.0))

    async def send(self, text: str, **urgency: Any) -> str:
        handler = AgentRequestHandler("small", lambda _: self.work, self.runner)
        request = send_request(text, metadata={"codin": urgency})
        request.configuration.return_immediately = True
        task: Any = await handler.on_message_send(request, call_context())
        return str(task.id)

    async def states(self, *tasks: str) -> list[str]:
        return [(await self.log.task(LOCAL_USER, task_id)).state for task_id in tasks]

    async def end(self, task_id: str) -> str:
        return await end_of(self.log, task_id)


async def end_of(log: EventLog, task_id: str) -> str:
    async with asyncio.timeout(30):
        async for _ in follow(log, LOCAL_USER, task_id, poll=0.05):
            pass
    return (await log.task(LOCAL_USER, task_id)).state


@asynccontextmanager
async def opened(log: EventLog) -> AsyncIterator[Floor]:
    floor = Floor(log)
    try:
        yield floor
    finally:
        await floor.runner.aclose()


async def jumped(file: Path, jump: float) -> None:
    """Have the clock of a file stand otherwise. It is that of the machine, which other tests need:
    so what stands in the file is moved the other way."""
    async with SqliteDatabase(file) as database:
        await database.write(
            lambda connection: (
                connection.execute(
                    "UPDATE task SET lease_expires = lease_expires - ?, deadline = deadline - ?",
                    (jump, jump),
                )
                and None
            )
        )


@pytest.mark.parametrize("jump", [HOURS, -HOURS], ids=["forward", "back"])
async def test_the_clock_of_a_process_jumps(
    log: EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    async with opened(log) as floor:
        runs = await floor.send("runs", seconds=60)
        if isinstance(log, PostgresEventLog):
            waits = await floor.send("waits", seconds=60)
            before, real = await log.now(), time.time
            monkeypatch.setattr(time, "time", lambda: real() + jump)
            assert abs(await log.now() - before) < 30, "that of the database has not"
        else:
            waits = await floor.send("waits")
            await jumped(tmp_path / "codin.db", jump)
        await asyncio.sleep(LEASE + 5 * PULSE)
        assert await floor.states(runs, waits) == [WORKING, SUBMITTED]
        late = await floor.send("late", seconds=60)
        floor.go.set()
        assert [await floor.end(one) for one in (runs, waits, late)] == [COMPLETED] * 3
        assert sorted(floor.begun) == ["late", "runs", "waits"], "each was begun once"


async def test_whoever_died_before_the_clock_was_set_back_is_followed(log: EventLog) -> None:
    code = "from codin.task.owner import new_owner; print(new_owner())"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    async with opened(log) as floor:
        await floor.runner.recover()
        # by the clock as it was, its lease ran for a second; by the one that is, for hours
        await begin(log, "t", principal=LOCAL_USER, owner=said.decode().strip(), ttl=HOURS)
        assert await floor.end("t") != WORKING


WORKER = """
import asyncio, os, sys
from codin.agent.events import TextFinal
from codin.security import LOCAL_USER, RunGrants
from codin.task import AgentRequestHandler, AgentWork, RunServices, SqliteEventLog, TaskRunner
from codin.testing.tasks import SmallAgent, call_context, send_request

async def act(task):
    print("begun", task.text, flush=True)
    await asyncio.Event().wait()
    yield TextFinal(message_id="m", text="done")

agent = SmallAgent(act)
work = AgentWork(agent, agent.info, RunServices(grants=RunGrants()))

async def main(place, lease, pulse, text):
    log = await SqliteEventLog.open(place)
    runner = TaskRunner(log, lease_seconds=lease, pulse_seconds=pulse, works=lambda *_: work)
    await runner.recover()
    handler = AgentRequestHandler(agent.id, lambda _: work, runner)
    request = send_request(text)
    request.configuration.return_immediately = True
    await handler.on_message_send(request, call_context())
    await asyncio.Event().wait()

asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), sys.argv[4]))
"""


@needs_root
async def test_workers_of_one_name_keep_their_own_tasks(tmp_path: Path) -> None:
    """Two containers of one machine may have one host name, and in each the worker is process 1."""
    place = tmp_path / "codin.db"
    async with AsyncExitStack() as stack:
        log = await SqliteEventLog.open(place)
        stack.push_async_callback(log.close)
        workers: list[asyncio.subprocess.Process] = []
        for text in ("red", "blue"):
            worker = await asyncio.create_subprocess_exec(
                *("unshare", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child", "sh"),
                *("-c", 'hostname worker && exec "$@"', "sh", sys.executable, "-c", WORKER),
                *(str(place), str(LEASE), str(PULSE), text),
                stdout=asyncio.subprocess.PIPE,
            )
            stack.push_async_callback(ended, worker)
            workers.append(worker)
            assert await line_of(worker) == f"begun {text}"
        await asyncio.sleep(2 * LEASE)
        first, second = await log.unfinished()
        assert first.owner != second.owner
        assert [len(await attempts(log, row.task_id)) for row in (first, second)] == [1, 1]
        await ended(workers[0])
        assert await line_of(workers[1]) == "begun red", "what one leaves the other goes on with"
        assert len(await attempts(log, second.task_id)) == 1


async def attempts(log: EventLog, task_id: str) -> list[int]:
    events = await log.read(LOCAL_USER, task_id)
    return [event.body["attempt"] for event in events if event.kind == "begun"]


async def line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(30):
        return (await process.stdout.readline()).decode().strip()


async def ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGKILL)
        await process.wait()
