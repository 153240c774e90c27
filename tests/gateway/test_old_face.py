"""The gateway's 0.3 face, as our own client of remote agents uses it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest

from codin.agent import AgentInfo, Task
from codin.agent.adapters.remote.agent import RemoteAgent
from codin.agent.events import (
    AgentEvent,
    ArtifactProduced,
    Completed,
    Failed,
    InputRequest,
    TextDelta,
    TextFinal,
    ToolCall,
    ToolResult,
    Usage,
)
from codin.ids import new_id
from codin.testing.agent_conformance import answering, asked, collect, task_for
from codin.testing.serving import ScriptedAgent, Served, serve_agents
from codin.testing.team import FixedPlanner

pytestmark = pytest.mark.slow

SAID: list[AgentEvent] = [
    TextDelta(message_id="m", text="It is 3."),
    TextFinal(message_id="m", text="It is 3."),
    ToolCall(call_id="1", name="add", arguments={"a": 1}),
    ToolResult(call_id="1", name="add", content={"sum": 3}),
    Usage(model="x", input_tokens=1, output_tokens=2),
    ArtifactProduced(artifact_id="f", name="x.png", raw=b"png", media_type="image/png"),
    ArtifactProduced(artifact_id="d", name="d", data={"n": [1, None, "x"]}),
    Completed(),
]


stopped: list[str] = []
"""Contexts whose runs were ended."""


async def telling(task: Task) -> AsyncGenerator[AgentEvent, None]:
    match task.text:
        case "ask":
            yield InputRequest(request_id="1", prompt="Which city?", state="kept")
        case "Paris":
            yield TextFinal(message_id="m", text=f"{task.text} {task.state}")
            yield Completed()
        case "hang":
            yield TextDelta(message_id="m", text="begun")
            try:
                await asyncio.sleep(60)
            finally:
                stopped.append(task.context_id)
        case "fail":
            yield Failed(error_type="Broken", message="it broke")
        case _:
            for event in SAID:
                yield event


@pytest.fixture
async def served(tmp_path: Path) -> AsyncGenerator[Served, None]:
    agents = [ScriptedAgent("teller", telling)]
    async with serve_agents(tmp_path, agents, FixedPlanner()) as served:
        yield served


@pytest.fixture(params=["JSONRPC", "HTTP+JSON"])
async def old(served: Served, request: pytest.FixtureRequest) -> RemoteAgent:
    """The agent by A2A 0.3 alone, over one binding."""
    return await by_old(served, request.param)


async def by_old(served: Served, binding: str) -> RemoteAgent:
    agent = RemoteAgent(f"{served.url}/agents/teller", AgentInfo("r", "R", ""))
    card = await agent.card()
    offered = [i for i in card.supported_interfaces if i.protocol_version == "0.3"]
    del card.supported_interfaces[:]
    card.supported_interfaces.extend(i for i in offered if i.protocol_binding == binding)
    assert len(card.supported_interfaces) == 1
    return agent


async def test_all_that_an_agent_says_comes_back(old: RemoteAgent) -> None:
    assert await collect(old, task_for("?")) == SAID


async def test_an_error_is_told_once(old: RemoteAgent) -> None:
    assert await collect(old, task_for("fail")) == [Failed(error_type="Broken", message="it broke")]


async def test_it_asks_and_is_answered_by_another_client(old: RemoteAgent, served: Served) -> None:
    begun = task_for("ask")
    request = asked(await collect(old, begun))
    assert request.prompt == "Which city?"
    assert request.state != "kept"
    again = await by_old(served, (await old.card()).supported_interfaces[0].protocol_binding)
    events = await collect(again, answering(begun, request, "Paris"))
    assert events == [TextFinal(message_id="m", text="Paris kept"), Completed()]


async def test_cancelling_reaches_the_agent(old: RemoteAgent) -> None:
    task = replace(task_for("hang"), context_id=new_id())
    events = aiter(await old.handle(task))
    assert isinstance(await anext(events), TextDelta)
    await events.aclose()  # type: ignore[attr-defined]
    async with asyncio.timeout(10):
        while task.context_id not in stopped:
            await asyncio.sleep(0.01)
