"""What is particular to one framework."""

from __future__ import annotations

import json
from typing import Annotated, Any, TypedDict

import pytest
from pydantic import BaseModel

from codin.agent import Agent, Task, wrap
from codin.agent.a2a import agent_message, data_part, text_part, user_message
from codin.agent.adapters._run import Run, answer, past, prompt
from codin.agent.events import (
    AgentEvent,
    Completed,
    Failed,
    HandOff,
    TextDelta,
    TextFinal,
    Thought,
    ToolCall,
    ToolResult,
)
from codin.testing.agent_conformance import adding_tool, task_for
from codin.testing.scripted_model import ScriptedModel, text, tool_call

pytestmark = pytest.mark.slow


async def collect(agent: Agent, task: Task) -> list[AgentEvent]:
    return [event async for event in await agent.handle(task)]


def finals(events: list[AgentEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, TextFinal)]


def llm(url: str) -> Any:
    from google.adk.integrations.openai import OpenAILlm

    return OpenAILlm(model="x", api_key="k", base_url=url)


def chat(url: str) -> Any:
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model="x", api_key="k", base_url=url, max_retries=0)


# ADK


async def test_adk_hands_off_and_every_agent_of_the_tree_has_the_tools() -> None:
    from google.adk.agents import LlmAgent

    script = [
        tool_call("transfer_to_agent", {"agent_name": "adder"}),
        tool_call("add", {"a": 1, "b": 2}),
        text("It is 3."),
    ]
    model = ScriptedModel(script)
    async with model.serve() as url:
        adder = LlmAgent(name="adder", model=llm(url), description="Adds.")
        root = LlmAgent(name="router", model=llm(url), instruction="You route", sub_agents=[adder])
        agent = wrap(root)
        events = await collect(agent, task_for("1+2?", tools=[adding_tool()]))
        assert [e for e in events if isinstance(e, HandOff)] == [
            HandOff(from_agent="router", to_agent="adder")
        ]
        assert "add" in model.requests[1].tools
        assert finals(events)[-1] == "It is 3."
        assert (root.tools, adder.tools, adder.parent_agent) == ([], [], root)


@pytest.mark.filterwarnings("ignore:SequentialAgent is deprecated")
async def test_adk_workflow_agents_speak_one_after_the_other() -> None:
    from google.adk.agents import LlmAgent, SequentialAgent

    model = ScriptedModel([text("first"), text("second")])
    async with model.serve() as url:
        parts = [LlmAgent(name=name, model=llm(url)) for name in ("one", "two")]
        agent = wrap(SequentialAgent(name="both", sub_agents=parts))
        events = await collect(agent, task_for("?", tools=[adding_tool()]))
    assert finals(events) == ["first", "second"]
    assert isinstance(events[-1], Completed)
    assert [r.tools for r in model.requests] == [["add"], ["add"]]


async def test_adk_keeps_its_own_tools_and_their_errors_end_the_run_clearly() -> None:
    from google.adk.agents import LlmAgent

    def own(x: int) -> dict[str, int]:
        """Doubles."""
        return {"double": 2 * x}

    model = ScriptedModel([tool_call("own", {"x": 2}), text("4")])
    async with model.serve() as url:
        agent = wrap(LlmAgent(name="a", model=llm(url), tools=[own]))
        events = await collect(agent, task_for("?"))
    (call,) = (e for e in events if isinstance(e, ToolCall))
    (result,) = (e for e in events if isinstance(e, ToolResult))
    assert (call.name, call.arguments, result.content) == ("own", {"x": 2}, {"double": 4})


# LangGraph


async def test_a_graph_whose_nodes_ask_the_model_for_themselves_ends_with_its_answer() -> None:
    from langchain_core.messages import AIMessage, AnyMessage
    from langgraph.graph import START, StateGraph, add_messages

    State = TypedDict(  # noqa: UP013 - annotations of a local class cannot be resolved later
        "State", {"messages": Annotated[list[AnyMessage], add_messages], "kind": str}
    )
    model = ScriptedModel([text("a question of arithmetic")])
    async with model.serve() as url:

        async def classify(state: Any) -> dict[str, Any]:
            return {"kind": (await chat(url).ainvoke("what kind?")).content}

        def reply(state: Any) -> dict[str, Any]:
            return {"messages": [AIMessage(f"It is {state['kind']}.")]}

        builder = StateGraph(State)
        builder.add_node("classify", classify)
        builder.add_node("reply", reply)
        builder.add_edge(START, "classify")
        builder.add_edge("classify", "reply")
        outcome = await (await wrap(builder).handle(task_for("1+2?")))
    assert outcome.text == "It is a question of arithmetic."


async def test_what_a_tool_returns_directly_is_the_answer() -> None:
    from langchain.agents import create_agent
    from langchain_core.tools import tool

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
    from langchain.agents import create_agent
    from langgraph.graph import START, MessagesState, StateGraph

    model = ScriptedModel([tool_call("add", {"a": 1, "b": 2}), text("It is 3.")])
    async with model.serve() as url:

        def build(tools: list[Any]) -> Any:
            builder = StateGraph(MessagesState)
            builder.add_node("inner", create_agent(chat(url), tools))
            builder.add_edge(START, "inner")
            return builder.compile()

        agent = wrap(build, framework="langgraph")
        events = await collect(agent, task_for("1+2?", tools=[adding_tool()]))
    assert [e.kind for e in events if not isinstance(e, TextDelta)] == [
        "tool_call",
        "tool_result",
        "text_final",
        "completed",
    ]
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "It is 3."


async def test_a_graphs_own_checkpointer_is_left_alone() -> None:
    from langchain.agents import create_agent
    from langgraph.checkpoint.memory import InMemorySaver

    saver = InMemorySaver()
    model = ScriptedModel(lambda _: text("ok"))
    async with model.serve() as url:
        graph = create_agent(chat(url), [], checkpointer=saver)
        agent = wrap(graph)
        await collect(agent, task_for("one"))
    assert graph.checkpointer is saver
    assert saver.storage == {}


async def test_a_model_that_misses_its_cancellation_is_stopped_at_its_next_chunk() -> None:
    import asyncio
    from contextlib import suppress

    from langchain.agents import create_agent
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessageChunk
    from langchain_core.outputs import ChatGenerationChunk

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


# Agno


async def test_agno_tells_structured_output_as_json() -> None:
    from agno.agent import Agent as Agno
    from agno.models.openai import OpenAILike

    class City(BaseModel):
        name: str
        people: int

    model = ScriptedModel([text('{"name": "Ulm", "people": 126000}')])
    async with model.serve() as url:
        agno = Agno(
            model=OpenAILike(id="x", api_key="k", base_url=url),
            output_schema=City,
            use_json_mode=True,
        )
        outcome = await (await wrap(agno, id="city").handle(task_for("?")))
    assert json.loads(outcome.text) == {"name": "Ulm", "people": 126000}


async def test_agno_copies_report_to_nobody() -> None:
    from agno.agent import Agent as Agno

    from codin.agent.adapters.agno import AgnoAgent

    agent = wrap(Agno(name="w"))
    assert isinstance(agent, AgnoAgent)
    assert agent.subject.telemetry
    made = await agent._agent(task_for("?"), Run(_nowhere))
    assert not made.telemetry
    assert made is not agent.subject


async def _nowhere(event: AgentEvent) -> None: ...


# What they share


async def test_reasoning_is_told_as_thoughts() -> None:
    from types import SimpleNamespace

    from google.genai import types
    from langchain_core.messages import AIMessageChunk

    from codin.agent.adapters import adk, agno, langgraph

    heard: list[AgentEvent] = []

    async def hear(event: AgentEvent) -> None:
        heard.append(event)

    blocks: Any = [{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "Yes."}]
    chunks = [
        AIMessageChunk(content=blocks, id="1"),
        AIMessageChunk("Yes.", additional_kwargs={"reasoning_content": "Hm."}, id="2"),
    ]
    for chunk in chunks:
        await langgraph._Reader(Run(hear)).read("messages", (chunk, {}))
    content = SimpleNamespace(event="RunContent", reasoning_content="Hm.", content="Yes.")
    await agno._Reader(Run(hear), 3).read(content)
    parts = [types.Part(text="Hm.", thought=True), types.Part(text="Yes.")]
    event = SimpleNamespace(
        content=types.Content(parts=parts), author="a", partial=True, id="3", usage_metadata=None
    )
    await adk._Reader(Run(hear)).read(event)
    assert [e.text for e in heard if isinstance(e, Thought)] == ["Hm."] * 4
    assert [e.text for e in heard if isinstance(e, TextDelta)] == ["Yes."] * 4


async def test_a_run_says_everything_once_and_closes_what_it_opened() -> None:
    heard: list[AgentEvent] = []

    async def hear(event: AgentEvent) -> None:
        heard.append(event)

    run = Run(hear)
    for _ in range(2):
        await run.call("1", "f", {"x": object()})
        await run.result("1", "f", {1, 2})
        await run.final("m", "done")
    await run.result("2", "g", "late")
    await run.delta("n", "open")
    await run.delta("n", "")
    await run.emit(Failed(error_type="E", message="m"))
    assert [e.kind for e in heard] == [
        "tool_call",
        "tool_result",
        "text_final",
        "tool_call",
        "tool_result",
        "text_delta",
        "text_final",
        "failed",
    ]


def test_a_message_is_read_by_its_text_or_else_by_its_data() -> None:
    payload = data_part({"rows": 3})
    assert prompt(user_message("look", parts=[payload])) == "look"
    assert json.loads(prompt(user_message(parts=[payload]))) == {"rows": 3}
    assert answer(user_message("yes", parts=[payload])) == "yes"
    given = data_part({"type": "input_response", "id": "1", "answer": [1]})
    assert answer(user_message(parts=[given])) == [1]
    fields = data_part({"type": "input_response", "id": "1", "confirmed": True})
    assert answer(user_message(parts=[fields])) == {"confirmed": True}


def test_the_past_leaves_out_the_message_itself_and_what_says_nothing() -> None:
    task = task_for("now", history=[user_message("a"), agent_message([text_part("b")])])
    empty = user_message()
    from dataclasses import replace

    task = replace(task, history=(*task.history, empty, task.message))
    assert past(task) == [("user", "a"), ("assistant", "b")]
