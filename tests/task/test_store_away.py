"""The disk of the log is full, or its database is away: tasks wait for it, and go on by themselves
with nothing lost and nothing done twice."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from a2a.types import GetTaskRequest
from calling_house import House, colleague, open_house, state, texts

from codin.agent.base import Task
from codin.agent.events import AgentEvent, TextFinal
from codin.database import SqliteDatabase
from codin.security import LOCAL_USER
from codin.task import LogError, PostgresEventLog
from codin.task.artifacts import open_artifacts
from codin.task.log import open_log
from codin.testing.postgres import PostgresServer
from codin.testing.tasks import call_context, send_request
from codin.tool.base import ToolSpec
from codin.tool.invocation import Invocation, RunnableTool

pytestmark = pytest.mark.slow

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")

TASKS = 3
LARGE = "x" * 200_000


class Press(RunnableTool):
    """A tool that does something once; what it did is counted outside of any log."""

    name = "press"
    spec = ToolSpec(name="press", effects="once", trusted=True)

    def __init__(self) -> None:
        self.pressed: Counter[str] = Counter()

    async def run(self, call: Invocation) -> Any:
        self.pressed[call.idempotency_key] += 1
        return "pressed"


class Floor:
    """Agents that press, wait to be let go, and press again."""

    def __init__(self) -> None:
        self.tool = Press()
        self.waiting = 0
        self.go = asyncio.Event()

    async def act(self, task: Task) -> AsyncGenerator[AgentEvent, None]:
        yield TextFinal(message_id="a", text=str(await task.tools[0].invoke()))
        self.waiting += 1
        await self.go.wait()
        for _ in range(3):
            await task.tools[0].invoke()
        yield TextFinal(message_id="b", text="done" if task.text != "large" else LARGE)

    async def begin(self, house: House, text: str = "go") -> str:
        request = send_request(text)
        request.configuration.return_immediately = True
        handler = house.manager.agent_handler(LOCAL_USER, "p")
        task: Any = await handler.on_message_send(request, call_context())
        return str(task.id)

    async def until_all_wait(self, most: int = TASKS) -> None:
        async with asyncio.timeout(30):
            while self.waiting < most:
                await asyncio.sleep(0.01)

    async def ended(self, house: House, task_id: str) -> list[str]:
        """What a task said, once it has come to its end as it should."""
        async with asyncio.timeout(60):
            while not (await house.log.task(LOCAL_USER, task_id)).ended:
                await asyncio.sleep(0.05)
        handler = house.manager.agent_handler(LOCAL_USER, "p")
        task = await handler.on_get_task(GetTaskRequest(id=task_id), call_context())
        assert task is not None
        assert state(task) == "COMPLETED", task.status
        events = await house.events(task_id)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        return list(texts(task))

    def check_once(self, tasks: int = TASKS) -> None:
        """Each call was made, and no call a second time."""
        assert list(self.tool.pressed.values()) == [1] * 4 * tasks


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of eight mebibytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all the room there is."""
    file = disk / "fill"
    with suppress(OSError), file.open("wb", buffering=0) as filling:
        while True:
            filling.write(b"\0" * 4096)
    return file


@pytest.fixture
async def small(disk: Path) -> AsyncIterator[tuple[House, Floor, Path]]:
    """A platform whose log and large contents are on a small disk."""
    floor = Floor()
    async with AsyncExitStack() as stack:
        database = SqliteDatabase(disk / "codin.db")
        stack.push_async_callback(database.close)
        log = await open_log(database, artifacts=open_artifacts(database))
        agent = colleague("p", floor.act, asked=("press",))
        house = await stack.enter_async_context(
            open_house(disk, agent, log=log, tools=[floor.tool])
        )
        yield house, floor, disk


@needs_root
async def test_tasks_wait_for_room_on_the_disk(small: tuple[House, Floor, Path]) -> None:
    house, floor, disk = small
    tasks = [await floor.begin(house) for _ in range(TASKS)]
    await floor.until_all_wait()
    filler = fill(disk)
    floor.go.set()
    with pytest.raises(LogError, match=r"codin\.db cannot be used: database or disk is full"):
        await floor.begin(house, "more")
    await asyncio.sleep(0.5)
    assert sum(floor.tool.pressed.values()) == TASKS, "what cannot be recorded is not done"
    for task_id in tasks:
        assert not (await house.log.task(LOCAL_USER, task_id)).ended
    filler.unlink()
    for task_id in tasks:
        assert await floor.ended(house, task_id) == ["pressed", "done"]
    more = await floor.begin(house, "more")
    assert await floor.ended(house, more) == ["pressed", "done"]
    floor.check_once(TASKS + 1)


@needs_root
async def test_large_contents_wait_for_room_on_the_disk(small: tuple[House, Floor, Path]) -> None:
    house, floor, disk = small
    task_id = await floor.begin(house, "large")
    await floor.until_all_wait(1)
    filler = fill(disk)
    os.truncate(filler, filler.stat().st_size - 100_000)  # the log has room, the content has none
    floor.go.set()
    await asyncio.sleep(0.5)
    assert not (await house.log.task(LOCAL_USER, task_id)).ended
    filler.unlink()
    assert await floor.ended(house, task_id) == ["pressed", LARGE]
    floor.check_once(1)
    files = [one for one in (disk / "codin.db-artifacts").rglob("*") if one.is_file()]
    assert len([one for one in files if one.name != ".lock"]) == 1, "nothing half is left behind"


async def test_tasks_wait_for_a_database_that_is_away(
    postgres: PostgresServer, database: str, tmp_path: Path
) -> None:
    floor = Floor()
    agent = colleague("p", floor.act, asked=("press",))
    log = await PostgresEventLog.open(database)
    async with open_house(tmp_path, agent, log=log, tools=[floor.tool]) as house:
        tasks = [await floor.begin(house) for _ in range(TASKS)]
        await floor.until_all_wait()
        postgres.stop()
        try:
            floor.go.set()
            sending = asyncio.create_task(floor.begin(house, "more"))
            await asyncio.sleep(4)
            assert not sending.done(), "it is waited for"
            assert sum(floor.tool.pressed.values()) == TASKS, "what cannot be recorded is not done"
        finally:
            await asyncio.to_thread(postgres.start)
        tasks.append(await sending)
        for task_id in tasks:
            assert await floor.ended(house, task_id) == ["pressed", "done"]
        floor.check_once(TASKS + 1)
