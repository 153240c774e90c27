"""What can be wrapped, what cannot, and what is said about it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from codin import wrap
from codin.agent import Agent, AgentError, AgentInfo, AgentResponse, Task
from codin.agent.adapters.adk.agent import AdkAgent
from codin.agent.adapters.agno.agent import AgnoAgent
from codin.agent.adapters.function import FunctionAgent
from codin.agent.adapters.langgraph.agent import LangGraphAgent
from codin.agent.adapters.remote.agent import RemoteAgent
from codin.agent.base import INPUT_MODES
from codin.agent.cards import agent_card
from codin.agent.events import AgentEvent, ArtifactProduced, Completed, Failed, Rejected, TextDelta
from codin.agent.frameworks import (
    FrameworkMissing,
    UnsupportedAgent,
    how_to_get,
    known_framework,
)
from codin.agent.wrapping import info_of, slug
from codin.testing.agent_conformance import adding_tool, task_for
from codin.tool.base import ToolFailed


async def collect(agent: Agent, task: Task) -> list[AgentEvent]:
    return [event async for event in await agent.handle(task)]


def adk_agent() -> Any:
    from google.adk.agents import LlmAgent

    return LlmAgent(name="number_cruncher", model="x", description="Counts things.")


def graph() -> Any:
    from langgraph.graph import END, START, MessagesState, StateGraph

    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [("ai", "said: " + str(state["messages"][-1].content))]}

    builder = StateGraph(MessagesState)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    builder.add_edge("answer", END)
    return builder


def test_each_framework_is_told_by_its_classes() -> None:
    from agno.agent import Agent as Agno

    async def plain(task: Task) -> str:
        """Does something.

        In some way.
        """
        return ""

    assert type(wrap(adk_agent())) is AdkAgent
    assert type(wrap(graph())) is LangGraphAgent
    assert type(wrap(graph().compile())) is LangGraphAgent
    assert type(wrap(Agno(name="Writer Of Things", role="Writes"))) is AgnoAgent
    assert type(wrap(plain)) is FunctionAgent
    assert type(wrap("https://example.org/agents/scout/")) is RemoteAgent


def test_info_comes_from_the_object_unless_it_is_given() -> None:
    from agno.agent import Agent as Agno

    async def plain(task: Task) -> str:
        """Does something.

        In some way.
        """
        return ""

    def told(agent: Agent) -> AgentInfo:
        return replace(info_of(agent), version="", input_modes=INPUT_MODES)

    assert told(wrap(adk_agent())) == AgentInfo(
        "number_cruncher", "number_cruncher", "Counts things.", framework="adk"
    )
    assert "image/*" in info_of(wrap(adk_agent())).input_modes
    assert told(wrap(plain)) == AgentInfo("plain", "plain", "Does something.")
    agno = info_of(wrap(Agno(name="Writer Of Things", role="Writes")))
    assert (agno.id, agno.name, agno.description) == (
        "writer-of-things",
        "Writer Of Things",
        "Writes",
    )
    tool = adding_tool()
    given = wrap(plain, id="p-1", name="P", description="Other.", tools=["look", tool])
    assert told(given) == AgentInfo("p-1", "P", "Other.", tools=("look", "add"))
    assert given.tools == [tool]
    assert isinstance(given, Agent)
    assert info_of(wrap("https://example.org/agents/scout/")).id == "scout"


def test_what_frameworks_know_of_an_agent_is_told() -> None:
    from google.adk.agents import LlmAgent
    from google.adk.apps import App
    from langchain.agents import create_agent
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI

    def look(path: str) -> str:
        """Look at
        a file.

        In some way.
        """
        return path

    helper = LlmAgent(name="helper", model="x", description="Helps.")
    clerk = LlmAgent(
        name="clerk",
        model="x",
        instruction="You file papers. The key is under the mat.\nBe kind.",
        tools=[look],
        sub_agents=[helper],
    )
    for made in (clerk, App(name="desk", root_agent=clerk)):
        info = info_of(wrap(made))
        assert info.description == "You file papers."
        assert info.skills == ("look: Look at a file.", "helper: Helps.")
    graph = create_agent(ChatOpenAI(model="x", api_key="k"), [tool(look)])
    assert info_of(wrap(graph, description="Looks.")).skills[0].startswith("look: Look at")
    card = agent_card(info_of(wrap(clerk)), "http://a.example")
    assert [(s.id, s.name) for s in card.skills] == [
        ("clerk", "clerk"),
        ("clerk-1", "look"),
        ("clerk-2", "helper"),
    ]


def test_what_is_an_agent_stays_itself() -> None:
    class Mine:
        id, name, description, tools = "mine", "Mine", "Does it.", []  # type: ignore[var-annotated]

        async def handle(self, task: Task) -> AgentResponse:
            raise NotImplementedError

    mine = Mine()
    assert wrap(mine) is mine
    assert info_of(mine) == AgentInfo("mine", "Mine", "Does it.", framework="codin")
    wrapped = wrap(adk_agent())
    assert wrap(wrapped) is wrapped


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (42, "builtins.int"),
        (lambda task: "x", "not async"),
        (FunctionAgent, "give an instance"),
        ("ftp://example.org", "no http"),
        ("scout.py", "no http"),
        (None, "NoneType"),
    ],
)
def test_what_cannot_be_wrapped_is_told_with_what_can(what: Any, said: str) -> None:
    with pytest.raises(UnsupportedAgent, match=said):
        wrap(what)


def test_other_things_of_frameworks_are_named() -> None:
    from google.adk.sessions import InMemorySessionService

    with pytest.raises(UnsupportedAgent, match=r"of Google ADK, and none of its agents \(BaseA"):
        wrap(InMemorySessionService())
    other = type("Agent", (), {"__module__": "strands.agent"})()
    with pytest.raises(UnsupportedAgent, match=r"strands\.agent\.Agent.*Strands.*LangGraph"):
        wrap(other)


def test_a_framework_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codin.agent.frameworks.find_spec", lambda name: None)
    with pytest.raises(FrameworkMissing, match=r"pip install 'codin\[adk\]'"):
        wrap(lambda: None, framework="adk")
    with pytest.raises(UnsupportedAgent, match="langgraph, adk, agno"):
        known_framework("crew")
    assert "codin[adk]" in how_to_get("google.adk.agents")
    assert "codin[langgraph]" in how_to_get("langchain_openai")
    assert 'requirements = ["crewai>=1.15.30"]' in how_to_get("crewai.tools")
    assert '["autogen-agentchat>=0.7.5", "autogen-ext[openai]>=0.7.5"]' in how_to_get("autogen_ext")
    assert how_to_get("numpy") is None


@pytest.mark.parametrize("bad", ["Has Space", "../up", "-x", "x" * 65, "ÄÖ"])
def test_malformed_ids_are_refused(bad: str) -> None:
    with pytest.raises(AgentError, match="cannot be the id"):
        wrap(adk_agent(), id=bad)


def test_slugs() -> None:
    assert slug("MyAgent v2!") == "my-agent-v2"
    assert slug("größe") == "gr-e"
    assert slug("___") == ""


def test_a_compiled_graph_cannot_be_given_tools() -> None:
    with pytest.raises(AgentError, match="takes the tools and returns the graph"):
        wrap(graph().compile(), tools=["look"])


def test_wrapping_a_function_imports_no_framework() -> None:
    code = (
        "import sys\nfrom codin import wrap\n"
        "async def f(text: str) -> str: return text\n"
        "wrap(f)\n"
        "bad = [m for m in ('langgraph', 'google.adk', 'agno', 'openai') if m in sys.modules]\n"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# A function


async def test_a_function_may_take_text_or_the_task_or_nothing() -> None:
    async def by_text(words: str) -> str:
        return words.upper()

    async def by_task(task: Task) -> str:
        return task.text.lower()

    async def by_nothing() -> str:
        return "always"

    for function, said in ((by_text, "HELLO"), (by_task, "hello"), (by_nothing, "always")):
        assert (await (await wrap(function).handle(task_for("Hello")))).text == said


async def test_a_function_may_yield_text_and_events() -> None:
    made = ArtifactProduced(artifact_id="a", name="x", text="file")

    async def writes(task: Task) -> Any:
        yield "one "
        yield made
        yield "two"

    outcome = await (await wrap(writes).handle(task_for("?")))
    assert outcome.text == "one two"
    assert outcome.artifacts == [made]


async def test_a_function_may_return_an_event_or_a_response() -> None:
    async def refuses(task: Task) -> Any:
        return Rejected(message="not mine")

    async def asks_another(task: Task) -> Any:
        return await wrap(refuses).handle(task)

    for function in (refuses, asks_another):
        assert await collect(wrap(function), task_for("?")) == [Rejected(message="not mine")]


async def test_what_a_function_raises_or_gives_wrongly_fails_the_run_once() -> None:
    async def raises(task: Task) -> str:
        raise ValueError("no such year: 1802")

    async def gives_a_number(task: Task) -> Any:
        return 42

    async def yields_bytes(task: Task) -> Any:
        yield "before"
        yield b"x"

    (failed,) = await collect(wrap(raises), task_for("?"))
    assert failed == Failed(error_type="ValueError", message="no such year: 1802")
    (failed,) = await collect(wrap(gives_a_number), task_for("?"))
    assert isinstance(failed, Failed)
    assert "returned a int" in failed.message
    *_, failed = await collect(wrap(yields_bytes), task_for("?"))
    assert isinstance(failed, Failed)
    assert "yielded a bytes" in failed.message


async def test_a_function_that_cancels_itself_fails() -> None:
    import asyncio

    async def gives_up(task: Task) -> str:
        raise asyncio.CancelledError

    (failed,) = await collect(wrap(gives_up), task_for("?"))
    assert isinstance(failed, Failed)
    assert failed.error_type == "Cancelled"


async def test_a_function_gets_tool_errors_raised() -> None:
    tool = adding_tool()

    async def refuse(*_: Any, **__: Any) -> None:
        raise ToolFailed("no")

    tool._function = refuse

    async def tries(task: Task) -> str:
        try:
            await task.tools[0].invoke(1, 2)
        except ToolFailed as error:
            return f"went wrong: {error}"
        return "went well"

    events = await collect(wrap(tries), task_for("?", tools=[tool]))
    assert [e.kind for e in events] == ["tool_call", "tool_result", "text_final", "completed"]
    assert events[0].arguments == {"a": 1, "b": 2}  # type: ignore[union-attr]
    assert events[1].is_error  # type: ignore[union-attr]


# Graphs and factories


async def test_a_graph_without_a_model_answers() -> None:
    outcome = await (await wrap(graph()).handle(task_for("hello")))
    assert outcome.ok
    assert outcome.text == "said: hello"


async def test_a_factory_may_take_the_model_access() -> None:
    from dataclasses import replace

    from codin.agent import ModelAccess

    seen: list[Any] = []

    def build(tools: list[Any], model: ModelAccess | None) -> Any:
        seen.append(model)
        return graph().compile()

    access = ModelAccess("http://x/v1", "k", "n")
    agent = wrap(build, framework="langgraph")
    outcome = await (await agent.handle(replace(task_for("hi"), model=access)))
    assert outcome.ok
    assert seen == [access]


@pytest.mark.parametrize("framework", ["langgraph", "adk", "agno"])
async def test_a_factory_that_builds_something_else_fails_clearly(framework: str) -> None:
    (failed,) = await collect(wrap(lambda: 42, framework=framework), task_for("?"))
    assert isinstance(failed, Failed)
    assert "int, which is no" in failed.message


async def test_the_response_streams_while_the_function_works() -> None:
    import asyncio

    gate = asyncio.Event()

    async def waits(task: Task) -> Any:
        yield "first"
        await gate.wait()
        yield "second"

    events = aiter(await wrap(waits).handle(task_for("?")))
    assert isinstance(await anext(events), TextDelta)
    gate.set()
    assert isinstance([e async for e in events][-1], Completed)


def test_a_name_that_says_nothing_gives_way_to_the_id() -> None:
    async def build(text: str) -> str:
        return text

    assert wrap(build, id="scout").name == "scout"
    assert wrap(build).name == "build"
