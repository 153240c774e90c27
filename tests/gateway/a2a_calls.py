"""Agents and raw requests for the tests of the two HTTP bindings."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from codin.agent.base import Task
from codin.agent.cards import RESUME_EXTENSION
from codin.agent.events import AgentEvent, Completed, InputRequest, TextFinal, ToolCall
from codin.testing.serving import ScriptedAgent

V1 = {"A2A-Version": "1.0"}
BINDINGS = ["rpc", "rest"]


async def count(task: Task) -> AsyncGenerator[AgentEvent, None]:
    """As many calls of a tool as the text says, one every 20 ms."""
    for number in range(int(task.text)):
        await asyncio.sleep(0.02)
        yield ToolCall(call_id=str(number), name="count", arguments={"n": number})
    yield TextFinal(message_id="end", text="counted")


async def ask(task: Task) -> AsyncGenerator[AgentEvent, None]:
    if task.text == "order":
        yield InputRequest(request_id="q", prompt="how many?")
    yield TextFinal(message_id="end", text=f"ordered {task.text}")


async def reply(task: Task) -> AsyncGenerator[AgentEvent, None]:
    yield Completed(reply="at once")


async def pour(task: Task) -> AsyncGenerator[AgentEvent, None]:
    """More than any socket holds: the text says how many megabytes."""
    for number in range(int(task.text) * 10):
        yield ToolCall(call_id=str(number), name="pour", arguments={"x": "x" * 100_000})


COUNTER = ScriptedAgent("counter", count)
ASKER = ScriptedAgent("asker", ask)
REPLIER = ScriptedAgent("replier", reply)
POURER = ScriptedAgent("pourer", pour)


def message(text: str, **more: Any) -> dict[str, Any]:
    return {
        "messageId": uuid.uuid4().hex,
        "role": "ROLE_USER",
        "parts": [{"text": text}],
        **more,
    }


def rpc(method: str, params: Any, call_id: Any = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call_id, "method": method, "params": params}


@dataclass(frozen=True)
class Event:
    """A server-sent event, without what the binding puts around it."""

    seq: int
    body: dict[str, Any]
    name: str = ""

    @property
    def state(self) -> str | None:
        held = self.body.get("task") or self.body.get("statusUpdate") or {}
        state: str | None = held.get("status", {}).get("state")
        return state


async def events(response: httpx.Response) -> AsyncIterator[Event]:
    """The events of a stream as they come."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            body = json.loads(fields["data"])
            body = body.get("result", body)
            yield Event(int(fields.get("id", 0)), body, fields.get("event", ""))
            fields = {}


@asynccontextmanager
async def sending(
    http: httpx.AsyncClient, agent: str, said: dict[str, Any], binding: str, **headers: str
) -> AsyncIterator[httpx.Response]:
    """SendStreamingMessage."""
    path, body = f"/agents/{agent}/message:stream", {"message": said}
    if binding == "rpc":
        path, body = f"/agents/{agent}", rpc("SendStreamingMessage", body)
    async with http.stream("POST", path, json=body, headers=V1 | headers) as response:
        yield response


@asynccontextmanager
async def subscribed(
    http: httpx.AsyncClient, agent: str, task_id: str, binding: str, after: int | str | None = None
) -> AsyncIterator[httpx.Response]:
    """SubscribeToTask; with the extension, after an event, when one is given."""
    headers = dict(V1)
    if after is not None:
        headers |= {"A2A-Extensions": RESUME_EXTENSION, "Last-Event-ID": str(after)}
    if binding == "rpc":
        body = rpc("SubscribeToTask", {"id": task_id})
        asked = http.stream("POST", f"/agents/{agent}", json=body, headers=headers)
    else:
        asked = http.stream("GET", f"/agents/{agent}/tasks/{task_id}:subscribe", headers=headers)
    async with asked as response:
        yield response


async def code_of(response: httpx.Response) -> int | str:
    """The error's code over JSON-RPC, its reason over HTTP+JSON; 0 when there is none."""
    await response.aread()
    error = response.json().get("error")
    if error is None:
        return 0
    if "details" in error:
        assert error["details"][0]["domain"] == "a2a-protocol.org"
        reason: str = error["details"][0]["reason"]
        return reason
    code: int = error["code"]
    return code
