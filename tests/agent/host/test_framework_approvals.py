"""Agents of real frameworks that wait for approval in one host, and go on in another."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from host_platform import Platform, platform

from codin.agent import Task
from codin.agent.events import AgentEvent, Completed, HandOff, InputRequest, ToolResult
from codin.testing.scripted_model import RecordedRequest, Turn, text, tool_call

AGENTS = Path(__file__).with_name("agents")

pytestmark = pytest.mark.slow


def answer(request: RecordedRequest) -> Turn:
    """Passes on where it can, wipes the disk, and says what came of it."""
    if "transfer_to_cleaner" in request.tools:
        return tool_call("transfer_to_cleaner")
    said = [result for result in request.tool_results if "assistant" not in result]
    return text(f"It was {said[-1]}.") if said else tool_call("wipe", {"disk": "a"})


@pytest.fixture
async def place() -> AsyncIterator[Platform]:
    with tempfile.TemporaryDirectory("", "cd-") as folder:
        async with platform(Path(folder), answer) as made:
            yield made


async def run_in_a_new_host(place: Platform, name: str, task: Task) -> list[AgentEvent]:
    host = await place.hosts.start([str(AGENTS / f"{name}.py")])
    try:
        [agent] = host.agents
        return [event async for event in await agent.handle(task)]
    finally:
        await host.stop()


@pytest.mark.parametrize("name", ["pydantic_cleaner", "openai_cleaner"])
async def test_what_was_approved_is_done_in_another_host(place: Platform, name: str) -> None:
    task = place.task("wipe a", tools=[])
    events = await run_in_a_new_host(place, name, task)
    request = events[-1]
    assert isinstance(request, InputRequest), request
    assert (request.prompt, request.request_kind) == ('Approve wipe({"disk": "a"})?', "approval")
    handed = [(e.from_agent, e.to_agent) for e in events if isinstance(e, HandOff)]
    assert handed == ([("front", "cleaner")] if name == "openai_cleaner" else [])
    follow = place.task("yes", tools=[])
    events = await run_in_a_new_host(place, name, replace(follow, state=request.state))
    assert events[-1] == Completed()
    [result] = [event for event in events if isinstance(event, ToolResult)]
    assert (result.name, result.content, result.is_error) == ("wipe", "wiped a", False)
    assert place.model.requests[-1].tool_results[-1] == "wiped a"
