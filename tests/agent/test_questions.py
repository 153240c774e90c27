"""A run that asks stops, and goes on with the answer on the same task."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from codin.agent import Agent, Task, wrap
from codin.agent.a2a import data_part, user_message
from codin.agent.adapters.base import Waiting
from codin.agent.events import AgentEvent, Completed, InputRequest, TextFinal, ToolResult
from codin.security import Principal
from codin.testing.a2a_server import A2AServer
from codin.testing.agent_conformance import adding_tool, task_for
from codin.testing.scripted_model import ScriptedModel, text, tool_call


async def collect(agent: Agent, task: Task) -> list[AgentEvent]:
    return [event async for event in await agent.handle(task)]


def answered(task: Task, said: str = "", **data: Any) -> Task:
    parts = [data_part({"type": "input_response", **data})] if data else []
    message = user_message(said, context_id=task.context_id, task_id=task.id, parts=parts)
    return replace(task, message=message, history=(task.message,))


def asked(events: list[AgentEvent]) -> InputRequest:
    assert isinstance(events[-1], InputRequest)
    return events[-1]


def last_text(events: list[AgentEvent]) -> str:
    assert isinstance(events[-1], Completed), events[-1]
    return next(e.text for e in reversed(events) if isinstance(e, TextFinal))


def asking_graph() -> Any:
    from langgraph.graph import START, MessagesState, StateGraph
    from langgraph.types import interrupt

    def ask(state: MessagesState) -> dict[str, Any]:
        year = interrupt({"question": "Which year?"})
        month = interrupt("Which month?")
        return {"messages": [("ai", f"{month} {year}")]}

    builder = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    return builder.compile()


async def test_a_graph_that_interrupts_twice() -> None:
    agent, task = wrap(asking_graph()), task_for("When?")
    assert asked(await collect(agent, task)).prompt == "Which year?"
    assert asked(await collect(agent, answered(task, "2025"))).prompt == "Which month?"
    assert last_text(await collect(agent, answered(task, answer="May", id="x"))) == "May 2025"


async def test_an_answer_to_another_task_or_of_another_caller_starts_anew() -> None:
    agent, task = wrap(asking_graph()), task_for("When?")
    await collect(agent, task)
    stranger = replace(answered(task, "1999"), principal=Principal("other", "mallory"))
    assert asked(await collect(agent, stranger)).prompt == "Which year?"
    assert asked(await collect(agent, task_for("When?"))).prompt == "Which year?"
    assert asked(await collect(agent, answered(task, "2025"))).prompt == "Which month?"


async def test_a_graphs_tools_are_those_of_the_run_that_answers() -> None:
    from langchain.agents import create_agent
    from langchain.agents.middleware import HumanInTheLoopMiddleware
    from langchain_openai import ChatOpenAI

    model = ScriptedModel([tool_call("add", {"a": 1, "b": 2}), text("It is 3.")])
    async with model.serve() as url:

        def build(tools: list[Any]) -> Any:
            chat = ChatOpenAI(model="x", api_key="k", base_url=url)
            middleware = [HumanInTheLoopMiddleware(interrupt_on={"add": True})]
            return create_agent(chat, tools, middleware=middleware)

        agent = wrap(build, framework="langgraph")
        first, second = adding_tool(), adding_tool()
        task = task_for("1+2?", tools=[first])
        request = asked(await collect(agent, task))
        assert request.request_kind == "approval"
        assert request.prompt == 'Approve add({"a": 1, "b": 2})?'
        events = await collect(agent, replace(answered(task, "yes"), tools=(second,)))
        assert last_text(events) == "It is 3."
        assert (first.calls, second.calls) == ([], [{"a": 1, "b": 2}])
        assert [e.content for e in events if isinstance(e, ToolResult)] == [{"sum": 3}]


@pytest.fixture
async def adk() -> AsyncIterator[tuple[ScriptedModel, Any]]:
    from google.adk.agents import LlmAgent
    from google.adk.integrations.openai import OpenAILlm

    model = ScriptedModel()
    async with model.serve() as url:

        def build(tool: Any) -> Agent:
            llm = OpenAILlm(model="x", api_key="k", base_url=url)
            return wrap(LlmAgent(name="worker", model=llm, tools=[tool]))

        yield model, build


async def test_a_long_running_tool_of_adk(adk: tuple[ScriptedModel, Any]) -> None:
    from google.adk.tools.long_running_tool import LongRunningFunctionTool

    def ask_user(question: str) -> None:
        """Ask the user."""

    model, build = adk
    model.add(tool_call("ask_user", {"question": "Which year?"}), text("2025 it is."))
    agent, task = build(LongRunningFunctionTool(ask_user)), task_for("When?")
    assert asked(await collect(agent, task)).prompt == "Which year?"
    assert last_text(await collect(agent, answered(task, "2025"))) == "2025 it is."
    assert "2025" in model.requests[1].tool_results[-1]


@pytest.mark.parametrize(("said", "done"), [("yes", [7]), ("no", [])])
async def test_a_tool_of_adk_that_is_to_be_confirmed(
    adk: tuple[ScriptedModel, Any], said: str, done: list[int]
) -> None:
    from google.adk.tools.function_tool import FunctionTool

    removed: list[int] = []

    def remove(number: int) -> str:
        """Remove a thing."""
        removed.append(number)
        return "removed"

    model, build = adk
    model.add(tool_call("remove", {"number": 7}), text("Done."), text("Done."))
    agent = build(FunctionTool(remove, require_confirmation=True))
    task = task_for("Remove 7")
    request = asked(await collect(agent, task))
    assert request.request_kind == "approval"
    assert "remove" in request.prompt
    assert removed == []
    assert last_text(await collect(agent, answered(task, said))) == "Done."
    assert removed == done


@pytest.mark.parametrize(("said", "done"), [("yes", [7]), ("no", [])])
async def test_a_tool_of_agno_that_is_to_be_confirmed(said: str, done: list[int]) -> None:
    from agno.agent import Agent as Agno
    from agno.models.openai import OpenAILike
    from agno.tools import tool

    removed: list[int] = []

    @tool(requires_confirmation=True)
    def remove(number: int) -> str:
        """Remove a thing."""
        removed.append(number)
        return "removed"

    model = ScriptedModel([tool_call("remove", {"number": 7}), text("Done.")])
    async with model.serve() as url:
        chat = OpenAILike(id="x", api_key="k", base_url=url)
        agent, task = wrap(Agno(name="w", model=chat, tools=[remove])), task_for("Remove 7")
        request = asked(await collect(agent, task))
        assert (request.request_kind, removed) == ("approval", [])
        assert last_text(await collect(agent, answered(task, said))) == "Done."
        assert removed == done


async def test_a_remote_agent_that_asks_is_answered_on_its_own_task() -> None:
    async with A2AServer(wrap(asking_graph(), id="when")).serve() as url:
        agent, task = wrap(url), task_for("When?")
        assert asked(await collect(agent, task)).prompt == "Which year?"
        assert asked(await collect(agent, answered(task, "2025"))).prompt == "Which month?"
        assert last_text(await collect(agent, answered(task, "May"))) == "May 2025"


def test_the_oldest_question_is_forgotten_first() -> None:
    waiting: Waiting[int] = Waiting(limit=2)
    tasks = [task_for("?") for _ in range(3)]
    for number, task in enumerate(tasks):
        waiting.keep(task, number)
    assert [waiting.take(task) for task in tasks] == [None, 1, 2]
    assert waiting.take(tasks[2]) is None
