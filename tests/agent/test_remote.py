"""Agents elsewhere: what is sent, what is healed, what is said when nothing answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from codin.agent import Agent, AgentInfo, Task, wrap
from codin.agent.adapters._bounded import MAX_EVENT_BYTES
from codin.agent.adapters.remote import RemoteAgent, RemoteAgentError
from codin.agent.cards import agent_card
from codin.agent.events import AgentEvent, Completed, Failed, TextDelta, TextFinal
from codin.testing.a2a_server import A2AServer, listening
from codin.testing.agent_conformance import task_for

pytestmark = pytest.mark.slow


async def collect(agent: Agent, task: Task) -> list[AgentEvent]:
    return [event async for event in await agent.handle(task)]


async def count(task: Task) -> AsyncIterator[str]:
    """Counts."""
    for number in range(3):
        yield f"{number} "


def remote(url: str, **options: Any) -> RemoteAgent:
    return RemoteAgent(url, AgentInfo("r", "R", ""), **options)


async def test_over_a_unix_socket_with_headers_of_the_run(tmp_path: Path) -> None:
    path = str(tmp_path / "a.sock")
    server = A2AServer(wrap(count))
    async with server.serve(uds=path) as url:
        agent = remote(url, uds=path, headers=lambda task: {"Authorization": f"Bearer {task.id}"})
        task = task_for("?", task_id="t-1")
        assert (await (await agent.handle(task))).text == "0 1 2 "
        assert server.headers[-1]["authorization"] == "Bearer t-1"
        assert (await agent.card()).name == "count"


async def test_the_task_over_there_is_its_own_in_the_same_context() -> None:
    seen: list[Task] = []

    async def look(task: Task) -> str:
        seen.append(task)
        return "ok"

    async with A2AServer(wrap(look)).serve() as url:
        task = task_for("hello", task_id="mine")
        await collect(remote(url), task)
    assert seen[0].id != "mine"
    assert seen[0].context_id == task.context_id
    assert seen[0].text == "hello"


async def test_cancelling_cancels_the_task_over_there() -> None:
    stopped = asyncio.Event()

    async def endless(task: Task) -> AsyncIterator[str]:
        yield "begun"
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    server = A2AServer(wrap(endless))
    async with server.serve() as url:
        events = aiter(await remote(url).handle(task_for("?")))
        assert isinstance(await anext(events), TextDelta)
        await events.aclose()  # type: ignore[attr-defined]
        async with asyncio.timeout(10):
            await stopped.wait()
        assert len(server.canceled) == 1


async def test_cancelling_before_the_first_event_still_finds_the_task() -> None:
    begun = asyncio.Event()

    async def slow(task: Task) -> str:
        begun.set()
        await asyncio.sleep(60)
        return ""

    server = A2AServer(wrap(slow))
    async with server.serve() as url:
        running = asyncio.create_task(collect(remote(url), task_for("?")))
        async with asyncio.timeout(10):
            await begun.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert len(server.canceled) == 1


async def test_nobody_there() -> None:
    (failed,) = await collect(wrap("http://127.0.0.1:9/agents/x"), task_for("?"))
    assert isinstance(failed, Failed)
    assert failed.error_type == "RemoteAgentError"
    assert "no agent card at http://127.0.0.1:9/agents/x/" in failed.message
    with pytest.raises(RemoteAgentError):
        await remote("http://127.0.0.1:9/").card()


class Foreign:
    """A server that says scripted responses, to break the protocol where the SDK would not."""

    def __init__(self, stream: Iterable[str], task: dict[str, Any] | None = None) -> None:
        self.stream = stream
        self.task = task
        self.methods: list[str] = []
        self.app = Starlette(
            routes=[
                Route("/.well-known/agent-card.json", self.card),
                Route("/", self.rpc, methods=["POST"]),
            ]
        )

    async def card(self, request: Request) -> Response:
        from google.protobuf.json_format import MessageToDict

        return JSONResponse(
            MessageToDict(agent_card(AgentInfo("f", "F", "f"), str(request.base_url)))
        )

    async def rpc(self, request: Request) -> Response:
        method = (await request.json())["method"]
        self.methods.append(method)
        if method == "SendStreamingMessage":
            return StreamingResponse(iter(self.stream), media_type="text/event-stream")
        if method == "GetTask" and self.task:
            return JSONResponse({"jsonrpc": "2.0", "id": 1, "result": self.task})
        unsupported = {"code": -32004, "message": "no"}
        return JSONResponse({"jsonrpc": "2.0", "id": 1, "error": unsupported})


def sse(result: str) -> str:
    return f'data: {{"jsonrpc": "2.0", "id": 1, "result": {result}}}\n\n'


STARTED = sse('{"task": {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}}')
PIECE = sse(
    '{"artifactUpdate": {"taskId": "t", "contextId": "c", '
    '"artifact": {"artifactId": "a", "parts": [{"text": "It "}]}}}'
)
DONE = {
    "id": "t",
    "contextId": "c",
    "status": {"state": "TASK_STATE_COMPLETED"},
    "artifacts": [{"artifactId": "a", "parts": [{"text": "It is 3."}]}],
}


async def test_a_stream_without_an_end_is_filled_in_from_the_task() -> None:
    foreign = Foreign([STARTED, PIECE], DONE)
    async with listening(foreign.app) as url:
        events = await collect(wrap(url), task_for("?"))
    assert events == [
        TextDelta(message_id="a", text="It "),
        TextFinal(message_id="a", text="It is 3."),
        Completed(),
    ]


async def test_empty_responses_are_filled_in_from_the_task() -> None:
    foreign = Foreign([STARTED, sse("{}"), sse('{"kind": "status-update"}')], DONE)
    async with listening(foreign.app) as url:
        outcome = await (await wrap(url).handle(task_for("?")))
    assert outcome.ok
    assert outcome.text == "It is 3."


async def test_a_task_that_never_ends_is_a_clear_failure() -> None:
    working = {**DONE, "status": {"state": "TASK_STATE_WORKING"}}
    foreign = Foreign([STARTED, PIECE], working)
    async with listening(foreign.app) as url:
        events = await collect(wrap(url), task_for("?"))
    assert isinstance(events[-1], Failed)
    assert "ended before the agent's task did" in events[-1].message
    assert foreign.methods == ["SendStreamingMessage", "GetTask", "SubscribeToTask", "GetTask"]


@pytest.mark.parametrize("stream", [[], [sse("{}")], ["data: nonsense\n\n"]])
async def test_streams_of_nothing_are_a_clear_failure(stream: list[str]) -> None:
    async with listening(Foreign(stream).app) as url:
        events = await collect(wrap(url), task_for("?"))
    assert [type(e) for e in events] == [Failed]


@pytest.mark.parametrize("piece", ["x" * 65_536, "data: " + "x" * 65_529 + "\n"])
async def test_an_event_without_an_end_is_not_held(piece: str) -> None:
    sent = 0

    def endless() -> Iterator[str]:
        nonlocal sent
        while True:
            sent += len(piece)
            yield piece

    foreign = Foreign([])
    foreign.stream = endless()
    async with listening(foreign.app) as url:
        (failed,) = await collect(wrap(url), task_for("?"))
    assert isinstance(failed, Failed)
    assert f"more than {MAX_EVENT_BYTES:,} bytes" in failed.message
    assert sent < 2 * MAX_EVENT_BYTES


async def test_many_events_are_no_long_one() -> None:
    update = sse(
        '{"artifactUpdate": {"taskId": "t", "contextId": "c", "append": true, '
        '"artifact": {"artifactId": "a", "parts": [{"text": "' + "x" * 1_000_000 + '"}]}}}'
    )
    many = 1 + MAX_EVENT_BYTES // 1_000_000
    async with listening(Foreign([STARTED, *[update] * many], DONE).app) as url:
        outcome = await (await wrap(url).handle(task_for("?")))
    assert outcome.ok


async def test_an_error_of_the_other_side_is_told_once() -> None:
    async with listening(Foreign([]).app) as url:
        agent = wrap(url)
        assert isinstance(agent, RemoteAgent)
        (await agent.card()).capabilities.streaming = False
        (failed,) = await collect(agent, task_for("?"))
    assert isinstance(failed, Failed)
    assert url in failed.message
