"""ADK's agents of several: trees, workflows, apps, agents as tools; and what they make and say."""

from __future__ import annotations

from typing import Any

import pytest
from a2a.types import Part
from google.adk.agents import LlmAgent, LoopAgent, ParallelAgent, SequentialAgent
from google.adk.apps import App
from google.adk.integrations.openai import OpenAILlm
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.planners import PlanReActPlanner
from google.adk.plugins.base_plugin import BasePlugin
from google.adk.tools import ToolContext, exit_loop
from google.adk.tools.agent_tool import AgentTool
from google.adk.workflow import Workflow
from google.genai import types
from openai import AsyncOpenAI
from pydantic import BaseModel

from codin.agent import wrap
from codin.agent.a2a import agent_message, text_part, user_message
from codin.agent.events import (
    AgentEvent,
    ArtifactProduced,
    Completed,
    Failed,
    HandOff,
    TextDelta,
    TextFinal,
    Thought,
    ToolCall,
    ToolResult,
    Usage,
)
from codin.testing.agent_conformance import adding_tool, collect, of, task_for
from codin.testing.scripted_model import (
    RecordedRequest,
    ScriptedModel,
    Turn,
    text,
    tool_call,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:(Sequential|Parallel|Loop)Agent is deprecated"),
    pytest.mark.filterwarnings("ignore:The `plugins` argument is deprecated"),
]


class City(BaseModel):
    name: str
    people: int


def llm(url: str) -> OpenAILlm:
    return OpenAILlm(model="x", client=AsyncOpenAI(api_key="k", base_url=url, max_retries=0))


def finals(events: list[AgentEvent]) -> list[str]:
    return [event.text for event in of(events, TextFinal)]


def passed(events: list[AgentEvent]) -> list[tuple[str, str]]:
    return [(e.from_agent, e.to_agent) for e in of(events, HandOff)]


async def test_every_agent_of_the_tree_has_the_tools_and_the_tree_is_left_alone() -> None:
    script = [
        tool_call("transfer_to_agent", {"agent_name": "adder"}),
        tool_call("add", {"a": 1, "b": 2}),
        text("It is 3."),
    ]
    model = ScriptedModel(script)
    async with model.serve() as url:
        adder = LlmAgent(name="adder", model=llm(url), description="Adds.")
        root = LlmAgent(name="router", model=llm(url), instruction="You route", sub_agents=[adder])
        events = await collect(wrap(root), task_for("1+2?", tools=[adding_tool()]))
    assert passed(events) == [("router", "adder")]
    assert "add" in model.requests[1].tools
    assert finals(events)[-1] == "It is 3."
    assert (root.tools, adder.tools, adder.parent_agent) == ([], [], root)


async def test_agents_in_sequence_speak_one_after_the_other() -> None:
    model = ScriptedModel([text("first"), text("second")])
    async with model.serve() as url:
        parts = [LlmAgent(name=name, model=llm(url)) for name in ("one", "two")]
        agent = wrap(SequentialAgent(name="both", sub_agents=parts))
        events = await collect(agent, task_for("?", tools=[adding_tool()]))
    assert finals(events) == ["first", "second"]
    assert passed(events) == [("one", "two")]
    assert isinstance(events[-1], Completed)
    assert [r.tools for r in model.requests] == [["add"], ["add"]]


async def test_agents_side_by_side_do_not_mix_their_texts() -> None:
    def season(request: RecordedRequest) -> Turn:
        return text("spring " * 20 if "spring" in request.text else "autumn " * 20, delay=0.005)

    async with ScriptedModel(season).serve() as url:
        parts = [LlmAgent(name=name, model=llm(url)) for name in ("spring", "autumn")]
        agent = wrap(ParallelAgent(name="year", sub_agents=parts))
        events = await collect(agent, task_for("?"))
    pieces: dict[str, str] = {}
    for delta in of(events, TextDelta):
        pieces[delta.message_id] = pieces.get(delta.message_id, "") + delta.text
    assert sorted(pieces.values()) == ["autumn " * 20, "spring " * 20]
    assert sorted(finals(events)) == sorted(pieces.values())
    order = [delta.message_id for delta in of(events, TextDelta)]
    assert order != sorted(order, key=order.index)  # they did speak at once
    assert len(passed(events)) == 1


async def test_a_loop_goes_round_until_somebody_leaves_it() -> None:
    script = [text("draft"), text("draft again"), tool_call("exit_loop", {})]
    model = ScriptedModel(script)
    async with model.serve() as url:
        writer = LlmAgent(name="writer", model=llm(url), tools=[exit_loop])
        events = await collect(wrap(LoopAgent(name="loop", sub_agents=[writer])), task_for("?"))
    assert finals(events)[:2] == ["draft", "draft again"]
    assert isinstance(events[-1], Completed)
    assert model.pending == 0


async def test_a_loop_without_an_end_is_one_clear_failure() -> None:
    async with ScriptedModel(lambda _: text("again")).serve() as url:
        writer = LlmAgent(name="writer", model=llm(url))
        events = await collect(wrap(LoopAgent(name="loop", sub_agents=[writer])), task_for("?"))
    (failed,) = of(events, Failed)
    assert failed is events[-1]
    assert (failed.error_type, "loop" in failed.message) == ("TooManySteps", True)


async def test_what_an_agent_says_that_is_a_tool_of_another_is_told() -> None:
    script = [
        tool_call("helper", {"request": "1+2"}),
        tool_call("own", {"x": 2}),
        text("four"),
        text("It is four."),
    ]

    def own(x: int) -> dict[str, int]:
        """Doubles."""
        return {"double": 2 * x}

    async with ScriptedModel(script).serve() as url:
        helper = LlmAgent(name="helper", model=llm(url), description="Helps.", tools=[own])
        boss = LlmAgent(name="boss", model=llm(url), tools=[AgentTool(helper)])
        events = await collect(wrap(boss), task_for("?"))
    assert passed(events) == [("boss", "helper"), ("helper", "boss")]
    assert [c.name for c in of(events, ToolCall)] == ["helper", "own"]
    assert [(r.name, r.content) for r in of(events, ToolResult)] == [
        ("own", {"double": 4}),
        ("helper", "four"),
    ]
    assert finals(events) == ["four", "It is four."]
    assert len(of(events, Usage)) == 4


async def test_a_sub_agent_of_one_turn_is_told_once() -> None:
    script = [tool_call("helper", {"request": "x"}), text("helped"), text("done")]
    async with ScriptedModel(script).serve() as url:
        helper = LlmAgent(name="helper", model=llm(url), description="Helps.", mode="single_turn")
        boss = LlmAgent(name="boss", model=llm(url), sub_agents=[helper])
        events = await collect(wrap(boss), task_for("?"))
    assert finals(events) == ["helped", "done"]
    assert [(r.name, r.content) for r in of(events, ToolResult)] == [("helper", "helped")]


async def test_a_workflow_of_nodes_ends_with_its_output() -> None:
    def loud(node_input: str) -> str:
        return node_input.upper()

    def measured(node_input: str) -> dict[str, Any]:
        return {"text": node_input, "size": len(node_input)}

    model = ScriptedModel([text("written"), text("written")])
    async with model.serve() as url:
        writer = LlmAgent(name="writer", model=llm(url))
        agent = wrap(Workflow(name="flow", edges=[("START", writer, loud)]))
        events = await collect(agent, task_for("?", tools=[adding_tool()]))
        assert (agent.id, finals(events)) == ("flow", ["written", "WRITTEN"])
        assert of(events, ArtifactProduced) == []
        agent = wrap(Workflow(name="flow", edges=[("START", writer, loud, measured)]))
        events = await collect(agent, task_for("?"))
    (made,) = of(events, ArtifactProduced)
    assert made.data == {"text": "WRITTEN", "size": 7}
    assert [r.tools for r in model.requests] == [["add"], []]
    assert writer.tools == []


async def test_an_app_keeps_its_plugins() -> None:
    heard: list[str] = []

    class Hears(BasePlugin):  # type: ignore[misc]
        async def on_event_callback(self, *, invocation_context: Any, event: Any) -> None:
            heard.append(event.author)

    async with ScriptedModel([text("ok")]).serve() as url:
        app = App(
            name="desk",
            root_agent=LlmAgent(name="clerk", model=llm(url), description="Files."),
            plugins=[Hears("hears")],
        )
        agent = wrap(app)
        events = await collect(agent, task_for("?"))
    assert (agent.id, finals(events)) == ("desk", ["ok"])
    assert set(heard) == {"clerk"}
    assert len(app.plugins) == 1


async def test_a_callback_that_raises_is_one_failure_that_says_so() -> None:
    def refuse(callback_context: Any) -> None:
        raise ValueError("not on Sundays")

    async with ScriptedModel([text("ok")]).serve() as url:
        agent = wrap(LlmAgent(name="a", model=llm(url), before_agent_callback=refuse))
        events = await collect(agent, task_for("?"))
    (failed,) = of(events, Failed)
    assert (failed.error_type, failed.message) == ("ValueError", "not on Sundays")
    assert failed is events[-1]


async def test_the_plan_of_a_planner_is_thought_and_not_answer() -> None:
    said = "/*PLANNING*/ look first /*REASONING*/ I looked /*FINAL_ANSWER*/ Yes."
    async with ScriptedModel([text(said)]).serve() as url:
        agent = wrap(LlmAgent(name="a", model=llm(url), planner=PlanReActPlanner()))
        events = await collect(agent, task_for("?"))
    assert [f.strip() for f in finals(events)] == ["Yes."]
    thoughts = "".join(t.text for t in of(events, Thought))
    assert "look first" in thoughts
    assert "I looked" in thoughts


class Thinking(BaseLlm):  # type: ignore[misc]
    """A model of one's own, which thinks and draws."""

    async def generate_content_async(self, llm_request: Any, stream: bool = False) -> Any:
        hm, yes = types.Part(text="Hm.", thought=True), types.Part(text="Yes.")
        picture = types.Part.from_bytes(data=b"\x89PNG", mime_type="image/png")
        for parts, partial in (([hm], True), ([yes], True), ([hm, yes, picture], False)):
            yield LlmResponse(content=types.Content(role="model", parts=parts), partial=partial)


async def test_thoughts_and_files_of_a_model_are_told_once() -> None:
    events = await collect(wrap(LlmAgent(name="a", model=Thinking(model="t"))), task_for("?"))
    assert [t.text for t in of(events, Thought)] == ["Hm."]
    assert [d.text for d in of(events, TextDelta)] == ["Yes."]
    assert finals(events) == ["Yes."]
    (made,) = of(events, ArtifactProduced)
    assert (made.raw, made.media_type) == (b"\x89PNG", "image/png")


async def test_files_of_earlier_messages_are_shown_again() -> None:
    model = ScriptedModel([text("A dot.")])
    async with model.serve() as url:
        picture = Part(raw=b"\x89PNG", media_type="image/png", filename="p.png")
        archive = Part(raw=b"PK", media_type="application/zip", filename="a.zip")
        before = user_message("Mine.", parts=[picture, archive])
        history = [before, agent_message([text_part("Nice."), picture])]
        agent = wrap(LlmAgent(name="a", model=llm(url)))
        await collect(agent, task_for("What was it?", history=history))
    said = [m["role"] for m in model.requests[0].messages if m["role"] != "system"]
    assert said == ["user", "assistant", "user"]
    assert model.requests[0].images == ["data:image/png;base64,iVBORw=="]


async def test_output_with_a_schema_is_data_also_where_there_are_tools() -> None:
    def look(x: int) -> str:
        """Look."""
        return "Ulm"

    script = [
        tool_call("look", {"x": 1}),
        tool_call("set_model_response", {"name": "Ulm", "people": 3}),
    ]
    async with ScriptedModel(script).serve() as url:
        agent = wrap(LlmAgent(name="a", model=llm(url), output_schema=City, tools=[look]))
        events = await collect(agent, task_for("?"))
    (made,) = of(events, ArtifactProduced)
    assert (made.name, made.data) == ("City", {"name": "Ulm", "people": 3})


async def test_each_turn_begins_with_an_empty_state() -> None:
    def count(tool_context: ToolContext) -> int:
        """Count."""
        tool_context.state["n"] = tool_context.state.get("n", 0) + 1
        return tool_context.state["n"]  # type: ignore[no-any-return]

    async with ScriptedModel([tool_call("count", {}), text("ok")] * 2).serve() as url:
        agent = wrap(LlmAgent(name="a", model=llm(url), tools=[count]))
        for _ in range(2):
            events = await collect(agent, task_for("?", task_id="same"))
            assert [r.content for r in of(events, ToolResult)] == [1]
