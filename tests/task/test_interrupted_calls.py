"""Calls that were under way when their process ended: repeated, asked for, or failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

import pytest
from calling_house import colleague, open_house, reason, state, texts

from codin.agent.base import Task
from codin.agent.events import AgentEvent, TextFinal
from codin.memory import InMemoryMemory
from codin.security import DEFAULT_ROLES, LOCAL_USER, RoleAuthorizer, RunGrant
from codin.task.remembering import MemoryRemembering, RememberedCalls
from codin.testing.tasks import call_context, send_request
from codin.tool.base import IfInterrupted, ToolError, ToolSpec
from codin.tool.invocation import CallFinished, CallRecorder, CallStarted, Invocation, RunnableTool


class Press(RunnableTool):
    """A tool that does something, and does not come to an end the first time."""

    def __init__(self, if_interrupted: IfInterrupted | None, effects: Any) -> None:
        self.name = "press"
        self.spec = ToolSpec(
            name="press", effects=effects, if_interrupted=if_interrupted, trusted=True
        )
        self.keys: list[str] = []
        self.pressed = asyncio.Event()

    async def run(self, call: Invocation) -> Any:
        self.keys.append(call.idempotency_key)
        self.pressed.set()
        if len(self.keys) == 1:
            await asyncio.Event().wait()
        return "pressed"


async def press(task: Task) -> AsyncGenerator[AgentEvent, None]:
    try:
        said = str(await task.tools[0].invoke())
    except ToolError as error:
        said = f"{type(error).__name__}: {error}"
    yield TextFinal(message_id="m", text=said)


async def interrupted(home: Path, tool: Press) -> str:
    """A task whose call is under way when its process ends."""
    async with open_house(home, colleague("p", press, asked=("press",)), tools=[tool]) as house:
        handler = house.manager.agent_handler(LOCAL_USER, "p")
        request = send_request("go")
        request.configuration.return_immediately = True
        task: Any = await handler.on_message_send(request, call_context())
        await asyncio.wait_for(tool.pressed.wait(), 10)
        await house.manager.aclose(hand_over=True)
        return str(task.id)


async def gone_on(home: Path, tool: Press, task_id: str, answer: str = "") -> tuple[str, str]:
    """How it stands once it has gone on, and is answered: its state, and what it said or asks."""
    async with open_house(home, colleague("p", press, asked=("press",)), tools=[tool]) as house:
        assert await house.manager.start() == [task_id]
        await house.manager.runner.wait(task_id)
        if answer:
            await house.send("p", answer, task_id=task_id)
        handler = house.manager.agent_handler(LOCAL_USER, "p")
        from a2a.types import GetTaskRequest

        task = await handler.on_get_task(GetTaskRequest(id=task_id), call_context())
        assert task is not None
        said = texts(task)
        return state(task), said[-1] if said else reason(task)


@pytest.mark.parametrize(
    ("effects", "if_interrupted"), [("repeatable", None), ("none", None), ("once", "repeat")]
)
async def test_what_may_be_repeated_is_with_the_same_key(
    tmp_path: Path, effects: str, if_interrupted: IfInterrupted | None
) -> None:
    tool = Press(if_interrupted, effects)
    task_id = await interrupted(tmp_path, tool)
    assert await gone_on(tmp_path, tool, task_id) == ("COMPLETED", "pressed")
    assert len(tool.keys) == 2
    assert len(set(tool.keys)) == 1


@pytest.mark.parametrize(("effects", "if_interrupted"), [("once", None), ("none", "ask")])
async def test_what_must_not_come_twice_is_asked_for(
    tmp_path: Path, effects: str, if_interrupted: IfInterrupted | None
) -> None:
    tool = Press(if_interrupted, effects)
    task_id = await interrupted(tmp_path, tool)
    stands, asked = await gone_on(tmp_path, tool, task_id)
    assert stands == "INPUT_REQUIRED"
    assert "May this call be made?\npress {}\nIt was under way when the process" in asked
    assert len(tool.keys) == 1
    async with open_house(tmp_path, colleague("p", press, asked=("press",)), tools=[tool]) as house:
        task = await house.send("p", "yes", task_id=task_id)
        assert (state(task), texts(task)[-1]) == ("COMPLETED", "pressed")
    assert len(tool.keys) == 2
    assert len(set(tool.keys)) == 1


async def test_what_is_not_to_be_repeated_is_not(tmp_path: Path) -> None:
    tool = Press(None, "once")
    task_id = await interrupted(tmp_path, tool)
    stands, said = await gone_on(tmp_path, tool, task_id, "no")
    assert stands == "COMPLETED"
    assert said.startswith("ToolRefused: press: the call was not approved")
    assert len(tool.keys) == 1


async def test_what_fails_when_it_was_interrupted_is_told_so(tmp_path: Path) -> None:
    tool = Press("fail", "repeatable")
    task_id = await interrupted(tmp_path, tool)
    stands, said = await gone_on(tmp_path, tool, task_id)
    assert stands == "COMPLETED"
    assert said == (
        "ToolFailed: press: It was under way when the process that made it ended, and may have "
        "been made. It is not made again"
    )
    assert len(tool.keys) == 1


async def test_who_keeps_what_calls_gave_passes_on_what_was_interrupted() -> None:
    class Recorder(CallRecorder):
        async def interrupted(self, grant: RunGrant, key: str) -> bool:
            return key == "k"

        async def started(self, grant: RunGrant, call: CallStarted) -> None:
            """Do nothing."""

        async def finished(self, grant: RunGrant, call: CallFinished) -> None:
            """Do nothing."""

    authorizer = RoleAuthorizer(DEFAULT_ROLES)
    remembering = MemoryRemembering(InMemoryMemory(), authorizer)
    recorder = RememberedCalls(Recorder(), remembering, lambda principal, name: None)
    grant = cast("RunGrant", None)
    assert [await recorder.interrupted(grant, key) for key in ("k", "l")] == [True, False]
