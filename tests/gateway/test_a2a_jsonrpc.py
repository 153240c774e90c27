"""JSON-RPC 2.0 as its specification has it, with A2A's methods."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from a2a_calls import ASKER, COUNTER, REPLIER, V1, message, rpc

from codin.testing.serving import serve_agents
from codin.testing.team import FixedPlanner

PATH = "/agents/counter"


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serve_agents(tmp_path, [COUNTER, ASKER, REPLIER], FixedPlanner()) as served,
        httpx.AsyncClient(base_url=served.url, trust_env=False, timeout=20, headers=V1) as http,
    ):
        yield http


async def tasks(http: httpx.AsyncClient) -> int:
    answer = await http.post(PATH, json=rpc("ListTasks", {}))
    total: int = answer.json()["result"]["totalSize"]
    return total


@pytest.mark.parametrize("call_id", [7, "seven", "", 1.5, None, -1, 10**30, "√ü"])
async def test_the_answer_has_the_id_of_the_request(http: httpx.AsyncClient, call_id: Any) -> None:
    for method in ("ListTasks", "Nothing"):
        answer = (await http.post(PATH, json=rpc(method, {}, call_id))).json()
        assert answer["id"] == call_id
        assert answer["jsonrpc"] == "2.0"


@pytest.mark.parametrize(
    "call_id", ["true", "[]", "{}", '"\\ud800"', f'"{"x" * 2000}"', '"a\\nb"', "9" * 5000, "NaN"]
)
async def test_an_id_that_cannot_be_sent_back_is_refused(
    http: httpx.AsyncClient, call_id: str
) -> None:
    body = f'{{"jsonrpc":"2.0","method":"ListTasks","id":{call_id}}}'
    answer = await http.post(PATH, content=body)
    assert answer.status_code == 200
    assert answer.json()["error"]["code"] in {-32600, -32700}
    assert answer.json()["id"] is None


async def test_a_notification_is_done_and_not_answered(http: httpx.AsyncClient) -> None:
    for method in ("SendMessage", "SendStreamingMessage"):
        body = rpc(method, {"message": message("500")})
        del body["id"]
        answer = await http.post(PATH, json=body)
        assert (answer.status_code, answer.content) == (204, b"")
    assert await tasks(http) == 2
    wrong = {"jsonrpc": "2.0", "method": "Nothing"}
    assert (await http.post(PATH, json=wrong)).status_code == 204


async def test_a_batch_is_answered_in_its_order(http: httpx.AsyncClient) -> None:
    silent = rpc("SendMessage", {"message": message("1")})
    del silent["id"]
    batch = [
        rpc("SendMessage", {"message": message("2")}, "a"),
        silent,
        rpc("GetTask", {"id": "nope"}, "b"),
        17,
        rpc("SubscribeToTask", {"id": "nope"}, "c"),
        rpc("ListTasks", {"pageSize": 1000}, "d"),
    ]
    answers = (await http.post(PATH, json=batch)).json()
    assert [one["id"] for one in answers] == ["a", "b", None, "c", "d"]
    codes = [one.get("error", {}).get("code") for one in answers]
    assert codes == [None, -32001, -32600, -32600, -32602]
    assert answers[0]["result"]["task"]["status"]["state"] == "TASK_STATE_COMPLETED"
    assert (await http.post(PATH, json=[silent])).status_code == 204
    for size in (0, 51):
        many = (await http.post(PATH, json=[rpc("ListTasks", {})] * size)).json()
        assert many["error"]["code"] == -32600


async def test_only_json_is_read(http: httpx.AsyncClient) -> None:
    body = json.dumps(rpc("ListTasks", {}))
    for kind, code in {
        "application/json": 0,
        "application/json; charset=utf-8": 0,
        "application/a2a+json": 0,
        "text/plain": -32005,
        "application/x-www-form-urlencoded": -32005,
    }.items():
        answer = await http.post(PATH, content=body, headers={"content-type": kind})
        assert answer.json().get("error", {}).get("code", 0) == code
        assert answer.status_code == (415 if code else 200)


@pytest.mark.parametrize("params", [[], "x", 3, {"message": []}, {"message": {"parts": "x"}}])
async def test_parameters_of_a_wrong_shape(http: httpx.AsyncClient, params: Any) -> None:
    answer = (await http.post(PATH, json=rpc("SendMessage", params))).json()
    assert answer["error"]["code"] == -32602
    assert await tasks(http) == 0


async def test_errors_say_more_in_their_data(http: httpx.AsyncClient) -> None:
    answer = (await http.post(PATH, json=rpc("GetTask", {"id": "nope"}))).json()
    [info] = answer["error"]["data"]
    assert info["reason"] == "TASK_NOT_FOUND"
    assert info["domain"] == "a2a-protocol.org"


async def test_what_is_not_known_is_left_out(http: httpx.AsyncClient) -> None:
    said = {**message("1"), "someday": {"a": 1}}
    answer = (await http.post(PATH, json=rpc("SendMessage", {"message": said, "later": 1}))).json()
    assert answer["result"]["task"]["status"]["state"] == "TASK_STATE_COMPLETED"


async def test_a_reply_at_once_is_a_message(http: httpx.AsyncClient) -> None:
    body = rpc("SendMessage", {"message": message("hello")})
    found = (await http.post("/agents/replier", json=body)).json()["result"]["message"]
    assert found["parts"] == [{"text": "at once"}]
    task = (await http.post("/agents/replier", json=rpc("GetTask", {"id": found["taskId"]}))).json()
    assert task["result"]["status"]["state"] == "TASK_STATE_COMPLETED"
