"""Agents of real frameworks in real hosts: tools through the host API, models through the proxy."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from host_platform import PROVIDER_KEY, Platform, platform

from codin.agent import Task, frameworks
from codin.agent.events import AgentEvent, Completed, Failed, ToolCall, ToolResult
from codin.agent.host import AgentHost, HostedAgent
from codin.agent.host.packages import Environment
from codin.testing.scripted_model import RecordedRequest, Turn, error, hang, text, tool_call

AGENTS = Path(__file__).with_name("agents")
FRAMEWORKS: dict[str, tuple[str, ...]] = {
    "graph": (),
    "kit": (),
    "agnostic": (),
    "pydantic_agent": (),
    "openai_agent": (),
    "maf": (),
    "crew": ("crewai>=1.15.30",),  # needs other versions than the platform has
    "strand": ("strands-agents[openai]>=1.62",),  # needs mcp<2.2 and openai<3
    "llama": ("llama-index-core>=0.14.25", "llama-index-llms-openai-like>=0.8.1"),
    "auto": ("autogen-agentchat>=0.7.5", "autogen-ext[openai]>=0.7.5"),
    "smol": ("smolagents[openai]>=1.26",),
}

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


def answer(request: RecordedRequest) -> Turn:
    """Adds what it is told to with the tool, and says what came of it."""
    if "hang" in request.last_user:
        return hang()
    if "overload" in request.last_user:
        return error(400, "no such thing today")
    results = request.tool_results
    if request.last_user.startswith("Observation:"):  # smolagents has no results of tools
        results = [request.last_user]
    if not results:
        a, b = (int(word) for word in request.last_user.split() if word.isdigit())
        return tool_call("add", {"a": a, "b": b})
    [number] = re.findall(r"\d+", results[-1])  # ADK gives it as {"result": 42}
    said = f"the sum is {number}"
    return tool_call("final_answer", {"answer": said}) if _calls(request) else text(said)


def _calls(request: RecordedRequest) -> bool:
    """Whether the agent wants its answer as a call of a tool."""
    return "final_answer" in request.tools


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place() -> AsyncIterator[Platform]:
    with tempfile.TemporaryDirectory("", "cd-") as folder:
        async with platform(Path(folder), answer) as made:
            yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hosts(place: Platform) -> dict[str, AgentHost]:
    started = await asyncio.gather(
        *(
            place.hosts.start([str(AGENTS / f"{name}.py")], environment=Environment(requirements))
            for name, requirements in FRAMEWORKS.items()
        )
    )
    return dict(zip(FRAMEWORKS, started, strict=True))


@pytest.fixture(params=FRAMEWORKS)
def agent(
    request: pytest.FixtureRequest,
    hosts: dict[str, AgentHost],
    record_property: Callable[[str, object], None],
) -> HostedAgent:
    found = hosts[request.param].agents[0]
    # For the table of what agents can do (codin.testing.support).
    record_property("support", frameworks.FRAMEWORKS[found.info.framework].title)
    return found


async def events_of(agent: HostedAgent, task: Task) -> list[AgentEvent]:
    return [event async for event in await agent.handle(task)]


async def test_it_calls_a_tool_and_answers(place: Platform, agent: HostedAgent) -> None:
    task = place.task("add 2 and 40", tools=["add"])
    events = await events_of(agent, task)
    assert events[-1] == Completed()
    [call] = [event for event in events if isinstance(event, ToolCall)]
    [result] = [event for event in events if isinstance(event, ToolResult)]
    assert (call.name, call.arguments) == ("add", {"a": 2, "b": 40})
    assert (result.call_id, result.content, result.is_error) == (call.call_id, 42, False)
    assert place.added[-1] == (2, 40)
    again = await (await agent.handle(place.task("add 3 and 4", tools=["add"])))
    assert again.text == "the sum is 7"
    assert place.meter.tokens(task.id) > 0
    assert place.model.requests[-1].headers["authorization"] == f"Bearer {PROVIDER_KEY}"


async def test_runs_side_by_side_are_their_own(place: Platform, agent: HostedAgent) -> None:
    tasks = [place.task(f"add {n} and 100", tools=["add"]) for n in range(3)]
    outcomes = await asyncio.gather(*[await agent.handle(task) for task in tasks])
    assert [o.text for o in outcomes] == [f"the sum is {n + 100}" for n in range(3)]
    assert [len(place.meter.usage(task.id)) for task in tasks] == [2, 2, 2]


async def test_cancelling_ends_the_models_work(place: Platform, agent: HostedAgent) -> None:
    asked = len(place.model.requests)
    running = asyncio.create_task(events_of(agent, place.task("hang", tools=["add"])))
    async with asyncio.timeout(20):
        while len(place.model.requests) == asked:
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        while not place.model.requests[asked].disconnected:
            await asyncio.sleep(0.01)


async def test_a_models_error_is_one_failure(place: Platform, agent: HostedAgent) -> None:
    events = await events_of(agent, place.task("overload", tools=["add"]))
    ends = [event for event in events if isinstance(event, Failed)]
    assert len(ends) == 1
    assert events[-1] is ends[0]
    assert "no such thing today" in ends[0].message
