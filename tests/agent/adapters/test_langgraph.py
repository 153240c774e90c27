"""LangGraph's graphs: the suite, and what is their own."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain.tools import ToolRuntime
from langchain_core.documents.base import Blob
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, ToolMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.tools import tool
from langchain_deepseek import ChatDeepSeek
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph, add_messages
from langgraph.types import Command, interrupt

from codin.agent import Agent, wrap
from codin.agent.events import (
    AgentEvent,
    Completed,
    TextDelta,
    TextFinal,
    Usage,
)
from codin.testing.agent_conformance import (
    AgentConformance,
    Scene,
    adding_tool,
    behaviour,
    collect,
    task_for,
)
from codin.testing.scripted_model import ScriptedModel, text, thought, tool_call

pytestmark = pytest.mark.slow

PLACE = {
    "title": "Place",
    "description": "A place.",
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
}


class Kind(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    kind: str


def chat(url: str) -> ChatOpenAI:
    return ChatOpenAI(model="x", api_key="k", base_url=url, stream_usage=True, max_retries=0)


def finals(events: list[AgentEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, TextFinal)]


class TestLangGraph(AgentConformance):
    title = "LangGraph"
    chat: Any = staticmethod(chat)

    async def make(self, base_url: str) -> Agent:
        def graph(tools: list[Any]) -> Any:
            return create_agent(self.chat(base_url), tools)

        return wrap(graph, framework="langgraph")

    @behaviour("thoughts")
    async def test_tells_its_thoughts_apart_from_its_text(self) -> None:
        # with a model class that knows them: that for OpenAI does not, as is shown below
        self.chat = lambda url: ChatDeepSeek(model="x", api_key="k", api_base=url, max_retries=0)
        await super().test_tells_its_thoughts_apart_from_its_text()

    async def test_bare_thoughts(self) -> None:
        async with ScriptedModel([thought("Let me see. ") + text("Yes.")]).serve() as url:
            chunks = [chunk async for chunk in chat(url).astream("?")]
        assert "".join(chunk.text for chunk in chunks) == "Yes."
        assert "Let me see" not in repr(chunks)

    def asking(self) -> Scene:
        @tool
        def ask(about: str) -> str:
            """Ask the human."""
            return str(interrupt({"question": f"Which {about}?"}))

        return Scene(
            [tool_call("ask", {"about": "city"}), text("Booked.")],
            lambda url: wrap(create_agent(chat(url), [ask]), id="asking"),
        )

    def approving(self) -> Scene:
        wiped: list[str] = []

        @tool
        async def wipe(disk: str) -> str:
            """Wipe a disk."""
            wiped.append(disk)
            return "wiped"

        def make(url: str) -> Agent:
            careful = HumanInTheLoopMiddleware({"wipe": True})
            return wrap(create_agent(chat(url), [wipe], middleware=[careful]), id="approving")

        both = tool_call("wipe", {"disk": "a"}) + tool_call("wipe", {"disk": "b"})
        return Scene([both, text("That is it.")], make, wiped)

    def handing_off(self) -> Scene:
        @tool
        def to_back(runtime: ToolRuntime) -> Command[Any]:
            """Pass on to back."""
            done = ToolMessage("passed on", tool_call_id=runtime.tool_call_id)
            update = {"messages": [*runtime.state["messages"], done]}
            return Command(goto="back", graph=Command.PARENT, update=update)

        def make(url: str) -> Agent:
            builder = StateGraph(MessagesState)
            builder.add_node("front", create_agent(chat(url), [to_back]), destinations=("back",))
            builder.add_node("back", create_agent(chat(url), []))
            builder.add_edge(START, "front")
            return wrap(builder.compile(), id="both")

        script = [text("I pass on. ") + tool_call("to_back", {}), text("It is 3.")]
        return Scene(script, make)

    def structuring(self) -> Scene:
        return Scene(
            [tool_call("Place", {"city": "Paris", "people": 2})],
            lambda url: wrap(create_agent(chat(url), [], response_format=PLACE), id="place"),
        )

    def making_files(self) -> Scene:
        @tool(response_format="content_and_artifact")
        def write() -> tuple[str, Blob]:
            """Write a note."""
            note = Blob.from_data(b"hello", mime_type="text/plain", path="note.txt")
            return "written", note

        return Scene(
            [tool_call("write", {}), text("Done.")],
            lambda url: wrap(create_agent(chat(url), [write]), id="writer"),
        )


async def test_a_graph_whose_nodes_ask_the_model_for_themselves_ends_with_its_answer() -> None:
    model = ScriptedModel([text("a question of arithmetic")])
    async with model.serve() as url:

        async def classify(state: Any) -> dict[str, Any]:
            return {"kind": (await chat(url).ainvoke("what kind?")).content}

        def reply(state: Any) -> dict[str, Any]:
            return {"messages": [AIMessage(f"It is {state['kind']}.")]}

        builder = StateGraph(Kind)
        builder.add_node("classify", classify)
        builder.add_node("reply", reply)
        builder.add_edge(START, "classify")
        builder.add_edge("classify", "reply")
        outcome = await (await wrap(builder).handle(task_for("1+2?")))
    assert outcome.text == "It is a question of arithmetic."


async def test_what_a_tool_returns_directly_is_the_answer() -> None:
    @tool(return_direct=True)
    def look(path: str) -> str:
        """Look at a file."""
        return f"{path} has 3 rows"

    model = ScriptedModel([tool_call("look", {"path": "a.csv"})])
    async with model.serve() as url:
        agent = wrap(create_agent(chat(url), [look]), id="scout")
        events = await collect(agent, task_for("What is in a.csv?"))
    assert finals(events)[-1] == "a.csv has 3 rows"
    assert events[-1] == Completed()


async def test_messages_of_a_graph_inside_a_graph_are_told_once() -> None:
    model = ScriptedModel([tool_call("add", {"a": 1, "b": 2}), text("It is 3.")])
    async with model.serve() as url:

        def build(tools: list[Any]) -> Any:
            builder = StateGraph(MessagesState)
            builder.add_node("inner", create_agent(chat(url), tools))
            builder.add_edge(START, "inner")
            return builder.compile()

        agent = wrap(build, framework="langgraph")
        events = await collect(agent, task_for("1+2?", tools=[adding_tool()]))
    assert [e.kind for e in events if not isinstance(e, TextDelta | Usage)] == [
        "tool_call",
        "tool_result",
        "text_final",
        "completed",
    ]
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "It is 3."


async def test_a_graphs_own_checkpointer_is_left_alone() -> None:
    saver = InMemorySaver()
    model = ScriptedModel(lambda _: text("ok"))
    async with model.serve() as url:
        graph = create_agent(chat(url), [], checkpointer=saver)
        agent = wrap(graph)
        await collect(agent, task_for("one"))
    assert graph.checkpointer is saver
    assert saver.storage == {}


async def test_a_model_that_misses_its_cancellation_is_stopped_at_its_next_chunk() -> None:
    chunks: list[str] = []

    class Deaf(BaseChatModel):  # type: ignore[misc]
        @property
        def _llm_type(self) -> str:
            return "deaf"

        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError

        async def _astream(self, messages: Any, **kwargs: Any) -> Any:
            for number in range(500):
                # As wait_for does when the chunk comes together with the cancellation.
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.02)
                chunks.append(str(number))
                yield ChatGenerationChunk(message=AIMessageChunk(f"{number} "))

    agent = wrap(create_agent(Deaf(), []), id="deaf")
    events = aiter(await agent.handle(task_for("?")))
    await anext(events)
    async with asyncio.timeout(5):
        await events.aclose()  # type: ignore[attr-defined]
    heard = len(chunks)
    await asyncio.sleep(0.1)
    assert heard == len(chunks) < 20
