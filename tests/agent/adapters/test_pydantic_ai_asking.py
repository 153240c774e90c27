"""Pydantic AI's agents that wait: for answers and approvals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from openai import AsyncOpenAI
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai import ApprovalRequired, CallDeferred, DeferredToolRequests, RunContext
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from codin.agent import Agent, wrap
from codin.agent.events import (
    AgentEvent,
    Completed,
    Failed,
    InputRequest,
    TextFinal,
    ToolResult,
    Usage,
)
from codin.testing.agent_conformance import (
    answering,
    asked,
    collect,
    of,
    task_for,
)
from codin.testing.scripted_model import ScriptedModel, Turn, text, tool_call

pytestmark = pytest.mark.slow


def llm(base_url: str) -> OpenAIChatModel:
    client = AsyncOpenAI(api_key="k", base_url=base_url, max_retries=0)
    return OpenAIChatModel("x", provider=OpenAIProvider(openai_client=client))


def pydantic(url: str, **options: Any) -> PydanticAgent[Any, Any]:
    return PydanticAgent(llm(url), name="worker", **options)


def results(events: list[AgentEvent]) -> list[tuple[str, Any, bool]]:
    return [(r.name, r.content, r.is_error) for r in of(events, ToolResult)]


def trip(url: str, done: list[str], **options: Any) -> Agent:
    """It books, asks and looks in one turn."""
    agent = pydantic(url, **options)

    @agent.tool
    def book(context: RunContext[Any], hotel: str) -> str:
        if not context.tool_call_approved:
            raise ApprovalRequired(metadata={"reason": "It costs 200."})
        done.append(hotel)
        return "booked"

    @agent.tool_plain
    def ask(question: str) -> str:
        raise CallDeferred

    @agent.tool_plain
    def look(city: str) -> str:
        done.append(city)
        return "sunny"

    return wrap(agent)


TURN = (
    tool_call("look", {"city": "Ulm"}, id="1")
    + tool_call("ask", {"question": "When?"}, id="2")
    + tool_call("book", {"hotel": "Ritz"}, id="3")
)


async def test_calls_that_wait_are_asked_about_one_by_one_and_the_others_are_done_once() -> None:
    done: list[str] = []
    model = ScriptedModel([TURN, text("Have a good trip.")])
    async with model.serve() as url:
        task = task_for("Book a trip")
        first = asked(await collect(trip(url, done), task))
        assert (first.request_kind, first.request_id) == ("approval", "3")
        assert first.prompt == 'Approve book({"hotel": "Ritz"})? It costs 200.'
        task = answering(task, first, "yes")
        second = asked(await collect(trip(url, done), task))
        assert (second.request_kind, second.prompt) == ("input", "When?")
        assert len(model.requests) == 1
        events = await collect(trip(url, done), answering(task, second, "in May"))
    assert isinstance(events[-1], Completed), events[-1]
    assert done == ["Ulm", "Ritz"]
    assert sorted(model.requests[1].tool_results) == ["booked", "in May", "sunny"]
    assert ("book", "booked", False) in results(events)
    assert of(events, TextFinal)[-1].text == "Have a good trip."


async def test_why_a_call_was_not_approved_is_told_to_the_model() -> None:
    script = [tool_call("book", {"hotel": "Ritz"}), text("Something cheaper then.")]
    model = ScriptedModel(script)
    done: list[str] = []
    async with model.serve() as url:
        task = task_for("Book")
        request = asked(await collect(trip(url, done), task))
        events = await collect(trip(url, done), answering(task, request, "too expensive"))
    assert done == []
    assert "too expensive" in model.requests[1].tool_results[0]
    [(name, content, is_error)] = results(events)
    assert (name, is_error) == ("book", True)
    assert "too expensive" in content


async def test_what_was_used_before_a_question_is_not_counted_again() -> None:
    ask = replace(tool_call("ask", {"question": "When?"}), usage=(100, 10))
    model = ScriptedModel([ask, Turn(text="Fine.", usage=(120, 2))])
    async with model.serve() as url:
        task = task_for("Book")
        before = await collect(trip(url, []), task)
        after = await collect(trip(url, []), answering(task, asked(before), "in May"))
    assert [(u.input_tokens, u.output_tokens) for u in of(before, Usage)] == [(100, 10)]
    assert [(u.input_tokens, u.output_tokens) for u in of(after, Usage)] == [(120, 2)]


@pytest.mark.parametrize("state", ["", "{", "[]", "{}", '{"messages": 1}', "null"])
async def test_a_state_that_cannot_be_read_is_said_to_be(state: str) -> None:
    agent = trip("http://127.0.0.1:9/v1", [])
    request = InputRequest(request_id="1", prompt="?", state=state or "no JSON")
    (failed,) = await collect(agent, answering(task_for("?"), request, "yes"))
    assert isinstance(failed, Failed)
    assert "send the task anew" in failed.message


async def test_an_agent_with_validators_may_ask_when_it_says_so() -> None:
    model = ScriptedModel([tool_call("ask", {"question": "When?"}), text("in May")])

    def shouting(url: str, **options: Any) -> Agent:
        agent = trip(url, [], **options)
        agent.subject.output_validator(  # type: ignore[attr-defined]
            lambda said: said.upper() if isinstance(said, str) else said
        )
        return agent

    async with model.serve() as url:
        task = task_for("Book")
        asking = shouting(url, output_type=[str, DeferredToolRequests])
        request = asked(await collect(asking, task))
        events = await collect(asking, answering(task, request, "in May"))
        assert of(events, TextFinal)[-1].text == "IN MAY"
        model.add(tool_call("ask", {"question": "When?"}))
        failed = (await collect(shouting(url), task))[-1]
    assert isinstance(failed, Failed)
    assert "add `DeferredToolRequests` to the list of output types" in failed.message
