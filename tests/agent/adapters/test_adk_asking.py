"""ADK's agents that wait: long-running tools, confirmations, requests for input and credentials."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import Any

import pytest
from google.adk.agents import LlmAgent, SequentialAgent
from google.adk.apps import App, ResumabilityConfig
from google.adk.events.request_input import RequestInput
from google.adk.integrations.openai import OpenAILlm
from google.adk.tools import ToolContext
from google.adk.tools.agent_tool import AgentTool
from google.adk.tools.function_tool import FunctionTool
from google.adk.tools.long_running_tool import LongRunningFunctionTool
from google.adk.workflow import Workflow
from google.genai import types
from openai import AsyncOpenAI
from pydantic import BaseModel

from codin.agent import Agent, wrap
from codin.agent.a2a import data_part, user_message
from codin.agent.adapters.adk.pause import CREDENTIAL, Call, Paused
from codin.agent.events import (
    AgentEvent,
    ArtifactProduced,
    Completed,
    Failed,
    TextDelta,
    TextFinal,
    ToolCall,
    ToolResult,
    Usage,
)
from codin.security import Principal
from codin.testing.agent_conformance import answering, asked, collect, of, task_for
from codin.testing.scripted_model import ScriptedModel, text, tool_call

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The `plugins` argument is deprecated"),
]


class City(BaseModel):
    name: str
    people: int


def llm(url: str) -> OpenAILlm:
    return OpenAILlm(model="x", client=AsyncOpenAI(api_key="k", base_url=url, max_retries=0))


def finals(events: list[AgentEvent]) -> list[str]:
    return [event.text for event in of(events, TextFinal)]


def ask(question: str) -> None:
    """Ask the human."""


async def test_several_calls_that_wait_are_asked_about_one_after_the_other() -> None:
    both = tool_call("ask", {"question": "Which year?"}) + tool_call("ask", {"question": "Where?"})
    model = ScriptedModel([both, text("Ulm in 2025.")])
    async with model.serve() as url:

        def agent() -> Agent:
            return wrap(LlmAgent(name="a", model=llm(url), tools=[LongRunningFunctionTool(ask)]))

        task = task_for("When?")
        events = await collect(agent(), task)
        assert asked(events).prompt == "Which year?"
        assert len(of(events, ToolCall)) == 2
        events = await collect(agent(), answering(task, asked(events), "2025"))
        assert asked(events).prompt == "Where?"
        assert len(model.requests) == 1
        events = await collect(agent(), answering(task, asked(events), "Ulm"))
    assert finals(events) == ["Ulm in 2025."]
    assert [json.loads(r)["result"] for r in model.requests[1].tool_results] == ["2025", "Ulm"]


async def test_what_was_told_before_the_pause_is_not_told_again() -> None:
    def wipe(disk: str) -> str:
        """Wipe a disk."""
        return "wiped"

    first = text("Let me see. ") + tool_call("wipe", {"disk": "a"})
    async with ScriptedModel([first, text("Done.")]).serve() as url:
        tool = FunctionTool(wipe, require_confirmation=True)
        agent = wrap(LlmAgent(name="a", model=llm(url), tools=[tool]))
        task = task_for("Wipe a")
        before = await collect(agent, task)
        after = await collect(agent, answering(task, asked(before), "yes"))
    assert (finals(before), finals(after)) == (["Let me see. "], ["Done."])
    ((call,), results) = of(before, ToolCall), of(before, ToolResult)
    assert results == []  # that it needs approval is no result
    assert [e.kind for e in after if not isinstance(e, TextDelta | Usage)] == [
        "tool_result",
        "text_final",
        "completed",
    ]
    assert [(r.call_id, r.content) for r in of(after, ToolResult)] == [(call.call_id, "wiped")]


async def test_a_sub_agent_that_waits_goes_on_and_gives_its_result() -> None:
    def wipe(disk: str) -> str:
        """Wipe a disk."""
        return "wiped"

    calls = [tool_call("helper", {"request": "a"}), tool_call("wipe", {"disk": "a"})]
    async with ScriptedModel([*calls, text("It is gone."), text("Done.")]).serve() as url:

        def agent() -> Agent:
            tools = [FunctionTool(wipe, require_confirmation=True)]
            told = {"name": "helper", "description": "Helps.", "mode": "single_turn"}
            helper = LlmAgent(**told, model=llm(url), tools=tools)
            return wrap(LlmAgent(name="boss", model=llm(url), sub_agents=[helper]))

        task = task_for("Wipe a")
        events = await collect(agent(), task)
        events = await collect(agent(), answering(task, asked(events), "yes"))
    results = [(r.name, r.content) for r in of(events, ToolResult)]
    assert results == [("wipe", "wiped"), ("helper", "It is gone.")]
    assert finals(events) == ["It is gone.", "Done."]


async def test_what_waits_in_an_agent_that_is_a_tool_is_told_to_the_model() -> None:
    calls = [tool_call("helper", {"request": "a"}), tool_call("ask", {"question": "Well?"})]
    async with ScriptedModel([*calls, text("It cannot be asked.")]).serve() as url:
        helper = LlmAgent(name="helper", model=llm(url), tools=[LongRunningFunctionTool(ask)])
        agent = wrap(LlmAgent(name="boss", model=llm(url), tools=[AgentTool(helper)]))
        events = await collect(agent, task_for("?"))
    (result,) = of(events, ToolResult)
    assert "AgentTool cannot resume" in result.content
    assert isinstance(events[-1], Completed)


async def test_whoever_answers_goes_on_in_the_session_of_who_asked() -> None:
    async with ScriptedModel(
        [tool_call("ask", {"question": "Well?"}), text("So be it.")]
    ).serve() as url:
        agent = wrap(LlmAgent(name="a", model=llm(url), tools=[LongRunningFunctionTool(ask)]))
        task = task_for("?")
        again = answering(task, asked(await collect(agent, task)), "yes")
        boss = replace(again, principal=Principal("local", "boss"))
        assert finals(await collect(agent, boss)) == ["So be it."]


async def test_a_tool_that_says_pending_is_waited_for_and_one_that_answers_is_not() -> None:
    def buy(what: str) -> dict[str, str]:
        """Order."""
        return {"status": "pending"} if what == "car" else {"status": "bought"}

    script = [
        tool_call("buy", {"what": "pen"}) + tool_call("buy", {"what": "car"}),
        text("The car has to be approved."),
        text("You have a car."),
    ]
    model = ScriptedModel(script)
    async with model.serve() as url:
        agent = wrap(LlmAgent(name="a", model=llm(url), tools=[LongRunningFunctionTool(buy)]))
        task = task_for("Buy a pen and a car")
        events = await collect(agent, task)
        assert asked(events).prompt == 'buy({"what": "car"}) waits for its result'
        assert finals(events) == ["The car has to be approved."]
        events = await collect(agent, answering(task, asked(events), "approved"))
    assert finals(events) == ["You have a car."]
    assert "approved" in model.requests[-1].text


async def test_state_and_artifacts_are_there_after_the_pause() -> None:
    async def note(tool_context: ToolContext) -> str:
        """Note."""
        tool_context.state["place"] = "Ulm"
        for content in (b"one", b"two"):
            part = types.Part.from_bytes(data=content, mime_type="text/plain")
            await tool_context.save_artifact("n.txt", part)
        return "noted"

    async def read(tool_context: ToolContext) -> str:
        """Read."""
        one, two = [await tool_context.load_artifact("n.txt", v) for v in (0, 1)]
        said = b"".join(part.inline_data.data for part in (one, two) if part and part.inline_data)
        return f"{tool_context.state['place']}: {said.decode()}"

    script = [
        tool_call("note", {}),
        tool_call("ask", {"question": "Go on?"}),
        tool_call("read", {}),
        text("ok"),
    ]
    async with ScriptedModel(script).serve() as url:

        def agent() -> Agent:
            tools = [note, read, LongRunningFunctionTool(ask)]
            return wrap(LlmAgent(name="a", model=llm(url), tools=tools))

        task = task_for("?")
        events = await collect(agent(), task)
        assert [a.raw for a in of(events, ArtifactProduced)] == [b"two"]
        events = await collect(agent(), answering(task, asked(events), "yes"))
    results = {r.name: r.content for r in of(events, ToolResult)}
    assert results["read"] == "Ulm: onetwo"


@pytest.mark.filterwarnings("ignore:SequentialAgent is deprecated")
@pytest.mark.filterwarnings("ignore::UserWarning")
async def test_a_resumable_app_goes_on_where_it_was() -> None:
    script = [
        text("first"),
        tool_call("ask", {"question": "Go on?"}),
        text("second"),
        text("third"),
    ]
    async with ScriptedModel(script).serve() as url:

        def agent() -> Agent:
            asks = [LongRunningFunctionTool(ask)]
            parts = [
                LlmAgent(name="one", model=llm(url)),
                LlmAgent(name="two", model=llm(url), tools=asks),
                LlmAgent(name="three", model=llm(url)),
            ]
            root = SequentialAgent(name="all", sub_agents=parts)
            resumable = ResumabilityConfig(is_resumable=True)
            return wrap(App(name="trio", root_agent=root, resumability_config=resumable))

        assert agent().id == "trio"
        task = task_for("?")
        events = await collect(agent(), task)
        assert finals(events) == ["first"]
        events = await collect(agent(), answering(task, asked(events), "yes"))
    assert finals(events) == ["second", "third"]


async def test_a_workflow_asks_and_takes_an_answer_that_fits_only() -> None:
    async def choose(ctx: Any, node_input: str) -> Any:
        yield RequestInput(message="Which city?", response_schema=City)

    def count(node_input: Any) -> dict[str, Any]:
        return {"people": City.model_validate(node_input).people}

    def agent() -> Agent:
        return wrap(Workflow(name="flow", edges=[("START", choose, count)]))

    task = task_for("Count")
    events = await collect(agent(), task)
    request = asked(events)
    assert request.prompt == "Which city?"
    assert request.answer_schema is not None
    assert set(request.answer_schema["properties"]) == {"name", "people"}
    events = await collect(agent(), answering(task, request, "Ulm"))
    assert asked(events).prompt.startswith('The answer does not fit: "Ulm" is not of type "object"')
    said = answering(task, asked(events), '{"name": "Ulm", "people": 3}')
    events = await collect(agent(), said)
    assert [a.data for a in of(events, ArtifactProduced)] == [{"people": 3}]
    assert isinstance(events[-1], Completed)


async def test_a_confirmation_can_carry_data() -> None:
    async def pay(amount: int, tool_context: ToolContext) -> str:
        """Pay."""
        if tool_context.tool_confirmation is None:
            tool_context.request_confirmation(hint="How much may it be?", payload={"most": 0})
            return "asked"
        return f"paid {tool_context.tool_confirmation.payload['most']}"

    async with ScriptedModel([tool_call("pay", {"amount": 9}), text("Paid.")]).serve() as url:
        agent = wrap(LlmAgent(name="a", model=llm(url), tools=[pay]))
        task = task_for("Pay")
        request = asked(await collect(agent, task))
        assert request.prompt == 'How much may it be? (pay({"amount": 9}))'
        parts = [data_part({"type": "input_response", "confirmed": True, "payload": {"most": 5}})]
        again = replace(answering(task, request, ""), message=user_message(parts=parts))
        events = await collect(agent, again)
    assert [r.content for r in of(events, ToolResult)] == ["paid 5"]


async def test_what_cannot_be_stored_matters_only_to_a_run_that_waits() -> None:
    def lock(node_input: str) -> Any:
        return threading.Lock()

    def used(node_input: Any) -> str:
        return str(node_input.acquire())

    async def sure(ctx: Any, node_input: str) -> Any:
        yield RequestInput(message="Sure?")

    free = wrap(Workflow(name="flow", edges=[("START", lock, used)]))
    assert finals(await collect(free, task_for("?"))) == ["True"]
    asks = wrap(Workflow(name="flow", edges=[("START", lock, used, sure)]))
    (failed,) = of(await collect(asks, task_for("?")), Failed)
    assert "cannot wait for an answer" in failed.message


@pytest.mark.parametrize("state", ["", "[]", "{}", "no json"])
async def test_a_state_that_is_of_something_else_is_one_clear_failure(state: str) -> None:
    agent = wrap(LlmAgent(name="a", model=llm("http://127.0.0.1:9/v1")))
    (failed,) = await collect(agent, replace(task_for("?"), state=state))
    assert isinstance(failed, Failed)
    assert "agent 'a' cannot go on from what it kept" in failed.message


async def test_data_alone_is_the_input_where_it_has_a_schema() -> None:
    def size(node_input: City) -> dict[str, int]:
        return {"people": node_input.people}

    agent = wrap(Workflow(name="flow", input_schema=City, edges=[("START", size)]))
    message = user_message("Count", parts=[data_part({"name": "Ulm", "people": 3})])
    events = await collect(agent, replace(task_for(""), message=message))
    assert [a.data for a in of(events, ArtifactProduced)] == [{"people": 3}]


def test_credentials_are_asked_for_as_such() -> None:
    oauth = {"authUri": "https://login.example/?a=1", "clientId": "c"}
    config = {"exchangedAuthCredential": {"authType": "oauth2", "oauth2": oauth}}
    calls = [Call("1", CREDENTIAL, {"functionCallId": "0", "authConfig": config})]
    paused = Paused("u", "s", [], {}, calls)
    request = paused.request()
    assert request.request_kind == "auth"
    assert "https://login.example/?a=1" in request.prompt
    again = Paused.load(request.state or "")
    again.answered(user_message("https://back.example/?code=7"))
    ((call_id, name, given),) = again.answers
    assert (call_id, name) == ("1", CREDENTIAL)
    back = given["exchangedAuthCredential"]["oauth2"]
    assert back == {**oauth, "authResponseUri": "https://back.example/?code=7"}
