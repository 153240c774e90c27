"""LangGraph's graphs that wait: for answers, approvals, and at breakpoints."""

from __future__ import annotations

import threading
from dataclasses import replace
from operator import add
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.func import entrypoint
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel

from codin.agent import Agent, Task, wrap
from codin.agent.a2a import agent_message, data_part, text_part, user_message
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
from codin.testing.agent_conformance import adding_tool, answering, asked, collect, of, task_for
from codin.testing.scripted_model import ScriptedModel, text, tool_call

pytestmark = pytest.mark.slow


class City(BaseModel):
    name: str
    people: int


class Question(TypedDict):
    question: str


def chat(url: str) -> ChatOpenAI:
    return ChatOpenAI(model="x", api_key="k", base_url=url, max_retries=0)


def finals(events: list[AgentEvent]) -> list[str]:
    return [event.text for event in of(events, TextFinal)]


def answered(task: Task, events: list[AgentEvent], said: str = "", **data: Any) -> Task:
    """The task that answers what ``events`` end with; by data, if there is any."""
    again = answering(task, asked(events), said)
    if not data:
        return again
    parts = [data_part({"type": "input_response", **data})]
    return replace(again, message=user_message(parts=parts))


def asking() -> Any:
    """A graph whose subgraph and whose own node ask at once; the first asks a second time."""

    class State(TypedDict):
        question: str
        said: Annotated[list[str], add]

    def first(state: Question) -> dict[str, Any]:
        year = interrupt({"question": "Which year?"})
        return {"said": [f"{interrupt('Which month?')} {year}"]}

    def second(state: State) -> dict[str, Any]:
        return {"said": [f"in {interrupt('Where?')}"]}

    inner = StateGraph(State, input_schema=Question)
    inner.add_node("first", first)
    inner.add_edge(START, "first")
    builder = StateGraph(State)
    builder.add_node("inner", inner.compile())
    builder.add_node("second", second)
    builder.add_edge(START, "inner")
    builder.add_edge(START, "second")
    return builder.compile()


async def test_several_questions_are_asked_one_after_the_other_by_whatever_process() -> None:
    task = task_for("When?")
    task = replace(task, message=user_message(parts=[data_part({"question": "When?"})]))
    events = await collect(wrap(asking(), id="a"), task)
    prompts = []
    for said in ("2025", "Ulm", "May"):
        prompts.append(asked(events).prompt)
        events = await collect(wrap(asking(), id="a"), answered(task, events, said))
    assert prompts == ["Which year?", "Where?", "Which month?"]
    (made,) = of(events, ArtifactProduced)
    assert made.data["said"] == ["May 2025", "in Ulm"]


async def test_what_was_told_before_the_pause_is_not_told_again() -> None:
    @tool
    def ask(about: str) -> str:
        """Ask the user."""
        return str(interrupt(f"Which {about}?"))

    def graph(url: str) -> Agent:
        builder = StateGraph(MessagesState)
        builder.add_node("inner", create_agent(chat(url), [ask]))
        builder.add_edge(START, "inner")
        return wrap(builder.compile(), id="a")

    script = [text("Let me ask. ") + tool_call("ask", {"about": "city"}), text("Paris it is.")]
    history = [user_message("Hi"), agent_message([text_part("Hello")])]
    async with ScriptedModel(script).serve() as url:
        task = task_for("Where?", history=history)
        events = await collect(graph(url), task)
        assert asked(events).prompt == "Which city?"
        assert finals(events) == ["Let me ask. "]
        (call,) = of(events, ToolCall)
        events = await collect(graph(url), answered(task, events, "Paris"))
    assert [e.kind for e in events if not isinstance(e, TextDelta | Usage)] == [
        "tool_result",
        "text_final",
        "completed",
    ]
    (result,) = of(events, ToolResult)
    assert (result.call_id, result.content) == (call.call_id, "Paris")
    assert finals(events) == ["Paris it is."]


@tool
def remove(number: int) -> str:
    """Remove a thing."""
    REMOVED.append(number)
    return f"removed {number}"


REMOVED: list[int] = []


@pytest.mark.parametrize("mode", ["batched", "per_call"])
async def test_each_action_is_approved_for_itself(mode: Any) -> None:
    REMOVED.clear()
    both = tool_call("remove", {"number": 1}) + tool_call("remove", {"number": 2})
    model = ScriptedModel([both, text("Done.")])
    async with model.serve() as url:

        def agent() -> Agent:
            middleware = HumanInTheLoopMiddleware({"remove": True}, interrupt_mode=mode)
            return wrap(create_agent(chat(url), [remove], middleware=[middleware]), id="a")

        task = task_for("Remove 1 and 2")
        events = await collect(agent(), task)
        assert asked(events).prompt == 'Approve remove({"number": 1})?'
        assert asked(events).request_kind == "approval"
        events = await collect(agent(), answered(task, events, "rather not"))
        assert asked(events).prompt == 'Approve remove({"number": 2})?'
        assert REMOVED == []
        events = await collect(agent(), answered(task, events, approved=True, id="x"))
    assert finals(events)[-1] == "Done."
    assert REMOVED == [2]
    told = " ".join(model.requests[1].tool_results)
    assert "rather not" in told
    assert "removed 2" in told


async def test_a_tool_that_is_answered_and_not_done_asks_what_it_is_called_with() -> None:
    REMOVED.clear()

    @tool
    def ask_user(question: str) -> str:
        """Ask the user."""
        raise NotImplementedError

    model = ScriptedModel([tool_call("ask_user", {"question": "Where to?"}), text("Off to Ulm.")])
    async with model.serve() as url:
        middleware = HumanInTheLoopMiddleware({"ask_user": {"allowed_decisions": ["respond"]}})
        agent = wrap(create_agent(chat(url), [ask_user], middleware=[middleware]), id="a")
        task = task_for("Book")
        events = await collect(agent, task)
        assert (asked(events).prompt, asked(events).request_kind) == ("Where to?", "input")
        events = await collect(agent, answered(task, events, "Ulm"))
    assert finals(events) == ["Off to Ulm."]
    assert model.requests[1].tool_results == ["Ulm"]


@pytest.mark.parametrize("state", ["", "[]", "{}", '{"thread": "", "questions": []}', "no json"])
async def test_a_state_that_is_of_something_else_is_one_clear_failure(state: str) -> None:
    agent, task = wrap(asking(), id="a"), replace(task_for("?"), state=state)
    (failed,) = await collect(agent, task)
    assert isinstance(failed, Failed)
    assert "agent 'a' cannot go on from what it kept" in failed.message


async def test_an_action_can_be_changed_by_who_approves() -> None:
    REMOVED.clear()
    async with ScriptedModel([tool_call("remove", {"number": 1}), text("Done.")]).serve() as url:
        middleware = HumanInTheLoopMiddleware({"remove": True})
        agent = wrap(create_agent(chat(url), [remove], middleware=[middleware]), id="a")
        task = task_for("Remove 1")
        events = await collect(agent, task)
        edit = {"type": "edit", "edited_action": {"name": "remove", "args": {"number": 5}}}
        events = await collect(agent, answered(task, events, answer={"decisions": [edit]}))
    assert isinstance(events[-1], Completed)
    assert REMOVED == [5]


async def test_an_answer_that_does_not_fit_its_schema_is_asked_for_again() -> None:
    @entrypoint()
    async def book(_: str) -> str:
        city = interrupt("Which city?", response_schema=City)
        return f"{city.name} with {city.people}"

    agent, task = wrap(book), task_for("Book")
    events = await collect(agent, task)
    assert asked(events).prompt == "Which city?"
    assert (asked(events).answer_schema or {})["required"] == ["name", "people"]
    events = await collect(agent, answered(task, events, "Paris"))
    assert asked(events).prompt.startswith(
        'The answer does not fit: "Paris" is not of type "object"\n'
    )
    events = await collect(agent, answered(task, events, '{"name": "Ulm", "people": 3}'))
    assert finals(events) == ["Ulm with 3"]


@pytest.mark.parametrize(("said", "given"), [("Yes", True), ("no", False), ("true", True)])
async def test_consent_is_an_answer_to_a_question_of_yes_or_no(said: str, given: bool) -> None:
    @entrypoint()
    async def sure(_: str) -> str:
        return repr(interrupt("Sure?", response_schema=bool))

    agent, task = wrap(sure), task_for("?")
    events = await collect(agent, task)
    assert finals(await collect(agent, answered(task, events, said))) == [repr(given)]
    events = await collect(agent, answered(task, events, "perhaps"))
    assert '"perhaps" is not of type "boolean"' in asked(events).prompt


async def test_what_the_author_of_an_action_says_of_it_is_asked_too() -> None:
    async with ScriptedModel([tool_call("remove", {"number": 1})]).serve() as url:
        told = {"remove": {"allowed_decisions": ["approve"], "description": "For good!"}}
        middleware = HumanInTheLoopMiddleware(told)
        agent = wrap(create_agent(chat(url), [remove], middleware=[middleware]), id="a")
        events = await collect(agent, task_for("Remove 1"))
    assert asked(events).prompt == 'For good!\nApprove remove({"number": 1})?'


@pytest.mark.parametrize(("said", "done"), [("yes", [7]), ("no", [])])
async def test_a_breakpoint_is_asked_about(said: str, done: list[int]) -> None:
    REMOVED.clear()
    async with ScriptedModel([tool_call("remove", {"number": 7}), text("Done.")]).serve() as url:

        def agent() -> Agent:
            return wrap(create_agent(chat(url), [remove], interrupt_before=["tools"]), id="a")

        task = task_for("Remove 7")
        events = await collect(agent(), task)
        assert asked(events).prompt == 'Go on with remove({"number": 7})?'
        events = await collect(agent(), answered(task, events, said))
    assert finals(events) == ["Done." if done else "Stopped, as it was not approved."]
    assert isinstance(events[-1], Completed)
    assert done == REMOVED


async def test_state_that_cannot_be_stored_matters_only_to_a_run_that_waits() -> None:
    class State(TypedDict):
        question: str
        lock: Any

    def build(*, ask: bool) -> Agent:
        def last(state: State) -> dict[str, Any]:
            assert state["lock"].acquire(timeout=1)
            return {"question": interrupt("Well?") if ask else "fine"}

        builder = StateGraph(State, input_schema=Question, output_schema=Question)
        builder.add_node("first", lambda state: {"lock": threading.Lock()})
        builder.add_node("last", last)
        builder.add_edge(START, "first")
        builder.add_edge("first", "last")
        return wrap(builder, id="a")

    assert finals(await collect(build(ask=False), task_for("?"))) == ["fine"]
    failed = (await collect(build(ask=True), task_for("?")))[-1]
    assert isinstance(failed, Failed)
    assert "cannot wait for an answer" in failed.message
    assert "lock" in failed.message


async def test_a_graphs_tools_are_those_of_the_run_that_answers() -> None:
    model = ScriptedModel([tool_call("add", {"a": 1, "b": 2}), text("It is 3.")])
    async with model.serve() as url:

        def build(tools: list[Any]) -> Any:
            middleware = [HumanInTheLoopMiddleware(interrupt_on={"add": True})]
            return create_agent(chat(url), tools, middleware=middleware)

        agent = wrap(build, framework="langgraph")
        first, second = adding_tool(), adding_tool()
        task = task_for("1+2?", tools=[first])
        events = await collect(agent, task)
        assert asked(events).prompt == 'Approve add({"a": 1, "b": 2})?'
        events = await collect(agent, replace(answered(task, events, "yes"), tools=(second,)))
        assert finals(events)[-1] == "It is 3."
        assert (first.calls, second.calls) == ([], [{"a": 1, "b": 2}])
        assert [e.content for e in of(events, ToolResult)] == [{"sum": 3}]
