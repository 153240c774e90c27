"""What goes into LangGraph's graphs and comes out: data, files, progress, who speaks; limits."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypedDict

import pytest
from a2a.types import Part
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain.tools import ToolRuntime
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.config import get_stream_writer
from langgraph.func import entrypoint
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command
from pydantic import BaseModel

from codin.agent import wrap
from codin.agent.a2a import agent_message, data_part, text_part, user_message
from codin.agent.adapters.base import Adapter
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
    ToolOutput,
    ToolResult,
    Usage,
)
from codin.testing.agent_conformance import collect, of, task_for
from codin.testing.scripted_model import RecordedRequest, ScriptedModel, Turn, text, tool_call

pytestmark = pytest.mark.slow


class City(BaseModel):
    name: str
    people: int


class Step(BaseModel):
    kind: str
    number: int


class Question(TypedDict):
    question: str


class Reply(TypedDict):
    reply: str


class Trip(TypedDict):
    question: str
    days: int
    reply: str


class Located(MessagesState):
    city: str


def chat(url: str) -> ChatOpenAI:
    return ChatOpenAI(model="x", api_key="k", base_url=url, max_retries=0, stream_usage=True)


def finals(events: list[AgentEvent]) -> list[str]:
    return [event.text for event in of(events, TextFinal)]


# State, input and output


def planner() -> Any:
    def plan(state: Trip) -> dict[str, Any]:
        return {"reply": f"{state.get('days', 1)} days: {state['question']}"}

    builder = StateGraph(Trip, output_schema=Reply)
    builder.add_node("plan", plan)
    builder.add_edge(START, "plan")
    return builder.compile()


async def test_a_graph_without_messages_takes_data_and_gives_data() -> None:
    message = user_message(parts=[data_part({"question": "Ulm?", "days": 3})])
    events = await collect(wrap(planner()), replace(task_for(""), message=message))
    (made,) = of(events, ArtifactProduced)
    assert made.data == {"reply": "3 days: Ulm?"}
    assert finals(events) == ["3 days: Ulm?"]


async def test_text_goes_to_the_one_text_field_that_there_is() -> None:
    def plan(state: Trip) -> dict[str, Any]:
        return {"reply": state["question"].upper()}

    builder = StateGraph(Trip, input_schema=Question, output_schema=Reply)
    builder.add_node("plan", plan)
    builder.add_edge(START, "plan")
    assert finals(await collect(wrap(builder, id="a"), task_for("ulm"))) == ["ULM"]


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ([], "takes 'days', 'question', 'reply', and the message has no data part"),
        ([data_part({"town": "Ulm"})], "data has 'town', and the graph takes 'days'"),
    ],
)
async def test_input_that_the_graph_has_no_place_for_is_said_clearly(
    parts: list[Any], says: str
) -> None:
    task = replace(task_for(""), message=user_message("Ulm", parts=parts))
    failed = (await collect(wrap(planner()), task))[-1]
    assert isinstance(failed, Failed)
    assert says in failed.message


async def test_fields_beside_the_messages_are_given_by_data() -> None:
    def reply(state: Located) -> dict[str, Any]:
        asked = state["messages"][-1].text.splitlines()[0]
        return {"messages": [("ai", f"{asked}: {state['city']}")]}

    builder = StateGraph(Located)
    builder.add_node("reply", reply)
    builder.add_edge(START, "reply")
    message = user_message("Where", parts=[data_part({"city": "Ulm"})])
    events = await collect(wrap(builder, id="a"), replace(task_for(""), message=message))
    assert finals(events) == ["Where: Ulm"]


@entrypoint()
async def shout(said: str) -> str:
    return said.upper()


@entrypoint()
async def count(numbers: dict[str, list[int]]) -> dict[str, int]:
    return {"sum": sum(numbers["numbers"])}


async def test_the_functional_api_takes_text_or_data_and_gives_text_or_data() -> None:
    assert finals(await collect(wrap(shout), task_for("hey"))) == ["HEY"]
    message = user_message(parts=[data_part({"numbers": [1, 2]})])
    events = await collect(wrap(count), replace(task_for(""), message=message))
    assert [a.data for a in of(events, ArtifactProduced)] == [{"sum": 3}]


@entrypoint()
async def polite(said: str) -> list[AIMessage]:
    return [AIMessage(f"You say {said}.")]


async def test_messages_that_the_functional_api_gives_are_told_as_text() -> None:
    events = await collect(wrap(polite), task_for("hey"))
    assert finals(events) == ["You say hey."]
    assert of(events, ArtifactProduced) == []


@pytest.mark.parametrize("strategy", [ToolStrategy, ProviderStrategy])
async def test_a_response_format_is_told_as_data(strategy: Any) -> None:
    answer = '{"name": "Ulm", "people": 126000}'
    turn = text(answer) if strategy is ProviderStrategy else tool_call("City", json.loads(answer))
    async with ScriptedModel([turn]).serve() as url:
        agent = wrap(create_agent(chat(url), [], response_format=strategy(City)), id="a")
        events = await collect(agent, task_for("Which city?"))
    (made,) = of(events, ArtifactProduced)
    assert (made.name, made.data) == ("City", json.loads(answer))
    assert made.media_type == "application/json"
    assert finals(events) == ([answer] if strategy is ProviderStrategy else [])


# What it says besides


async def test_what_is_written_into_the_stream_is_told() -> None:
    @tool
    def look(place: str) -> str:
        """Look."""
        write = get_stream_writer()
        write("half")
        write({"done": 2})
        write(Thought(text="Hm."))
        write(Step(kind="step", number=3))
        write(Completed())  # the end is not theirs to say
        return "seen"

    async with ScriptedModel([tool_call("look", {"place": "a"}), text("ok")]).serve() as url:
        events = await collect(wrap(create_agent(chat(url), [look]), id="a"), task_for("?"))
    (call,) = of(events, ToolCall)
    told = [(o.call_id, o.name, o.stream, o.text) for o in of(events, ToolOutput)]
    assert told == [
        (call.call_id, "look", "progress", "half\n"),
        (call.call_id, "look", "progress", '{"done": 2}\n'),
        (call.call_id, "look", "progress", '{"kind": "step", "number": 3}\n'),
    ]
    assert [t.text for t in of(events, Thought)] == ["Hm."]
    assert finals(events) == ["ok"]
    assert of(events, Completed) == [events[-1]]


async def test_reasoning_of_a_model_is_told_as_thoughts() -> None:
    class Thinking(BaseChatModel):  # type: ignore[misc]
        @property
        def _llm_type(self) -> str:
            return "thinking"

        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError

        async def _astream(self, messages: Any, **kwargs: Any) -> Any:
            for content in (
                [{"type": "reasoning", "reasoning": "Let me "}],
                [{"type": "reasoning", "reasoning": "see."}],
                [{"type": "text", "text": "Yes."}],
            ):
                yield ChatGenerationChunk(message=AIMessageChunk(content))

    events = await collect(wrap(create_agent(Thinking(), []), id="a"), task_for("?"))
    assert [t.text for t in of(events, Thought)] == ["Let me ", "see."]
    assert finals(events) == ["Yes."]


async def test_agents_in_a_tool_are_told_with_the_way_there_and_back() -> None:
    async with ScriptedModel(
        [tool_call("research", {"topic": "Ulm"}), text("It has a minster."), text("A minster.")]
    ).serve() as url:
        scholar = create_agent(chat(url), [], name="scholar")

        @tool
        async def research(topic: str) -> str:
            """Ask the scholar."""
            done = await scholar.ainvoke({"messages": [("user", topic)]})
            return str(done["messages"][-1].text)

        boss = create_agent(chat(url), [research], name="boss")
        events = await collect(wrap(boss), task_for("Ulm?"))
    assert [(h.from_agent, h.to_agent) for h in of(events, HandOff)] == [
        ("boss", "scholar"),
        ("scholar", "boss"),
    ]
    assert finals(events) == ["It has a minster.", "A minster."]
    assert [r.content for r in of(events, ToolResult)] == ["It has a minster."]
    assert len(of(events, Usage)) == 3


async def test_branches_that_speak_at_once_are_not_mixed() -> None:
    def echo(request: RecordedRequest) -> Turn:
        return text("spring " * 20 if "spring" in request.text else "autumn " * 20, delay=0.005)

    model = ScriptedModel(echo)
    async with model.serve() as url:
        builder = StateGraph(MessagesState)
        for season in ("spring", "autumn"):
            builder.add_node(season, create_agent(chat(url), [], system_prompt=season))
            builder.add_edge(START, season)
        events = await collect(wrap(builder, id="a"), task_for("?"))
    deltas = of(events, TextDelta)
    ids = {d.message_id for d in deltas}
    assert len(ids) == 2
    for message_id in ids:
        whole = "".join(d.text for d in deltas if d.message_id == message_id)
        assert whole in {"spring " * 20, "autumn " * 20}
    assert len(of(events, HandOff)) == 1


async def test_files_of_messages_are_artifacts() -> None:
    pixel = base64.b64encode(b"\x89PNG").decode()

    def draw(state: MessagesState) -> dict[str, Any]:
        image = {"type": "image", "base64": pixel, "mime_type": "image/png"}
        link = {"type": "file", "url": "https://example.org/a.pdf", "mime_type": "application/pdf"}
        return {"messages": [AIMessage([{"type": "text", "text": "Here."}, image, link])]}

    builder = StateGraph(MessagesState)
    builder.add_node("draw", draw)
    builder.add_edge(START, "draw")
    events = await collect(wrap(builder, id="a"), task_for("Draw"))
    first, second = of(events, ArtifactProduced)
    assert (first.raw, first.media_type) == (b"\x89PNG", "image/png")
    assert (second.url, second.media_type) == ("https://example.org/a.pdf", "application/pdf")
    assert finals(events) == ["Here."]


async def test_a_file_is_shown_to_the_model_in_a_block_of_its_kind() -> None:
    model = ScriptedModel([text("A dot.")])
    async with model.serve() as url:
        agent = wrap(create_agent(chat(url), []), id="a")
        assert isinstance(agent, Adapter)
        picture = Part(raw=b"\x89PNG", media_type="image/png", filename="p.png")
        paper = Part(raw=b"%PDF", media_type="application/pdf", filename="p.pdf")
        message = user_message("What?", parts=[picture, paper])
        await collect(agent, replace(task_for(""), message=message))
    assert "image/*" in agent.info.input_modes
    kinds = [block["type"] for block in model.requests[0].messages[-1]["content"]]
    assert kinds == ["text", "image_url", "file"]


async def test_files_of_earlier_messages_are_shown_again() -> None:
    model = ScriptedModel([text("A dot.")])
    async with model.serve() as url:
        picture = Part(raw=b"\x89PNG", media_type="image/png", filename="p.png")
        archive = Part(raw=b"PK", media_type="application/zip", filename="a.zip")
        before = user_message("Mine.", parts=[picture, archive])
        history = [before, agent_message([text_part("Nice."), picture])]
        agent = wrap(create_agent(chat(url), []), id="a")
        await collect(agent, task_for("What was it?", history=history))
    assert [m["role"] for m in model.requests[0].messages] == ["user", "assistant", "user"]
    assert model.requests[0].images == ["data:image/png;base64,iVBORw=="]


async def test_files_in_what_a_tool_says_are_artifacts() -> None:
    @tool
    def draw() -> list[dict[str, str]]:
        """Draw."""
        image = {"type": "image", "base64": "iVBORw==", "mime_type": "image/png"}
        return [{"type": "text", "text": "drawn"}, image]

    async with ScriptedModel([tool_call("draw", {}), text("ok")]).serve() as url:
        events = await collect(wrap(create_agent(chat(url), [draw]), id="a"), task_for("?"))
    (made,) = of(events, ArtifactProduced)
    assert (made.raw, made.media_type) == (b"\x89PNG", "image/png")
    assert [r.content for r in of(events, ToolResult)] == ["drawn"]


async def test_a_graphs_store_is_its_own_and_lasts() -> None:
    @tool
    async def note(runtime: ToolRuntime) -> int:
        """Count."""
        store = runtime.store
        assert store is not None
        before = await store.aget(("notes",), "n")
        number = before.value["n"] + 1 if before else 1
        await store.aput(("notes",), "n", {"n": number})
        return number

    async with ScriptedModel([tool_call("note", {}), text("ok")] * 2).serve() as url:
        agent = wrap(create_agent(chat(url), [note], store=InMemoryStore()), id="a")
        told = []
        for _ in range(2):
            told += [r.content for r in of(await collect(agent, task_for("?")), ToolResult)]
    assert told == ["1", "2"]


# Limits


async def test_the_steps_that_a_graph_may_take_are_its_own() -> None:
    def again(state: Trip) -> Command[Any]:
        return Command(goto="again")

    builder = StateGraph(Trip, input_schema=Question)
    builder.add_node("again", again)
    builder.add_edge(START, "again")
    graph = builder.compile().with_config(recursion_limit=7)
    events = await collect(wrap(graph, id="loop"), task_for("?"))
    (failed,) = of(events, Failed)
    assert failed.error_type == "TooManySteps"
    assert "loop" in failed.message
    assert "7" in failed.message


async def test_requests_are_counted_also_where_a_graph_takes_errors_for_granted() -> None:
    async with ScriptedModel(lambda _: text("again")).serve() as url:

        async def stubborn(state: MessagesState) -> dict[str, Any]:
            for _ in range(5):
                with suppress(Exception):
                    await chat(url).ainvoke("go on")
            return {"messages": [("ai", "I give up")]}

        builder = StateGraph(MessagesState)
        builder.add_node("stubborn", stubborn)
        builder.add_edge(START, "stubborn")
        agent = wrap(builder, id="a")
        assert isinstance(agent, Adapter)
        agent.max_model_calls = 3
        events = await collect(agent, task_for("?"))
    assert isinstance(events[-1], Failed)
    assert events[-1].error_type == "TooManySteps"
