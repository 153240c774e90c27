"""Microsoft Agent Framework: the suite, and what is its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from maf_parts import (
    City,
    asking_tool,
    handing_over,
    in_turn,
    wiping_tool,
    worker,
    writing_tool,
)

from codin.agent import Agent, wrap
from codin.agent.base import ModelAccess
from codin.agent.events import (
    Completed,
    Failed,
    TextFinal,
    ToolCall,
    ToolResult,
    Usage,
)
from codin.agent.wrapping import info_of, parts_of
from codin.testing.agent_conformance import (
    AgentConformance,
    Scene,
    adding_tool,
    answering,
    asked,
    collect,
    of,
    task_for,
)
from codin.testing.scripted_model import ScriptedModel, Turn, text, tool_call

pytestmark = pytest.mark.slow


class TestAgentFramework(AgentConformance):
    title = "Microsoft Agent Framework"

    async def make(self, base_url: str) -> Agent:
        return wrap(worker(base_url))

    def asking(self) -> Scene:
        return Scene(
            [tool_call("ask_user", {"question": "Which city?"}), text("Booked.")],
            lambda url: wrap(worker(url, tools=[asking_tool()])),
        )

    def approving(self) -> Scene:
        wiped: list[str] = []
        both = tool_call("wipe", {"disk": "a"}) + tool_call("wipe", {"disk": "b"})
        return Scene(
            [both, text("Done.")],
            lambda url: wrap(worker(url, tools=[wiping_tool(wiped)])),
            wiped,
        )

    def handing_off(self) -> Scene:
        return Scene(
            [tool_call("handoff_to_back", {}), text("It is 3.")],
            lambda url: wrap(handing_over(url)),
        )

    def structuring(self) -> Scene:
        return Scene(
            [text('{"city": "Paris", "people": 2}')],
            lambda url: wrap(worker(url, default_options={"response_format": City})),
        )

    def making_files(self) -> Scene:
        return Scene(
            [tool_call("write", {}), text("Here it is.")],
            lambda url: wrap(worker(url, tools=[writing_tool()])),
        )


async def test_a_function_builds_the_agent_of_each_run() -> None:
    script = [tool_call("add", {"a": 1, "b": 2}), text("It is 3.")]
    model = ScriptedModel(script)
    async with model.serve() as url:

        def build(tools: list[Any]) -> Any:
            return worker(url, tools=tools)

        tool = adding_tool()
        events = await collect(
            wrap(build, framework="agent-framework"), task_for("1+2?", tools=[tool])
        )
    assert isinstance(events[-1], Completed)
    assert tool.calls == [{"a": 1, "b": 2}]
    assert [request.tools for request in model.requests] == [["add"], ["add"]]


async def test_a_function_that_builds_something_else_is_told() -> None:
    agent = wrap(lambda: 7, framework="agent-framework", id="seven")
    (failed,) = await collect(agent, task_for("?"))
    assert isinstance(failed, Failed)
    assert "built a int" in failed.message


async def test_the_agent_itself_is_left_as_it_was() -> None:
    async with ScriptedModel([text("ok")]).serve() as url:
        theirs = worker(url)
        before = dict(vars(theirs))
        await collect(wrap(theirs), task_for("?"))
        assert vars(theirs) == before
        assert theirs.context_providers == []


@pytest.mark.parametrize("team", [False, True])
async def test_the_default_client_asks_the_platforms_models_by_the_chat_api(team: bool) -> None:
    from agent_framework import Agent as Maf
    from agent_framework.openai import OpenAIChatClient
    from agent_framework.orchestrations import SequentialBuilder

    model = ScriptedModel([text("Hello.")])
    async with model.serve() as url:
        default = OpenAIChatClient(model="any", api_key="k", base_url=url)
        theirs: Any = Maf(default, "Help.", name="worker")
        if team:
            theirs = SequentialBuilder(participants=[theirs]).build()
        task = replace(task_for("?"), model=ModelAccess(url, "k", "x"))
        events = await collect(wrap(theirs, id="it"), task)
    assert isinstance(events[-1], Completed), events[-1]
    assert of(events, TextFinal)[-1].text == "Hello."
    assert model.requests[0].path == "/v1/chat/completions"


async def test_a_tool_that_is_declared_only_has_the_answer_as_its_result() -> None:
    scene = TestAgentFramework().asking()
    async with ScriptedModel(scene.script).serve() as url:
        task = task_for("Book")
        agent = await scene.agent(url)
        events = await collect(agent, answering(task, asked(await collect(agent, task)), "Rome"))
    (call,), (result,) = of(events, ToolCall), of(events, ToolResult)
    assert (call.name, call.arguments) == ("ask_user", {"question": "Which city?"})
    assert (result.call_id, result.content) == (call.call_id, "Rome")


async def test_what_each_request_used_is_told() -> None:
    calls = replace(tool_call("add", {"a": 1, "b": 2}), usage=(11, 7))
    script = [calls, calls, Turn(text="3.", usage=(30, 2))]
    async with ScriptedModel(script).serve() as url:
        task = task_for("1+2?", tools=[adding_tool()])
        events = await collect(wrap(worker(url)), task)
    used = [(u.input_tokens, u.output_tokens) for u in of(events, Usage)]
    assert used == [(11, 7), (11, 7), (30, 2)]


async def test_what_may_be_done_waits_for_what_has_to_be_approved() -> None:
    wiped: list[str] = []
    script = [tool_call("wipe", {"disk": "a"}) + tool_call("add", {"a": 1, "b": 2}), text("Done.")]
    tool = adding_tool()
    async with ScriptedModel(script).serve() as url:
        agent = wrap(worker(url, tools=[wiping_tool(wiped)]))
        task = task_for("Wipe", tools=[tool])
        request = asked(await collect(agent, task))
        assert (wiped, tool.calls) == ([], [])
        events = await collect(agent, answering(task, request, "yes"))
    assert isinstance(events[-1], Completed)
    assert (wiped, tool.calls) == (["a"], [{"a": 1, "b": 2}])
    assert [(r.name, r.content) for r in of(events, ToolResult)] == [
        ("add", {"sum": 3}),
        ("wipe", "a is wiped"),
    ]


async def test_output_that_does_not_fit_its_schema_fails_the_run() -> None:
    async with ScriptedModel([text("Paris, I think")]).serve() as url:
        agent = wrap(worker(url, default_options={"response_format": City}))
        events = await collect(agent, task_for("Where?"))
    assert isinstance(events[-1], Failed)
    assert "City" in events[-1].message


def test_what_is_told_of_an_agent_is_what_it_tells_of_itself() -> None:
    asker = worker("http://x", "asker", tools=[asking_tool()])
    info = info_of(wrap(asker))
    assert (info.id, info.description) == ("asker", "Help.")
    assert info.skills == ("ask_user: Ask the user.",)
    team = in_turn("http://x", description="Writes.")
    assert info_of(wrap(team, id="team")).skills == ("writer: Writes.", "editor")
    members = [part.name for part in parts_of(team)]
    assert members == ["writer", "editor"]
    assert [part.name for part in parts_of(team.as_agent())] == ["Sequential", *members]
