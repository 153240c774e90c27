"""Agents that were called when the process of all of them is killed: all of them go on."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from calling_house import colleague, open_house

from codin.agent.base import Task
from codin.agent.events import AgentEvent, TextFinal
from codin.security import LOCAL_USER
from codin.task.log.follow import follow

pytestmark = pytest.mark.slow

ENDLESS = "CODIN_TEST_ENDLESS"


async def passing(task: Task) -> AsyncGenerator[AgentEvent, None]:
    yield TextFinal(message_id="m", text=str(await task.tools[0].invoke(request="go on")))


async def endless(task: Task) -> AsyncGenerator[AgentEvent, None]:
    yield TextFinal(message_id="m", text="here I am")
    if os.environ.get(ENDLESS):
        await asyncio.sleep(0.2)  # until that is written
        print("reached", flush=True)
        await asyncio.Event().wait()
    yield TextFinal(message_id="n", text="and on")


TEAM = (
    colleague("boss", passing, asked=("agent:writer",)),
    colleague("writer", passing, asked=("agent:clerk",)),
    colleague("clerk", endless),
)


async def main(home: Path) -> None:
    async with open_house(home, *TEAM) as house:
        await house.send("boss", "go")


async def test_who_was_called_goes_on_with_its_caller_when_all_are_killed(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "CODIN_TEST_ENDLESS": "1",
        },
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            assert await process.stdout.readline() == b"reached\n"
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    async with open_house(tmp_path, *TEAM) as house:
        assert len(await house.manager.start()) == 3
        rows = (await house.log.tasks(LOCAL_USER)).tasks
        [root] = [row.task_id for row in rows if row.parent_id is None]
        async with asyncio.timeout(20):
            async for _ in follow(house.log, LOCAL_USER, root):
                pass
        rows = (await house.log.tasks(LOCAL_USER)).tasks
        assert {row.agent_id: row.state for row in rows} == dict.fromkeys(
            ("boss", "writer", "clerk"), "TASK_STATE_COMPLETED"
        )
        events = await house.events(root)
        told = [event.body for event in events if event.kind == "child"]
        nested = [body["body"] for body in told if body["kind"] == "child"]
        assert sum("here I am" in str(body) for body in nested) == 1, "it was said once"
        assert "and on" in str(events[-2].body), "the last that was said is the answer"
        assert [step.state for step in await house.log.steps(LOCAL_USER, root)] == ["completed"]


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
