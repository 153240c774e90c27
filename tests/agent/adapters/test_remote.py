"""Agents elsewhere: what is sent, what is healed, what is said when nothing answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from codin.agent import Agent, AgentInfo, Task, wrap
from codin.agent.a2a import RECALLED
from codin.agent.adapters.remote.agent import RemoteAgent, RemoteAgentError
from codin.agent.adapters.remote.bounded import MAX_EVENT_BYTES
from codin.agent.cards import agent_card
from codin.agent.events import AgentEvent, Completed, Failed, TextDelta, TextFinal
from codin.testing.a2a_server import A2AServer, listening
from codin.testing.agent_conformance import task_for
from codin.unix_socket import SharedTransport, unix_transport

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
        transport = SharedTransport(unix_transport(path))
        agent = remote(url, transport=transport, headers=_as_task)
        for name in ("t-1", "t-2"):
            task = task_for("?", task_id=name)
            assert (await (await agent.handle(task))).text == "0 1 2 "
            assert server.headers[-1]["authorization"] == f"Bearer {name}"
        assert (await agent.card()).name == "count"
        await transport.close()


def _as_task(task: Task) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {task.id}"}


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


async def test_what_was_recalled_for_the_user_is_not_sent_elsewhere() -> None:
    seen: list[Task] = []

    async def look(task: Task) -> str:
        seen.append(task)
        return "ok"

    async with A2AServer(wrap(look)).serve() as url:
        task = task_for("hello")
        task.message.metadata.update({RECALLED: {"pieces": [{"text": "a secret"}]}, "mine": "goes"})
        await collect(remote(url), task)
    assert dict(seen[0].message.metadata) == {"mine": "goes"}
    assert RECALLED in task.message.metadata


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


Answer = dict[str, Any] | list[str]


class Foreign:
    """A server that answers each method as it is told, to break the protocol where the SDK would
    not: with a result, an ``error``, or a stream's lines. ``card`` is put over its card."""

    def __init__(
        self,
        stream: Iterable[str] = (),
        task: dict[str, Any] | None = None,
        *,
        answers: Mapping[str, Sequence[Answer]] | None = None,
        card: Mapping[str, Any] | None = None,
    ) -> None:
        self.stream = stream
        self.methods: list[str] = []
        self._answers = {method: list(given) for method, given in (answers or {}).items()}
        self._task = task
        self._card = card or {}
        self.app = Starlette(
            routes=[
                Route("/.well-known/agent-card.json", self.card),
                Route("/", self.rpc, methods=["POST"]),
            ]
        )

    async def card(self, request: Request) -> Response:
        from google.protobuf.json_format import MessageToDict

        url = str(request.base_url)
        return JSONResponse(
            {**MessageToDict(agent_card(AgentInfo("f", "F", "f"), url)), **self._card}
        )

    async def rpc(self, request: Request) -> Response:
        method = (await request.json())["method"]
        self.methods.append(method)
        if given := self._answers.get(method):
            return self._said(given.pop(0) if len(given) > 1 else given[0])
        if method == "SendStreamingMessage" and not self._answers:
            return StreamingResponse(iter(self.stream), media_type="text/event-stream")
        if method == "GetTask" and self._task:
            return self._said(self._task)
        code = -32601 if self._answers else -32004
        return self._said({"error": {"code": code, "message": "no"}})

    def _said(self, answer: Answer) -> Response:
        if isinstance(answer, list):
            return StreamingResponse(iter(answer), media_type="text/event-stream")
        result = answer if "error" in answer else {"result": answer}
        return JSONResponse({"jsonrpc": "2.0", "id": 1, **result})


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
        events = await collect(remote(url, patience=0), task_for("?"))
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


OLD_STARTED = sse('{"kind": "task", "id": "t", "contextId": "c", "status": {"state": "working"}}')


def old_status(text: str = "", state: str = "working") -> str:
    message: dict[str, Any] = {
        "kind": "message",
        "messageId": "m",
        "role": "agent",
        "parts": [{"kind": "text", "text": text}],
    }
    status = {"state": state, **({"message": message} if text else {})}
    update = {"kind": "status-update", "taskId": "t", "contextId": "c", "status": status}
    return sse(json.dumps({**update, "final": state != "working"}))


def old_artifact(text: str, artifact_id: str = "a") -> str:
    artifact = {"artifactId": artifact_id, "parts": [{"kind": "text", "text": text}]}
    update = {"kind": "artifact-update", "taskId": "t", "contextId": "c", "artifact": artifact}
    return sse(json.dumps(update))


async def test_a_server_that_knows_less_than_its_card_is_asked_by_old() -> None:
    said = [OLD_STARTED, old_status("It is 3."), old_status(state="completed")]
    foreign = Foreign(answers={"message/stream": [said]})
    async with listening(foreign.app) as url:
        agent = remote(url)
        for _ in range(2):
            assert (await (await agent.handle(task_for("?")))).text == "It is 3."
    # REST is not there at all; what was found is used from then on
    assert foreign.methods == ["SendStreamingMessage", "message/stream", "message/stream"]


async def test_a_server_without_streams_is_asked_without() -> None:
    foreign = Foreign(answers={"SendMessage": [{"task": DONE}]})
    async with listening(foreign.app) as url:
        outcome = await (await remote(url).handle(task_for("?")))
    assert outcome.text == "It is 3."
    assert foreign.methods == ["SendStreamingMessage", "message/stream", "SendMessage"]


async def test_a_server_that_knows_no_way_is_told_of() -> None:
    async with listening(Foreign(answers={"Nothing": [{}]}).app) as url:
        (failed,) = await collect(remote(url), task_for("?"))
    assert isinstance(failed, Failed)
    assert "it takes no message in any way that is known here" in failed.message
    assert f"JSONRPC 0.3 at {url}" in failed.message


@pytest.mark.parametrize("status", [401, 403])
async def test_a_server_that_lets_nobody_in_says_what_to_give_it(status: int) -> None:
    async def refuse(_: Request) -> Response:
        return JSONResponse({"detail": "who are you?"}, status)

    foreign = Foreign()
    foreign.app.routes.insert(0, Route("/", refuse, methods=["POST"]))
    async with listening(foreign.app) as url:
        (failed,) = await collect(remote(url), task_for("?"))
    assert isinstance(failed, Failed)
    assert "look at bearer_env or audience" in failed.message
    assert url in failed.message
    assert str(status) in failed.message
    assert foreign.methods == []


async def test_a_refusal_is_not_tried_in_another_way() -> None:
    refusal = {"error": {"code": -32602, "message": "parts are missing"}}
    foreign = Foreign(answers={"SendStreamingMessage": [refusal]})
    async with listening(foreign.app) as url:
        (failed,) = await collect(remote(url), task_for("?"))
    assert isinstance(failed, Failed)
    assert "parts are missing" in failed.message
    assert url in failed.message
    assert foreign.methods == ["SendStreamingMessage"]


async def test_what_cannot_be_read_in_new_is_asked_by_old_the_next_time() -> None:
    """As langgraph-api 0.16.7 streams when it is asked for 1.0, behind a card that is not its."""
    garbled = [
        STARTED,
        old_status("It is"),
        old_artifact("It is 3."),
        old_status(state="completed"),
    ]
    clear = [
        OLD_STARTED,
        old_status("It is"),
        old_status("It is 3."),
        old_status(state="completed"),
    ]
    foreign = Foreign(
        answers={
            "SendStreamingMessage": [garbled],
            "GetTask": [DONE],
            "message/stream": [clear],
        }
    )
    async with listening(foreign.app) as url:
        agent = remote(url)
        for _ in range(2):
            outcome = await (await agent.handle(task_for("?")))
            assert outcome.ok
            assert outcome.text == "It is 3."
    assert foreign.methods == ["SendStreamingMessage", "GetTask", "message/stream"]


async def test_a_task_that_cannot_be_followed_is_looked_at_until_it_ends() -> None:
    working = {**DONE, "status": {"state": "TASK_STATE_WORKING"}, "artifacts": []}
    foreign = Foreign(
        answers={"SendMessage": [{"task": working}], "GetTask": [working, working, DONE]},
        card={"capabilities": {"streaming": False}},
    )
    async with listening(foreign.app) as url:
        events = await collect(remote(url), task_for("?"))
    assert events == [TextFinal(message_id="a", text="It is 3."), Completed()]
    assert foreign.methods == ["SendMessage", *["GetTask"] * 3]


async def test_a_stream_that_breaks_is_followed_again() -> None:
    rest = sse(
        '{"artifactUpdate": {"taskId": "t", "contextId": "c", "append": true, '
        '"artifact": {"artifactId": "a", "parts": [{"text": "3."}]}}}'
    )
    end = sse(
        '{"statusUpdate": {"taskId": "t", "contextId": "c", '
        '"status": {"state": "TASK_STATE_COMPLETED"}}}'
    )
    working = {**DONE, "status": {"state": "TASK_STATE_WORKING"}}
    foreign = Foreign(
        answers={
            "SendStreamingMessage": [[STARTED, PIECE]],
            "SubscribeToTask": [[STARTED, rest, end]],  # "is " came between the two
            "GetTask": [working, DONE],
        }
    )
    async with listening(foreign.app) as url:
        events = await collect(remote(url), task_for("?"))
    assert events[-2:] == [TextFinal(message_id="a", text="It is 3."), Completed()]
    assert foreign.methods == ["SendStreamingMessage", "GetTask", "SubscribeToTask", "GetTask"]


async def test_a_stream_that_ends_in_order_is_believed_where_nothing_more_can_be_asked() -> None:
    foreign = Foreign(answers={"SendStreamingMessage": [[STARTED, PIECE]]})
    async with listening(foreign.app) as url:
        events = await collect(remote(url), task_for("?"))
    assert events[-2:] == [TextFinal(message_id="a", text="It "), Completed()]


async def test_a_task_that_is_forgotten_is_a_clear_failure() -> None:
    gone = {"error": {"code": -32001, "message": "Task not found"}}
    foreign = Foreign(answers={"SendStreamingMessage": [[STARTED, PIECE]], "GetTask": [gone]})
    async with listening(foreign.app) as url:
        events = await collect(remote(url), task_for("?"))
    assert isinstance(events[-1], Failed)
    assert "does not know the task any more; send the message again" in events[-1].message
    assert url in events[-1].message


async def test_an_answer_that_is_in_the_history_only_is_found() -> None:
    history = [
        {"messageId": "1", "role": "ROLE_USER", "parts": [{"text": "?"}]},
        {"messageId": "2", "role": "ROLE_AGENT", "parts": [{"text": "It is 3."}]},
    ]
    task = {"id": "t", "status": {"state": "TASK_STATE_COMPLETED"}, "history": history}
    foreign = Foreign(
        answers={"SendMessage": [{"task": task}]}, card={"capabilities": {"streaming": False}}
    )
    async with listening(foreign.app) as url:
        events = await collect(remote(url), task_for("?"))
    assert events == [TextFinal(message_id="2", text="It is 3."), Completed()]


@pytest.mark.parametrize("address", ["http://agent.invalid:8000/", "http://0.0.0.0:8000/"])
async def test_a_card_that_names_another_place_is_followed_to_where_it_was_found(
    address: str,
) -> None:
    interface = {"url": address, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    foreign = Foreign([STARTED], DONE, card={"supportedInterfaces": [interface]})
    async with listening(foreign.app) as url:
        outcome = await (await remote(url).handle(task_for("?")))
    assert outcome.text == "It is 3."


async def test_a_card_whose_places_lead_nowhere_says_what_to_do() -> None:
    async with listening(Foreign([STARTED]).app) as url:
        agent = remote(url)
        card = await agent.card()
    (failed,) = await collect(agent, task_for("?"))
    assert isinstance(failed, Failed)
    assert "the addresses of its card cannot be reached from here" in failed.message
    assert "has to name the address that it has outside" in failed.message
    assert card.supported_interfaces[0].url in failed.message


async def test_cancelling_ends_where_the_other_side_cannot_cancel(
    caplog: pytest.LogCaptureFixture,
) -> None:
    goes_on = asyncio.Event()

    async def stream() -> AsyncIterator[str]:
        yield STARTED
        yield PIECE
        await goes_on.wait()

    foreign = Foreign()
    foreign.app.routes.insert(0, Route("/", respond_with(stream, foreign), methods=["POST"]))
    async with listening(foreign.app) as url, asyncio.timeout(10):
        events = aiter(await remote(url).handle(task_for("?")))
        assert isinstance(await anext(events), TextDelta)
        await events.aclose()  # type: ignore[attr-defined]
        goes_on.set()
    assert "remote task t could not be cancelled" in caplog.text


def respond_with(stream: Any, foreign: Foreign) -> Any:
    async def respond(request: Request) -> Response:
        if (await request.json())["method"] == "SendStreamingMessage":
            return StreamingResponse(stream(), media_type="text/event-stream")
        return await foreign.rpc(request)

    return respond


async def test_separators_of_lines_in_a_text_are_text() -> None:
    said = "one\u2028two\u2029three\u0085four"
    raw = json.dumps({**DONE, "artifacts": [{"artifactId": "a", "parts": [{"text": said}]}]})
    whole = sse(f'{{"task": {json.dumps(json.loads(raw), ensure_ascii=False)}}}')
    assert "\u2028" in whole
    foreign = Foreign([*whole])  # a character at a time
    async with listening(foreign.app) as url:
        outcome = await (await wrap(url).handle(task_for("?")))
    assert outcome.text == said
