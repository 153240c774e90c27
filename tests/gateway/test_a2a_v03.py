"""Clients of 0.3 are served as they were."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx
import pytest
from a2a_calls import V1

pytestmark = pytest.mark.slow


def said(text: str = "How many rows?") -> dict[str, Any]:
    return {
        "message": {
            "kind": "message",
            "messageId": uuid.uuid4().hex,
            "role": "user",
            "parts": [{"kind": "text", "text": text}],
        }
    }


def rpc(method: str, params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 5, "method": method, "params": params}


async def test_send_and_get(http: httpx.AsyncClient) -> None:
    for headers in ({}, {"A2A-Version": "0.3"}):
        answer = await http.post("/agents/scout", json=rpc("message/send", said()), headers=headers)
        task = answer.json()["result"]
        assert (task["kind"], task["status"]["state"]) == ("task", "completed")
        found = await http.post("/agents/scout", json=rpc("tasks/get", {"id": task["id"]}))
        assert found.json()["result"]["id"] == task["id"]
        now = await http.get(f"/agents/scout/tasks/{task['id']}", headers=V1)
        assert now.json()["status"]["state"] == "TASK_STATE_COMPLETED"


async def test_a_stream(http: httpx.AsyncClient) -> None:
    body = rpc("message/stream", said("Which region leads?"))
    async with http.stream("POST", "/", json=body) as stream:
        lines = [line async for line in stream.aiter_lines() if line.startswith("data: ")]
    found = [json.loads(line.removeprefix("data: "))["result"] for line in lines]
    assert found[0]["kind"] == "task"
    assert found[-1]["status"]["state"] == "completed"
    assert found[-1]["final"] is True


async def test_errors(http: httpx.AsyncClient) -> None:
    unknown = await http.post("/", json=rpc("tasks/get", {"id": "nope"}))
    assert unknown.json()["error"]["code"] == -32001
    # each version has its own methods
    old = await http.post("/", json=rpc("message/send", said()), headers=V1)
    assert old.json()["error"]["code"] == -32601
    new = await http.post("/", json=rpc("SendMessage", said()), headers={"A2A-Version": "0.3"})
    assert new.json()["error"]["code"] == -32009


async def test_http_json(http: httpx.AsyncClient) -> None:
    body = {
        "request": {
            "messageId": uuid.uuid4().hex,
            "role": "ROLE_USER",
            "content": [{"text": "How many rows?"}],
        }
    }
    answer = await http.post("/agents/scout/v1/message:send", json=body)
    assert answer.status_code == 200, answer.text
    task = answer.json()["task"]
    assert task["status"]["state"] == "TASK_STATE_COMPLETED"
    found = await http.get(f"/agents/scout/v1/tasks/{task['id']}")
    assert found.json()["id"] == task["id"]
