"""An agent as a tool of another: its task, its answer, what can go wrong, and how far it may go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from calling_house import colleague, open_house, reason, state, texts

from codin.agent.base import Task
from codin.agent.events import (
    AgentEvent,
    ArtifactProduced,
    Failed,
    Rejected,
    TextFinal,
)
from codin.security import LOCAL_USER, Principal
from codin.task.chain import CallLimits
from codin.task.updates import update_of
from codin.tool.base import ToolError

Stream = AsyncGenerator[AgentEvent, None]


def say(text: str) -> TextFinal:
    return TextFinal(message_id="m", text=text)


async def use(task: Task, name: str, **arguments: Any) -> str:
    """What the tool gave as JSON, or how it failed."""
    [tool] = [tool for tool in task.tools if tool.name == name] or [None]
    if tool is None:
        return f"no {name}"
    try:
        return json.dumps(await tool.invoke(**arguments), sort_keys=True)
    except ToolError as error:
        return f"{type(error).__name__}: {error}"


async def boss(task: Task) -> Stream:
    yield say(await use(task, "ask_writer", request=task.text))


BOSS = colleague("boss", boss, asked=("agent:writer",))


async def test_the_answer_of_an_agent_is_the_tools_result(tmp_path: Path) -> None:
    async def writer(task: Task) -> Stream:
        yield say(f"{task.text}! {len(task.history)} {len(task.message.parts)}")

    async with open_house(tmp_path, BOSS, colleague("writer", writer)) as house:
        task = await house.send("boss", "hello", context_id="c")
        assert texts(task) == ['"hello! 0 1"']
        assert await house.calls(task.id) == [
            "boss tool writer working",
            "boss tool writer completed",
        ]
        [step] = await house.log.steps(LOCAL_USER, task.id)
        child = await house.log.task(LOCAL_USER, step.child_id or "")
        assert (child.agent_id, child.parent_id, child.goal_id) == ("writer", task.id, task.id)
        assert (step.instruction, step.state) == ("hello", "completed")
        again = await house.send("boss", "again", context_id="c")
        assert texts(again) == ['"again! 0 1"'], "each call is a conversation of its own"


async def test_data_and_files_come_with_the_answer(tmp_path: Path) -> None:
    async def writer(task: Task) -> Stream:
        yield ArtifactProduced(artifact_id="d", data={"city": "Paris"})
        yield ArtifactProduced(artifact_id="f", name="n.txt", media_type="text/plain", raw=b"hi")
        yield ArtifactProduced(artifact_id="g", name="n.bin", media_type="a/b", raw=b"\xff\xfe")
        yield say("made")

    async with open_house(tmp_path, BOSS, colleague("writer", writer)) as house:
        [answer] = texts(await house.send("boss", "make"))
        assert json.loads(answer) == {
            "text": "made",
            "data": {"city": "Paris"},
            "files": [
                {"name": "n.txt", "media_type": "text/plain", "bytes": 2, "text": "hi"},
                {"name": "n.bin", "media_type": "a/b", "bytes": 2},
            ],
        }


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (Failed(error_type="X", message="no ink"), "ToolFailed: writer failed: no ink"),
        (Rejected(message="not mine"), "ToolFailed: writer does not take this: not mine"),
    ],
)
async def test_a_failure_is_a_tool_error_that_says_why(
    tmp_path: Path, event: AgentEvent, message: str
) -> None:
    async def writer(task: Task) -> Stream:
        yield event

    async with open_house(tmp_path, BOSS, colleague("writer", writer)) as house:
        task = await house.send("boss", "hello")
        assert texts(task) == [message]
        assert (await house.calls(task.id))[-1] == "boss tool writer failed"


async def test_cancelling_the_caller_cancels_whom_it_called(tmp_path: Path) -> None:
    working, stopped = asyncio.Event(), asyncio.Event()

    async def writer(task: Task) -> Stream:
        working.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        yield say("never")

    async with open_house(tmp_path, BOSS, colleague("writer", writer)) as house:
        sending = asyncio.create_task(house.send("boss", "hello"))
        await working.wait()
        [row] = (await house.log.tasks(LOCAL_USER)).tasks[-1:]
        root = row.goal_id
        await house.cancel("boss", root)
        assert state(await sending) == "CANCELED"
        assert stopped.is_set()
        assert await house.children(root) == {"writer": "TASK_STATE_CANCELED"}
        events = await house.events(root)
        assert events[-1].state == "TASK_STATE_CANCELED"
        told = [e.body for e in events if e.kind == "child" and e.body["kind"] == "status"]
        assert told[-1]["body"]["status"]["state"] == "TASK_STATE_CANCELED"


async def test_a_call_that_is_given_up_ends_what_it_began_whatever_its_user_may(
    tmp_path: Path,
) -> None:
    working = asyncio.Event()

    async def writer(task: Task) -> Stream:
        working.set()
        await asyncio.Event().wait()
        yield say("never")

    async def fickle(task: Task) -> Stream:
        calling = asyncio.create_task(use(task, "ask_writer", request="go"))
        await working.wait()
        calling.cancel()
        [given_up] = await asyncio.gather(calling, return_exceptions=True)
        yield say(f"{type(given_up).__name__} {await house.children(task.id)}")

    narrow = Principal(
        LOCAL_USER.tenant,
        LOCAL_USER.subject,
        roles=frozenset({"user"}),
        scopes=frozenset({"agent.use:*", "tool.call:*", "task.create*", "task.read*"}),
    )
    one = colleague("fickle", fickle, asked=("agent:writer",))
    async with open_house(tmp_path, one, colleague("writer", writer)) as house:
        task = await house.send("fickle", "hello", by=narrow)
        assert list(texts(task)) == ["CancelledError {'writer': 'TASK_STATE_CANCELED'}"]


async def test_what_a_caller_does_not_wait_for_ends_with_it(tmp_path: Path) -> None:
    working = asyncio.Event()
    forgotten = []

    async def writer(task: Task) -> Stream:
        working.set()
        await asyncio.Event().wait()
        yield say("never")

    async def hasty(task: Task) -> Stream:
        forgotten.append(asyncio.create_task(use(task, "ask_writer", request="go")))
        await working.wait()
        yield say("done")

    hasty_one = colleague("hasty", hasty, asked=("agent:writer",))
    async with open_house(tmp_path, hasty_one, colleague("writer", writer)) as house:
        task = await house.send("hasty", "hello")
        assert state(task) == "COMPLETED"
        assert await house.children(task.id) == {"writer": "TASK_STATE_CANCELED"}
        assert (await forgotten[0]).startswith("RunEnded")


async def test_who_may_not_use_an_agent_has_no_tool_of_it(tmp_path: Path) -> None:
    async def writer(task: Task) -> Stream:
        yield say("hello")

    narrow = Principal(
        "acme",
        "ann",
        roles=frozenset({"user"}),
        scopes=frozenset({"agent.use:boss", "task.*", "tool.call:*"}),
    )
    async with open_house(tmp_path, BOSS, colleague("writer", writer)) as house:
        assert texts(await house.send("boss", "hello", by=narrow)) == ["no ask_writer"]
        names = [tool.spec.name for tool in house.tools.list(narrow)]
        assert "ask_writer" not in names
        whole = Principal("acme", "bob", roles=frozenset({"user"}))
        assert texts(await house.send("boss", "hello", by=whole)) == ['"hello"']


async def test_calls_at_once_hold_no_place_that_those_they_call_need(tmp_path: Path) -> None:
    async def writer(task: Task) -> Stream:
        yield say(await use(task, "stamp"))

    async def many(task: Task) -> Stream:
        asked = [use(task, "ask_writer", request=f"piece {n}") for n in range(8)]
        yield say(" ".join(await asyncio.gather(*asked)))

    async with open_house(
        tmp_path,
        colleague("many", many, asked=("agent:writer",)),
        colleague("writer", writer, asked=("stamp",)),
        calls_per_goal=1,
    ) as house:
        async with asyncio.timeout(15):
            [said] = texts(await house.send("many", "all"))
        assert said.count("stamped") == 8


async def deeper(task: Task) -> Stream:
    """Calls itself with one more."""
    yield say(await use(task, "ask_deeper", request=f"{task.text}+"))


DEEPER = colleague("deeper", deeper, asked=("agent:deeper",))


async def test_calls_go_so_deep_and_no_deeper(tmp_path: Path) -> None:
    async with open_house(tmp_path, DEEPER, limits=CallLimits(depth=3)) as house:
        task = await house.send("orchestrator", "go")
        calls = await house.calls(task.id)
        assert calls.count("deeper tool deeper completed") == 3
        assert len((await house.log.tasks(LOCAL_USER)).tasks) == 5  # with the orchestrator's
        [said] = texts(task)
        assert "deeper -> deeper -> deeper -> deeper -> deeper is deeper" in said
        assert "agents may call each other 3 deep" in said


async def test_the_same_asked_of_the_same_agent_above_is_a_circle(tmp_path: Path) -> None:
    async def writer(task: Task) -> Stream:
        yield say(await use(task, "ask_boss", request=f" {task.text}\n"))

    async with open_house(
        tmp_path, BOSS, colleague("writer", writer, asked=("agent:boss",))
    ) as house:
        task = await house.send("boss", "hello  there")
        [said] = texts(task)
        assert "boss -> writer -> boss goes in a circle" in said
        assert await house.calls(task.id) == [
            "boss tool writer working",
            "boss tool writer completed",
        ]


async def test_agents_begin_so_many_tasks_for_one_and_no_more(tmp_path: Path) -> None:
    async def writer(task: Task) -> Stream:
        yield say("yes")

    async def many(task: Task) -> Stream:
        asked = [use(task, "ask_writer", request=f"piece {n}") for n in range(5)]
        yield say("\n".join(await asyncio.gather(*asked)))

    async with open_house(
        tmp_path,
        colleague("many", many, asked=("agent:writer",)),
        colleague("writer", writer),
        limits=CallLimits(tasks=3),
    ) as house:
        for _ in range(2):  # each task of the user has its own count
            [said] = texts(await house.send("many", "all"))
            assert said.count('"yes"') == 3
            assert said.count("agents have begun 3 tasks for this one already") == 2


async def test_a_run_knows_nothing_of_its_callers_context(tmp_path: Path) -> None:
    heard: ContextVar[str] = ContextVar("heard", default="nothing")

    async def writer(task: Task) -> Stream:
        yield say(heard.get())

    async def told(task: Task) -> Stream:
        heard.set("the caller's own")
        yield say(await use(task, "ask_writer", request="what"))

    async with open_house(
        tmp_path, colleague("told", told, asked=("agent:writer",)), colleague("writer", writer)
    ) as house:
        assert texts(await house.send("told", "go")) == ['"nothing"']


async def test_the_log_of_a_goal_has_calls_at_any_depth_and_clients_see_no_records(
    tmp_path: Path,
) -> None:
    async def clerk(task: Task) -> Stream:
        yield say(await use(task, "stamp"))

    async def writer(task: Task) -> Stream:
        yield say(await use(task, "ask_clerk", request="stamp it"))

    async with open_house(
        tmp_path,
        BOSS,
        colleague("writer", writer, asked=("agent:clerk",)),
        colleague("clerk", clerk, asked=("stamp",)),
    ) as house:
        task = await house.send("orchestrator", "go")
        assert (state(task), reason(task)) == ("COMPLETED", "")
        assert await house.calls(task.id) == [
            "boss tool writer working",
            "writer tool clerk working",
            "writer tool clerk completed",
            "boss tool writer completed",
        ]
        shown = [update_of(event, "c") for event in await house.events(task.id)]
        assert "stamped" in str([update.body for update in shown if update])
        told = json.dumps([update.body for update in shown if update])
        assert '"started"' not in told
