"""One real turn of each framework with the model that comes with the platform: it calls the tool
with what it was asked about, and says what the tool gave. The calls are looked at, not the words.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import TypeAdapter

import codin
from codin.agent import Agent, wrap
from codin.agent.events import AgentEvent, Completed, ToolCall, ToolResult, Usage
from codin.agent.host.packages import own_requirements
from codin.model import CallContext, MemoryMeter, ModelService
from codin.model.catalog import embedded_choice
from codin.model.embedded import server, weights
from codin.sandbox.packages import PackageLayers
from codin.security import LOCAL_USER
from codin.testing.agent_conformance import FakeTool, of, task_for
from codin.testing.scripted_model import _listen, _quiet_server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.model,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        weights.installed() is None or not server.engine_installed(),
        reason="the embedded model is not on this machine: codin model pull",
    ),
]

TURN = Path(__file__).parents[1] / "environments" / "crewai_turn.py"
EVENT: TypeAdapter[AgentEvent] = TypeAdapter(AgentEvent)

TOWN = {
    "type": "object",
    "properties": {"town": {"type": "string", "description": "Name of the town"}},
    "required": ["town"],
}


def langgraph(url: str) -> Agent:
    from langchain.agents import create_agent
    from langchain_openai import ChatOpenAI

    def graph(tools: list[Any]) -> Any:
        model = ChatOpenAI(model="any", base_url=url, api_key="k", max_retries=0, stream_usage=True)
        return create_agent(model, tools, system_prompt="You answer questions.")

    return wrap(graph, framework="langgraph")


def adk(url: str) -> Agent:
    from google.adk.agents import LlmAgent
    from google.adk.integrations.openai import OpenAILlm

    model = OpenAILlm(model="any", base_url=url, api_key="k")
    return wrap(LlmAgent(name="worker", model=model, instruction="You answer questions."))


def agno(url: str) -> Agent:
    from agno.agent import Agent as AgnosAgent
    from agno.models.openai import OpenAILike

    model = OpenAILike(id="any", base_url=url, api_key="k", max_retries=0)
    return wrap(AgnosAgent(name="worker", model=model, instructions="You answer questions."))


AGENTS: dict[str, Callable[[str], Agent]] = {"langgraph": langgraph, "adk": adk, "agno": agno}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def url() -> AsyncIterator[str]:
    async def authenticate(token: str) -> CallContext:
        return CallContext(LOCAL_USER, "task")

    async with ModelService(embedded_choice(), MemoryMeter()) as service:
        await service.warm()
        sock, address = _listen(None)
        proxy = _quiet_server(service.proxy(authenticate))
        serving = asyncio.create_task(proxy.serve(sockets=[sock]))
        yield address
        proxy.should_exit = proxy.force_exit = True
        await serving


@pytest.mark.parametrize("framework", AGENTS)
async def test_a_turn_with_a_tool(framework: str, url: str) -> None:
    async def inhabitants(town: str) -> int:
        return 48213 if town.lower() == "aldmoor" else 0

    tool = FakeTool(
        "inhabitants",
        inhabitants,
        description="The number of inhabitants of a town.",
        input_schema=TOWN,
    )
    task = task_for("How many inhabitants has the town of Aldmoor?", tools=[tool])
    async with asyncio.timeout(120):
        events = [e async for e in await AGENTS[framework](url).handle(task)]
    _looked_up(events, tool.calls)


async def test_a_turn_with_a_tool_where_crewai_is(url: str, tmp_path: Path) -> None:
    layers = PackageLayers()
    try:
        layer = await layers.get(["crewai>=1.15.30", *own_requirements()])
        turn = await asyncio.create_subprocess_exec(
            sys.executable,
            "-S",
            str(TURN),
            url,
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "PYTHONPATH": f"{Path(codin.__file__).parent.parent}:{layer}",
                "CREWAI_DISABLE_TELEMETRY": "true",
                "OTEL_SDK_DISABLED": "true",
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(180):
            told, wrong = await turn.communicate()
    finally:
        layers.close()
    assert turn.returncode == 0, wrong.decode()[-3000:]
    *lines, calls = told.decode().splitlines()
    events = [EVENT.validate_json(line) for line in lines]
    _looked_up(events, json.loads(calls))


def _looked_up(events: list[AgentEvent], made: list[dict[str, Any]]) -> None:
    """The town that was asked about was looked up, and what came of it was told."""
    assert isinstance(events[-1], Completed), events[-1]
    assert {"town": "Aldmoor"} in made
    calls = {call.call_id: call.arguments for call in of(events, ToolCall)}
    results = {result.call_id: result.content for result in of(events, ToolResult)}
    assert {"town": "Aldmoor"} in calls.values()
    assert calls.keys() == results.keys()
    assert 48213 in results.values()
    assert sum(used.output_tokens for used in of(events, Usage)) > 0
