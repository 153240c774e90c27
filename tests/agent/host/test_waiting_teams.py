"""Teams and crews that ask in one host go on with the answer in another: the first is gone."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from host_platform import Platform, platform

from codin.agent.events import AgentEvent, Completed, HandOff, InputRequest, TextFinal, ToolResult
from codin.agent.host.packages import Environment
from codin.testing.agent_conformance import of
from codin.testing.scripted_model import RecordedRequest, Turn, text, tool_call

AGENTS = Path(__file__).with_name("agents")
CREWAI = ("crewai>=1.15.30",)

pytestmark = pytest.mark.slow


def leader(request: RecordedRequest) -> Turn:
    """The leader adds and hands on; the member books."""
    results = request.tool_results
    if "delegate_task_to_member" not in request.tools:
        return text(results[0]) if results else tool_call("book", {"city": "Ulm"}, id="book")
    if not results:
        return tool_call("add", {"a": 2, "b": 3}, id="add")
    if len(results) == 1:
        return tool_call("delegate_task_to_member", {"member_id": "back", "task": "book"}, id="to")
    return text(f"All done: {results[-1]}")


def crew(request: RecordedRequest) -> Turn:
    """The scout adds and asks for a city; the other agent books it."""
    results = request.tool_results
    if "book" in request.tools:
        return text(results[0]) if results else tool_call("book", {"city": "Ulm"})
    if "Ulm" in request.text:
        return text("Ulm, then.")
    return text("Which city?") if results else tool_call("add", {"a": 2, "b": 3})


async def test_a_member_of_agnos_goes_on_in_another_host() -> None:
    with tempfile.TemporaryDirectory("", "cd-") as folder:
        async with platform(Path(folder), leader) as place:
            first = await _in_a_host(place, "agno_asks", "Book Ulm", None)
            asked = first[-1]
            assert isinstance(asked, InputRequest)
            assert (asked.request_kind, asked.prompt) == (
                "approval",
                'Approve book({"city": "Ulm"})?',
            )
            second = await _in_a_host(place, "agno_asks", "yes", asked.state)
            assert place.added == [(2, 3)]
    assert [r.content for r in of(second, ToolResult)] == ["booked Ulm"]
    assert [(h.from_agent, h.to_agent) for h in of(first + second, HandOff)] == [
        ("front", "back"),
        ("back", "front"),
    ]
    assert of(second, TextFinal)[-1].text.startswith("All done:")
    assert second[-1] == Completed()


async def test_a_crew_goes_on_in_another_host_and_repeats_nothing() -> None:
    with tempfile.TemporaryDirectory("", "cd-") as folder:
        async with platform(Path(folder), crew) as place:
            events: list[AgentEvent] = []
            state: str | None = None
            for said in ("Where to?", "To Ulm", "yes"):
                events += await _in_a_host(place, "crew_asks", said, state, CREWAI)
                state = getattr(events[-1], "state", None)
            assert place.added == [(2, 3)]
            # Two for the city, one with the feedback, two for the booking; none is asked twice.
            assert len(place.model.requests) == 5
    asked = of(events, InputRequest)
    assert [a.request_kind for a in asked] == ["input", "approval"]
    assert asked[0].prompt.startswith("Which city?")
    assert 'book({"city": "Ulm"})' in asked[1].prompt
    assert events[-1] == Completed()
    assert [r.content for r in of(events, ToolResult)] == [5, "booked Ulm"]
    assert [e.text for e in of(events, TextFinal)] == ["Which city?", "Ulm, then.", "booked Ulm"]


async def _in_a_host(
    place: Platform, name: str, said: str, state: str | None, requirements: tuple[str, ...] = ()
) -> list[AgentEvent]:
    environment = Environment(requirements)
    host = await place.hosts.start([str(AGENTS / f"{name}.py")], environment=environment)
    try:
        (agent,) = host.agents
        assert agent.id == name
        task = replace(place.task(said, tools=["add"]), state=state)
        return [event async for event in await agent.handle(task)]
    finally:
        await host.stop()
