"""Tasks that another agent takes over, and what the client sees of it: one task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from a2a.types import Part
from calling_house import Colleague, colleague, open_house, reason, state, texts

from codin.agent.base import Task
from codin.agent.events import (
    AgentEvent,
    ArtifactProduced,
    Failed,
    InputRequest,
    Rejected,
    TextDelta,
    TextFinal,
    ToolCall,
)
from codin.agent.router import Router, router_info
from codin.memory import InMemoryMemory
from codin.security import LOCAL_USER
from codin.task import data_parts
from codin.tool.base import ToolError

Stream = AsyncGenerator[AgentEvent, None]


def say(text: str, message_id: str = "m") -> TextFinal:
    return TextFinal(message_id=message_id, text=text)


async def hand(task: Task, to: str, **arguments: Any) -> str:
    [tool] = [tool for tool in task.tools if tool.name == f"transfer_to_{to}"]
    try:
        return str(await tool.invoke(**arguments))
    except ToolError as error:
        return f"{type(error).__name__}: {error}"


async def front(task: Task) -> Stream:
    yield say("One moment.")
    yield ToolCall(call_id="c1", name="transfer_to_back")
    await hand(task, "back", note="a regular")
    yield say("never said")


FRONT = colleague("front", front, hands_off_to=("back",))


async def test_the_client_sees_one_task_with_the_other_agents_answer(tmp_path: Path) -> None:
    async def back(task: Task) -> Stream:
        assert task.text == "help me\nfront notes: a regular"
        assert task.message.parts[1].raw == b"x"
        yield TextDelta(message_id="m", text="At ")
        yield TextDelta(message_id="m", text="your service")
        yield ArtifactProduced(artifact_id="a", name="bill.txt", raw=b"7 EUR")
        yield say("At your service")

    async with open_house(tmp_path, FRONT, colleague("back", back)) as house:
        parts = [Part(raw=b"x", filename="x.txt", media_type="text/plain")]
        task = await house.send("front", "help me", parts=parts, context_id="talk")
        assert (state(task), task.context_id) == ("COMPLETED", "talk")
        assert list(texts(task)) == ["One moment.", "At your service"]
        assert [a.name for a in task.artifacts if a.name] == ["bill.txt"]
        assert await house.calls(task.id) == [
            "front handoff back working",
            "front handoff back completed",
        ]
        own = [event.body for event in await house.events(task.id) if event.kind == "status"]
        said = [one for body in own for one in data_parts(body)]
        kinds = [one["type"] for one in said if one["type"] != "step"]
        assert kinds == ["tool_call", "tool_result", "handoff"]
        [step] = await house.log.steps(LOCAL_USER, task.id)
        child = await house.log.task(LOCAL_USER, step.child_id or "")
        assert (child.context_id, child.parent_id) == ("talk", task.id)
        assert len((await house.log.tasks(LOCAL_USER)).tasks) == 2


async def test_the_conversation_goes_with_it(tmp_path: Path) -> None:
    heard: list[list[str]] = []

    async def back(task: Task) -> Stream:
        heard.append(["".join(part.text for part in past.parts) for past in task.history])
        yield say(f"done {len(heard)}")

    async with open_house(tmp_path, FRONT, colleague("back", back)) as house:
        for text in ("first", "second"):
            await house.send("front", text, context_id="talk")
    assert heard == [[], ["first", "done 1"]]


async def asking_back(task: Task) -> Stream:
    if "Paris" not in task.text:
        yield InputRequest(request_id="q", prompt="Which city?")
        return
    before = ["".join(part.text for part in past.parts) for past in task.history]
    yield say(f"{task.text} after {before}")


BACK = colleague("back", asking_back)


@pytest.mark.parametrize("restart", [False, True])
async def test_a_question_of_the_other_agent_is_the_tasks_and_its_answer_goes_there(
    tmp_path: Path, restart: bool
) -> None:
    memory = InMemoryMemory()
    async with open_house(tmp_path, FRONT, BACK, memory=memory) as house:
        task = await house.send("front", "weather", context_id="talk")
        assert (state(task), reason(task)) == ("INPUT_REQUIRED", "Which city?")
        assert await house.children(task.id) == {"back": "TASK_STATE_INPUT_REQUIRED"}
        if not restart:
            task = await house.send("front", "Paris", task_id=task.id)
    if restart:
        async with open_house(tmp_path, FRONT, BACK, memory=memory) as house:
            task = await house.send("front", "Paris", task_id=task.id)
            assert await house.children(task.id) == {"back": "TASK_STATE_COMPLETED"}
    said = "Paris after ['weatherfront notes: a regular', 'Which city?']"
    assert (state(task), texts(task)[-1]) == ("COMPLETED", said)


async def test_a_question_that_was_answered_at_the_other_agent_is_not_asked_again(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path, FRONT, BACK) as house:
        task = await house.send("front", "weather")
        [step] = await house.log.steps(LOCAL_USER, task.id)
        await house.send("back", "Paris", task_id=step.child_id)
        task = await house.send("front", "anything", task_id=task.id)
        assert state(task) == "COMPLETED"
        assert texts(task)[-1].startswith("Paris after")


async def test_cancelling_a_task_that_was_handed_on_cancels_it_where_it_is(tmp_path: Path) -> None:
    working = asyncio.Event()

    async def back(task: Task) -> Stream:
        working.set()
        await asyncio.Event().wait()
        yield say("never")

    async with open_house(tmp_path, FRONT, colleague("back", back)) as house:
        sending = asyncio.create_task(house.send("front", "help"))
        await working.wait()
        root = next(r for r in (await house.log.tasks(LOCAL_USER)).tasks if not r.parent_id)
        await house.cancel("front", root.task_id)
        assert state(await sending) == "CANCELED"
        assert await house.children(root.task_id) == {"back": "TASK_STATE_CANCELED"}


async def test_cancelling_a_task_whose_other_agent_waits_cancels_that_too(tmp_path: Path) -> None:
    async with open_house(tmp_path, FRONT, BACK) as house:
        task = await house.send("front", "weather")
        await house.cancel("front", task.id)
        assert await house.children(task.id) == {"back": "TASK_STATE_CANCELED"}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Failed(error_type="X", message="no ink"), ("FAILED", "back failed: no ink")),
        (Rejected(message="not mine"), ("REJECTED", "back does not take this: not mine")),
    ],
)
async def test_its_end_is_the_tasks_end(
    tmp_path: Path, event: AgentEvent, expected: tuple[str, str]
) -> None:
    async def back(task: Task) -> Stream:
        yield event

    async with open_house(tmp_path, FRONT, colleague("back", back)) as house:
        task = await house.send("front", "help")
        assert (state(task), reason(task)) == expected


async def test_what_was_handed_on_is_not_handed_back(tmp_path: Path) -> None:
    async def back(task: Task) -> Stream:
        yield say(await hand(task, "front", note="not mine"))

    async with open_house(
        tmp_path, FRONT, colleague("back", back, hands_off_to=("front",))
    ) as house:
        task = await house.send("front", "help")
        assert "front -> back -> front goes in a circle" in texts(task)[-1]


async def test_a_run_is_handed_off_once_and_only_to_whom_it_may(tmp_path: Path) -> None:
    refused: list[str] = []

    async def front(task: Task) -> Stream:
        assert [tool.name for tool in task.tools] == ["transfer_to_back", "transfer_to_other"]

        async def note(to: str) -> None:
            refused.append(await hand(task, to))

        await asyncio.gather(note("back"), note("other"))
        yield say("never")

    async def back(task: Task) -> Stream:
        yield say("back here")

    async with open_house(
        tmp_path,
        colleague("front", front, hands_off_to=("back", "other")),
        colleague("back", back),
        colleague("other", back),
        colleague("third", back, hands_off_to=("other",)),
    ) as house:
        task = await house.send("front", "help")
        assert texts(task)[-1] == "back here"
        [taken] = await house.children(task.id)
        calls = [e.body for e in await house.events(task.id) if e.kind == "call"]
        good = [one["name"] for one in calls if one["type"] == "finished" and one["value"]]
        assert good == [f"transfer_to_{taken}"]
    assert refused == [f"ToolFailed: the conversation has been handed to {taken} already"]


async def test_an_agent_that_does_not_end_is_ended(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def stubborn(task: Task) -> Stream:
        handing = asyncio.create_task(hand(task, "back"))
        try:
            while True:
                await asyncio.sleep(0.01)
                yield TextDelta(message_id="s", text=".")
        finally:
            handing.cancel()
            ended.set()

    async def back(task: Task) -> Stream:
        assert ended.is_set()
        yield say("back here")

    async with open_house(
        tmp_path,
        colleague("front", stubborn, hands_off_to=("back",)),
        colleague("back", back),
    ) as house:
        task = await house.send("front", "help")
        assert texts(task)[-1] == "back here"


async def test_what_an_agent_says_after_it_handed_off_is_not_said(tmp_path: Path) -> None:
    async def talkative(task: Task) -> Stream:
        yield ToolCall(call_id="c1", name="transfer_to_back")
        with suppress(asyncio.CancelledError):
            await hand(task, "back")
        yield say("and another thing")

    async def back(task: Task) -> Stream:
        yield say("back here")

    async with open_house(
        tmp_path,
        colleague("front", talkative, hands_off_to=("back",)),
        colleague("back", back),
    ) as house:
        task = await house.send("front", "help")
        assert list(texts(task)) == ["back here"]


class Desk(Router):
    """A router over the colleagues of a test."""

    def __init__(self, *agents: Colleague) -> None:
        infos = [agent.info for agent in agents]
        super().__init__(
            router_info("desk", None, None), [i.id for i in infos], lambda _: infos, None
        )


async def test_a_routers_task_is_done_by_the_agent_that_it_chose(tmp_path: Path) -> None:
    async with open_house(tmp_path, BACK, Desk(BACK)) as house:
        task = await house.send("desk", "does back know the weather?", context_id="talk")
        assert (state(task), reason(task)) == ("INPUT_REQUIRED", "Which city?")
        task = await house.send("desk", "Paris", task_id=task.id)
        assert state(task) == "COMPLETED"
        assert await house.calls(task.id) == [
            "desk route back working",
            "desk route back working",
            "desk route back completed",
        ]
        task = await house.send("desk", "nothing that anybody knows")
        assert state(task) == "REJECTED"
        assert "There are: back (does back)" in reason(task)
        assert await house.calls(task.id) == []


async def test_a_routed_task_can_be_handed_on(tmp_path: Path) -> None:
    async def back(task: Task) -> Stream:
        yield say("back here")

    ends = colleague("back", back)
    async with open_house(tmp_path, FRONT, ends, Desk(FRONT)) as house:
        task = await house.send("desk", "front, help")
        assert list(texts(task)) == ["One moment.", "back here"]
        assert await house.calls(task.id) == [
            "desk route front working",
            "front handoff back working",
            "front handoff back completed",
            "desk route front completed",
        ]


@pytest.mark.parametrize("routed", [False, True])
async def test_what_was_handed_over_goes_on_in_another_process(
    tmp_path: Path, routed: bool
) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def back(task: Task) -> Stream:
        yield say("At your service", "a")
        begun.set()
        await go.wait()
        yield say(f"Done: {task.message.parts[0].text}", "b")

    ends = colleague("back", back)
    team = (Desk(ends) if routed else FRONT, ends)
    to = "desk" if routed else "front"
    async with open_house(tmp_path, *team) as house:
        sending = asyncio.create_task(house.send(to, "does back help?", context_id="talk"))
        await asyncio.wait_for(begun.wait(), 10)
        await asyncio.sleep(0.1)  # until that is written
        [root] = [row for row in (await house.log.tasks(LOCAL_USER)).tasks if not row.parent_id]
        await house.manager.aclose(hand_over=True)
        sending.cancel()
    go.set()
    async with open_house(tmp_path, *team) as house:
        assert len(await house.manager.start()) == 2
        await asyncio.wait_for(house.manager.runner.wait(root.task_id), 10)
        events = await house.events(root.task_id)
        assert events[-1].state == "TASK_STATE_COMPLETED"
        said = [
            part["text"]
            for event in events
            if event.kind == "artifact"
            for part in event.body["artifact"]["parts"]
        ]
        assert said == [
            *([] if routed else ["One moment."]),
            "At your service",
            "Done: does back help?",
        ]
        assert set((await house.children(root.task_id)).values()) == {"TASK_STATE_COMPLETED"}
