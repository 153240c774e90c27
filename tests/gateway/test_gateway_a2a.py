"""Any A2A 1.0 client can give a goal, watch it, ask for it and cancel it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from a2a.client import ClientConfig, ClientFactory
from a2a.client.client import Client
from a2a.client.errors import A2AClientError
from a2a.types import (
    CancelTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    SendMessageRequest,
    StreamResponse,
    SubscribeToTaskRequest,
    TaskState,
)
from a2a.utils.errors import TaskNotFoundError, UnsupportedOperationError

from codin.agent.a2a import user_message
from codin.testing.serving import Served
from codin.testing.team import ANSWER

pytestmark = pytest.mark.slow

BINDINGS = ["JSONRPC", "HTTP+JSON"]


async def connect(
    http: httpx.AsyncClient, url: str, binding: str, *, stream: bool = True
) -> Client:
    config = ClientConfig(
        httpx_client=http,
        streaming=stream,
        supported_protocol_bindings=[binding],
        use_client_preference=True,
    )
    return await ClientFactory(config).create_from_url(url)


def goal(text: str = "Which region leads?") -> SendMessageRequest:
    return SendMessageRequest(message=user_message(text))


def state_of(event: StreamResponse) -> int:
    if event.HasField("status_update"):
        return event.status_update.status.state
    return event.task.status.state if event.HasField("task") else 0


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_goal_is_streamed_to_its_end(
    served: Served, http: httpx.AsyncClient, binding: str
) -> None:
    client = await connect(http, served.url, binding)
    events = [event async for event in client.send_message(goal())]
    assert events[0].HasField("task")
    assert state_of(events[-1]) == TaskState.TASK_STATE_COMPLETED
    texts = [p.text for e in events for p in e.artifact_update.artifact.parts if p.text]
    assert ANSWER in texts
    task = await client.get_task(GetTaskRequest(id=events[0].task.id))
    assert task.status.state == TaskState.TASK_STATE_COMPLETED
    listed = await client.list_tasks(ListTasksRequest())
    assert [one.id for one in listed.tasks] == [task.id]


@pytest.mark.parametrize("binding", BINDINGS)
async def test_each_agent_answers_at_its_own_address(
    served: Served, http: httpx.AsyncClient, binding: str
) -> None:
    for base in (f"{served.url}/agents/scout", f"{served.url}/agents/scout/"):
        client = await connect(http, base, binding, stream=False)
        [answer] = [event async for event in client.send_message(goal())]
        assert answer.task.artifacts[0].parts[0].text == "data/sales.csv has 4,200 rows."


async def test_cards_say_where_the_client_came_from(
    served: Served, http: httpx.AsyncClient
) -> None:
    port = served.url.rpartition(":")[2]
    for path, name in {"": "codin", "/agents/writer": "Writer"}.items():
        answer = await http.get(
            f"{path}/.well-known/agent-card.json", headers={"host": f"localhost:{port}"}
        )
        card = answer.json()
        assert card["name"] == name
        urls = {one["url"] for one in card["supportedInterfaces"]}
        assert {url.rstrip("/") for url in urls} == {f"http://localhost:{port}{path}"}
        cached = await http.get(
            f"{path}/.well-known/agent-card.json",
            headers={"host": f"localhost:{port}", "if-none-match": answer.headers["etag"]},
        )
        assert cached.status_code == 304


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_task_under_way_is_watched_by_a_second_client_and_canceled(
    served: Served, http: httpx.AsyncClient, binding: str
) -> None:
    client = await connect(http, served.url, binding)
    first = client.send_message(goal("hang on"))
    task_id = (await anext(first)).task.id
    watching = client.subscribe(SubscribeToTaskRequest(id=task_id))
    snapshot = await anext(watching)
    assert snapshot.task.id == task_id
    await anext(watching)
    canceled = await client.cancel_task(CancelTaskRequest(id=task_id))
    assert canceled.status.state == TaskState.TASK_STATE_CANCELED
    for stream in (first, watching):
        rest = [event async for event in stream]
        assert state_of(rest[-1]) == TaskState.TASK_STATE_CANCELED
    with pytest.raises(UnsupportedOperationError):
        [_ async for _ in client.subscribe(SubscribeToTaskRequest(id=task_id))]


async def test_a_task_goes_on_when_its_client_leaves(
    served: Served, http: httpx.AsyncClient
) -> None:
    client = await connect(http, served.url, "JSONRPC")
    stream = client.send_message(goal())
    task_id = (await anext(stream)).task.id
    await stream.aclose()  # type: ignore[attr-defined]
    async with asyncio.timeout(10):
        await served.manager.runner.wait(task_id)
    task = await client.get_task(GetTaskRequest(id=task_id))
    assert task.status.state == TaskState.TASK_STATE_COMPLETED


@pytest.mark.parametrize("binding", BINDINGS)
async def test_an_unknown_task_is_said_to_be_unknown(
    served: Served, http: httpx.AsyncClient, binding: str
) -> None:
    client = await connect(http, served.url, binding)
    with pytest.raises(TaskNotFoundError):
        await client.get_task(GetTaskRequest(id="nope"))
    with pytest.raises(A2AClientError, match="404"):
        await connect(http, f"{served.url}/agents/nobody", binding)


def rpc(method: str = "SendMessage", text: str = "hi", **more: Any) -> dict[str, Any]:
    message = {"messageId": "m1", "role": "ROLE_USER", "parts": [{"text": text}]}
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"message": message}, **more}


async def test_the_version_comes_by_header_or_query(http: httpx.AsyncClient) -> None:
    missing = (await http.post("/", json=rpc())).json()
    assert missing["error"]["code"] == -32009
    by_query = (await http.post("/agents/scout?A2A-Version=1.0", json=rpc())).json()
    assert by_query["result"]["task"]["status"]["state"] == "TASK_STATE_COMPLETED"
    wrong = (await http.post("/", json=rpc(), headers={"A2A-Version": "2.0"})).json()
    assert wrong["error"]["code"] == -32009


MALFORMED = {
    b"{": -32700,
    b"": -32700,
    b"\xff\xfe": -32700,
    b"[" * 100_000: -32700,
    b"[]": -32600,
    b"42": -32600,
    b'{"jsonrpc":"2.0","id":1}': -32600,
    b'{"jsonrpc":"2.0","id":1,"method":"Nonsense"}': -32601,
    b'{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":7}}': -32602,
    b'{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{}}': -32602,
}


@pytest.mark.parametrize("path", ["/", "/agents/scout"])
async def test_malformed_json_rpc_is_answered_in_kind(
    http: httpx.AsyncClient, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    for body, code in MALFORMED.items():
        answer = await http.post(path, content=body, headers={"A2A-Version": "1.0"})
        assert answer.json()["error"]["code"] == code, (body[:80], answer.text)
        assert "Traceback" not in answer.text
    assert caplog.messages == []  # a client's fault is none of the operator's business


async def test_goals_that_cannot_be_worked_on_are_invalid(http: httpx.AsyncClient) -> None:
    headers = {"A2A-Version": "1.0"}
    for text in ("", " \n ", "x" * 300_000):
        answer = (await http.post("/", json=rpc(text=text), headers=headers)).json()
        assert answer["error"]["code"] == -32602
        rest = await http.post("/message:send", json=rpc(text=text)["params"], headers=headers)
        assert rest.status_code == 400


async def test_a_megabyte_is_too_large_for_either_binding(http: httpx.AsyncClient) -> None:
    big = rpc(text="x" * 1_100_000)
    headers = {"A2A-Version": "1.0"}
    by_rpc = await http.post("/", json=big, headers=headers)
    assert by_rpc.json()["error"]["code"] == -32600
    by_rest = await http.post("/message:send", json=big["params"], headers=headers)
    assert by_rest.status_code == 413


async def test_malformed_rest_is_a_bad_request(http: httpx.AsyncClient) -> None:
    headers = {"A2A-Version": "1.0"}
    for path in ("/message:send", "/agents/scout/message:stream"):
        for body in (b"{", b"\xff\xfe", b'{"message":' * 50_000):
            answer = await http.post(path, content=body, headers=headers)
            assert answer.status_code == 400, answer.text
    assert (await http.get("/tasks/nope", headers=headers)).status_code == 404
    assert (await http.get("/elsewhere/tasks", headers=headers)).status_code == 404
    assert (await http.get("/tasks?pageSize=x", headers=headers)).status_code == 400
