"""A run that asks in one host goes on with the answer in another: the first is gone by then."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from host_platform import Platform, platform

from codin.agent.events import Completed, InputRequest, TextFinal, ToolResult
from codin.agent.host.packages import Environment
from codin.testing.agent_conformance import of
from codin.testing.scripted_model import RecordedRequest, Turn, text, tool_call

AGENTS = Path(__file__).with_name("agents")
FRAMEWORKS: dict[str, tuple[str, ...]] = {
    "graph_asks": (),
    "kit_asks": (),
    "maf_asks": (),
    "strand_asks": ("strands-agents[openai]>=1.62",),
}

pytestmark = pytest.mark.slow


def answer(request: RecordedRequest) -> Turn:
    """Asks for a city, books it, and says what came of it."""
    match request.tool_results:
        case []:
            return tool_call("ask", {"question": "Which city?"})
        case [_]:
            return tool_call("book", {"city": "Ulm" if "Ulm" in request.text else "nowhere"})
        case [*_, last]:
            return text(last)
    raise AssertionError(request)


@pytest.mark.parametrize("name", FRAMEWORKS)
async def test_each_answer_is_taken_by_a_host_of_its_own(name: str) -> None:
    with tempfile.TemporaryDirectory("", "cd-") as folder:
        async with platform(Path(folder), answer) as place:
            asked = []
            state: str | None = None
            for said in ("Book me a trip", "Ulm", "yes"):
                events = await _in_a_host(place, name, said, state)
                if isinstance(events[-1], InputRequest):
                    asked.append((events[-1].request_kind, events[-1].prompt))
                    state = events[-1].state
    assert [kind for kind, _ in asked] == ["input", "approval"]
    assert asked[0][1] == "Which city?"
    assert "book" in asked[1][1]
    assert '{"city": "Ulm"}' in asked[1][1]
    assert events[-1] == Completed()
    assert [r.content for r in of(events, ToolResult)] == ["booked Ulm"]
    assert "booked Ulm" in of(events, TextFinal)[-1].text


async def _in_a_host(place: Platform, name: str, said: str, state: str | None) -> list[object]:
    environment = Environment(FRAMEWORKS[name])
    host = await place.hosts.start([str(AGENTS / f"{name}.py")], environment=environment)
    try:
        (agent,) = host.agents
        assert agent.id == name
        task = replace(place.task(said, tools=[]), state=state)
        return [event async for event in await agent.handle(task)]
    finally:
        await host.stop()
