"""A stream that broke is taken up where it broke: from any gateway, and after the task's end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from a2a_calls import (
    ASKER,
    BINDINGS,
    COUNTER,
    Event,
    code_of,
    events,
    message,
    sending,
    subscribed,
)

from codin.agent.base import Task
from codin.agent.cards import RESUME_EXTENSION
from codin.agent.events import AgentEvent, ToolCall
from codin.gateway.a2a import streaming
from codin.task.notify import LocalNotifier
from codin.testing.serving import ScriptedAgent, serve_agents
from codin.testing.team import FixedPlanner

pytestmark = pytest.mark.slow

RESUME = {"A2A-Extensions": RESUME_EXTENSION}


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """Clients of two gateways over one log."""
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(2):
            served = await stack.enter_async_context(
                serve_agents(tmp_path, [COUNTER, ASKER], FixedPlanner())
            )
            client = httpx.AsyncClient(base_url=served.url, trust_env=False, timeout=20)
            clients.append(await stack.enter_async_context(client))
        yield clients[0], clients[1]


async def some(response: httpx.Response, number: int) -> list[Event]:
    found: list[Event] = []
    async for event in events(response):
        found.append(event)
        if len(found) == number:
            break
    return found


async def everything(response: httpx.Response) -> list[Event]:
    assert response.status_code == 200
    return [event async for event in events(response)]


@pytest.mark.parametrize("binding", BINDINGS)
async def test_what_was_missed_comes_from_the_other_gateway(
    two: tuple[httpx.AsyncClient, httpx.AsyncClient], binding: str
) -> None:
    first, second = two
    async with sending(first, "counter", message("25"), binding) as stream:
        seen = await some(stream, 6)
    task_id = seen[0].body["task"]["id"]
    async with subscribed(second, "counter", task_id, binding, seen[-1].seq) as stream:
        assert stream.headers["a2a-extensions"] == RESUME_EXTENSION
        rest = await everything(stream)
    both = [*seen, *rest]
    assert [event.seq for event in both] == sorted({event.seq for event in both})
    assert both[-1].state == "TASK_STATE_COMPLETED"
    # and all of it again, after the end, from where it ran
    async with subscribed(first, "counter", task_id, binding, seen[0].seq) as stream:
        assert [seen[0], *await everything(stream)] == both
    async with subscribed(second, "counter", task_id, binding, both[-1].seq) as stream:
        assert await everything(stream) == []


async def test_it_survives_a_restart(tmp_path: Path) -> None:
    seen: list[Event] = []
    for after in (None, 1):
        async with (
            serve_agents(tmp_path, [COUNTER], FixedPlanner()) as served,
            httpx.AsyncClient(base_url=served.url, trust_env=False, timeout=20) as http,
        ):
            if after is None:
                async with sending(http, "counter", message("3"), "rest") as stream:
                    seen = await everything(stream)
                continue
            task_id = seen[0].body["task"]["id"]
            async with subscribed(http, "counter", task_id, "rest", after) as stream:
                assert await everything(stream) == seen[1:]


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_message_sent_again_makes_no_second_task(
    two: tuple[httpx.AsyncClient, httpx.AsyncClient], binding: str
) -> None:
    first, second = two
    said = message("8")
    async with sending(first, "counter", said, binding) as stream:
        seen = await some(stream, 4)
    # as a client does that lost the stream: the same again, after what it saw
    again = {**RESUME, "Last-Event-ID": str(seen[-1].seq)}
    async with sending(second, "counter", said, binding, **again) as stream:
        rest = await everything(stream)
    assert [event.seq for event in rest] == list(range(seen[-1].seq + 1, rest[-1].seq + 1))
    assert rest[-1].state == "TASK_STATE_COMPLETED"
    async with sending(second, "counter", said, binding) as stream:
        whole = await everything(stream)
    assert whole[0].body["task"]["id"] == seen[0].body["task"]["id"]
    assert [event.seq for event in whole] == [event.seq for event in [*seen, *rest]]
    answer = await first.get("/agents/counter/tasks", headers={"A2A-Version": "1.0"})
    assert answer.json()["totalSize"] == 1


async def test_an_answer_sent_again_is_the_same_answer(
    two: tuple[httpx.AsyncClient, httpx.AsyncClient],
) -> None:
    http, other = two
    async with sending(http, "asker", message("order"), "rest") as stream:
        asked = await everything(stream)
    assert asked[-1].state == "TASK_STATE_INPUT_REQUIRED"
    task_id = asked[0].body["task"]["id"]
    said = message("three", taskId=task_id)
    async with sending(http, "asker", said, "rest") as stream:
        answered = await everything(stream)
    assert answered[-1].state == "TASK_STATE_COMPLETED"
    async with sending(other, "asker", said, "rest") as stream:
        again = await everything(stream)
    assert [event.seq for event in again] == [event.seq for event in answered]
    # a question that was answered meanwhile ends nothing, one that is open does
    async with subscribed(http, "asker", task_id, "rest", 1) as stream:
        assert (await everything(stream))[-1].state == "TASK_STATE_COMPLETED"


async def test_a_message_sent_again_after_its_question_was_answered(
    two: tuple[httpx.AsyncClient, httpx.AsyncClient],
) -> None:
    http, _ = two
    said = message("order")
    async with sending(http, "asker", said, "rest") as stream:
        asked = await everything(stream)
    task_id = asked[0].body["task"]["id"]
    async with sending(http, "asker", message("three", taskId=task_id), "rest") as stream:
        answered = await everything(stream)
    async with sending(http, "asker", said, "rpc") as stream:
        again = await everything(stream)  # the old question does not end it
    assert again[-1].seq == answered[-1].seq
    v1 = {"A2A-Version": "1.0"}
    sent = await http.post("/agents/asker/message:send", json={"message": said}, headers=v1)
    assert sent.json()["task"]["id"] == task_id
    assert sent.json()["task"]["status"]["state"] == "TASK_STATE_COMPLETED"


@pytest.mark.parametrize("binding", BINDINGS)
async def test_without_the_extension_it_is_as_the_specification_says(
    two: tuple[httpx.AsyncClient, httpx.AsyncClient], binding: str
) -> None:
    http, _ = two
    async with sending(http, "counter", message("5"), binding) as stream:
        [first] = await some(stream, 1)
    task_id = first.body["task"]["id"]
    async with subscribed(http, "counter", task_id, binding) as stream:
        again = await everything(stream)
    assert again[0].body["task"]["id"] == task_id  # the task as it stands comes first
    async with subscribed(http, "counter", task_id, binding) as stream:
        assert await code_of(stream) in {-32004, "UNSUPPORTED_OPERATION"}
    headers = {"A2A-Version": "1.0", "Last-Event-ID": "1"}
    path = f"/agents/counter/tasks/{task_id}:subscribe"
    answer = await http.post(path, headers=headers)
    assert answer.status_code == 400


@pytest.mark.parametrize("after", ["x", "-1", "1e3", "", "9" * 40, "99999"])
@pytest.mark.parametrize("binding", BINDINGS)
async def test_an_id_that_no_stream_gave_is_refused(
    two: tuple[httpx.AsyncClient, httpx.AsyncClient], binding: str, after: str
) -> None:
    http, _ = two
    async with sending(http, "counter", message("1"), binding) as stream:
        seen = await everything(stream)
    task_id = seen[0].body["task"]["id"]
    async with subscribed(http, "counter", task_id, binding, after) as stream:
        assert await code_of(stream) in {-32602, "INVALID_PARAMS"}


async def hang(task: Task) -> AsyncGenerator[AgentEvent, None]:
    yield ToolCall(call_id="1", name="t", arguments={})
    await asyncio.sleep(60)


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_stream_of_a_silent_task_begins_and_is_let_go(
    tmp_path: Path, binding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "_BEGIN_SECONDS", 0.2)
    async with AsyncExitStack() as stack:
        agents = [ScriptedAgent("hanger", hang)]
        served = await stack.enter_async_context(
            serve_agents(tmp_path, agents, FixedPlanner(), heartbeat_seconds=0.5)
        )
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=served.url, trust_env=False, timeout=5)
        )
        async with sending(http, "hanger", message("go"), binding) as stream:
            seen = await some(stream, 3)
        task_id = seen[0].body["task"]["id"]
        notifier = served.log.notifier
        assert isinstance(notifier, LocalNotifier)
        async with subscribed(http, "hanger", task_id, binding, seen[-1].seq) as stream:
            assert stream.status_code == 200
            assert await anext(stream.aiter_lines()) == ": ping"
            assert notifier.waiting(task_id) == 1
        # nobody follows it any more, though it has not said a word
        async with asyncio.timeout(5):
            while notifier.waiting(task_id):
                await asyncio.sleep(0.02)
