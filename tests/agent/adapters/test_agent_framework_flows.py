"""Microsoft Agent Framework: its workflows."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from maf_parts import (
    City,
    booking,
    in_turn,
    member,
    wiping_tool,
)

from codin.agent import Agent, wrap
from codin.agent.a2a import user_message
from codin.agent.adapters.base import Adapter
from codin.agent.discovery import discover
from codin.agent.events import (
    ArtifactProduced,
    Completed,
    Failed,
    HandOff,
    TextFinal,
    ToolCall,
    ToolResult,
    Usage,
)
from codin.testing.agent_conformance import (
    adding_tool,
    answering,
    asked,
    collect,
    of,
    task_for,
)
from codin.testing.scripted_model import (
    RecordedRequest,
    ScriptedModel,
    Turn,
    error,
    hang,
    text,
    tool_call,
)

pytestmark = pytest.mark.slow


async def test_a_workflow_begins_anew_in_each_run() -> None:
    model = ScriptedModel([text("A draft."), text("A text.")] * 2)
    async with model.serve() as url:
        agent = wrap(in_turn(url), id="team")
        for _ in range(2):
            events = await collect(agent, task_for("Owls"))
            assert isinstance(events[-1], Completed), events[-1]
            assert [e.text for e in of(events, TextFinal)] == ["A draft.", "A text."]
            assert [(h.from_agent, h.to_agent) for h in of(events, HandOff)] == [
                ("writer", "editor")
            ]
    assert "A text." not in model.requests[2].text
    assert sum(used.output_tokens for used in of(events, Usage)) > 0


async def test_what_the_requests_of_a_workflow_used_is_told() -> None:
    calls = replace(tool_call("add", {"a": 1, "b": 2}), usage=(11, 7))
    draft, final = Turn(text="A draft.", usage=(20, 3)), Turn(text="A text.", usage=(30, 2))
    async with ScriptedModel([calls, draft, calls, final]).serve() as url:
        task = task_for("?", tools=[adding_tool()])
        events = await collect(wrap(in_turn(url), id="team"), task)
    used = [(u.input_tokens, u.output_tokens) for u in of(events, Usage)]
    assert used == [(31, 10), (11, 7), (30, 2)]


async def test_workflows_run_side_by_side() -> None:
    def echo(request: RecordedRequest) -> Turn:
        return text(f"for {request.last_user}", delay=0.01)

    async with ScriptedModel(echo).serve() as url:
        agent = wrap(in_turn(url), id="team")
        runs = [await agent.handle(task_for(f"run-{n}")) for n in range(3)]
        outcomes = await asyncio.gather(*runs)
    assert [outcome.text for outcome in outcomes] == [f"for run-{n}" for n in range(3)]


async def test_those_that_work_at_once_hand_nothing_over() -> None:
    from agent_framework.orchestrations import ConcurrentBuilder

    async with ScriptedModel([text("One."), text("Two.")]).serve() as url:
        members = [member(url, "one"), member(url, "two")]
        agent = wrap(ConcurrentBuilder(participants=members).build(), id="both")
        events = await collect(agent, task_for("?"))
    assert isinstance(events[-1], Completed), events[-1]
    assert sorted(e.text for e in of(events, TextFinal)) == ["One.", "Two."]
    assert of(events, HandOff) == []


async def test_a_workflow_has_the_tools_of_the_run_and_the_conversation() -> None:
    script = [tool_call("add", {"a": 1, "b": 2}), text("3"), text("It is 3.")]
    tool, model = adding_tool(), ScriptedModel(script)
    history = [user_message("I am Ada.")]
    async with model.serve() as url:
        task = task_for("1+2?", tools=[tool], history=history)
        events = await collect(wrap(in_turn(url).as_agent(name="team")), task)
    assert isinstance(events[-1], Completed), events[-1]
    assert tool.calls == [{"a": 1, "b": 2}]
    assert model.requests[0].tools == ["add"]
    assert "I am Ada." in model.requests[0].text


async def test_a_workflow_that_asks_goes_on_in_another_process() -> None:
    task = task_for("A trip")
    first = asked(await collect(wrap(booking()), task))
    assert (first.prompt, first.answer_schema) == ("Which city?", None)
    second = asked(await collect(wrap(booking()), answering(task, first, "Paris")))
    assert second.prompt == "How is Paris?"
    assert second.answer_schema == City.model_json_schema()
    wrong = await collect(wrap(booking()), answering(task, second, "nice"))
    assert isinstance(wrong[-1], Failed)
    assert "does not fit" in wrong[-1].message
    given = answering(task, second, '{"city": "Paris", "people": 2}')
    events = await collect(wrap(booking()), given)
    assert isinstance(events[-1], Completed), events[-1]
    assert [e.data for e in of(events, ArtifactProduced)] == [{"city": "Paris", "people": 2}]


@pytest.mark.parametrize(("said", "done"), [("yes", ["a"]), ("no", [])])
async def test_an_approval_within_a_workflow(said: str, done: list[str]) -> None:
    wiped: list[str] = []
    script = [tool_call("wipe", {"disk": "a"}), text("Done."), text("All done.")]
    async with ScriptedModel(script).serve() as url:

        def make() -> Agent:
            return wrap(in_turn(url, tools=[wiping_tool(wiped)]), id="team")

        task = task_for("Wipe")
        request = asked(await collect(make(), task))
        assert request.request_kind == "approval"
        events = await collect(make(), answering(task, request, said))
    assert isinstance(events[-1], Completed), events[-1]
    assert of(events, TextFinal)[-1].text == "All done."
    (call,), (result,) = of(events, ToolCall), of(events, ToolResult)
    assert (call.name, call.arguments, result.call_id) == ("wipe", {"disk": "a"}, call.call_id)
    assert wiped == done


async def test_a_person_comments_on_what_an_agent_of_a_workflow_said() -> None:
    from agent_framework.orchestrations import SequentialBuilder

    model = ScriptedModel([text("Short."), text("A bit longer."), text("The end.")])
    async with model.serve() as url:

        def make() -> Agent:
            members = [member(url, "writer"), member(url, "editor")]
            builder = SequentialBuilder(participants=members).with_request_info(agents=["writer"])
            return wrap(builder.build(), id="team")

        task = task_for("Write")
        first = asked(await collect(make(), task))
        assert (first.prompt, first.request_kind) == ("Short.", "approval")
        second = asked(await collect(make(), answering(task, first, "Make it longer.")))
        assert second.prompt == "A bit longer."
        events = await collect(make(), answering(task, second, "yes"))
    assert "Make it longer." in model.requests[1].text
    assert isinstance(events[-1], Completed), events[-1]
    assert [(h.from_agent, h.to_agent) for h in of(events, HandOff)] == [("writer", "editor")]
    assert of(events, TextFinal)[-1].text == "The end."


async def test_workflows_within_a_workflow_begin_anew_too() -> None:
    from agent_framework.orchestrations import SequentialBuilder

    model = ScriptedModel([text("One."), text("Two."), text("Three.")] * 2)
    async with model.serve() as url:
        inner = in_turn(url).as_agent(name="inner")
        outer = SequentialBuilder(participants=[inner, member(url, "last")]).build()
        agent = wrap(outer, id="team")
        for _ in range(2):
            events = await collect(agent, task_for("?"))
            assert isinstance(events[-1], Completed), events[-1]
            assert of(events, TextFinal)[-1].text == "Three."
    assert "One." not in model.requests[3].text


async def test_an_error_within_a_workflow_is_told_once() -> None:
    async with ScriptedModel(lambda _: error(500, "the model broke")).serve() as url:
        (failed,) = await collect(wrap(in_turn(url), id="team"), task_for("?"))
    assert isinstance(failed, Failed)
    assert "the model broke" in failed.message


async def test_a_workflow_is_bounded() -> None:
    model = ScriptedModel(lambda _: tool_call("add", {"a": 1, "b": 2}))
    async with model.serve() as url:
        agent = wrap(in_turn(url), id="team")
        assert isinstance(agent, Adapter)
        agent.max_model_calls = 3
        events = await collect(agent, task_for("?", tools=[adding_tool()]))
    assert isinstance(events[-1], Failed)
    assert events[-1].error_type == "TooManySteps"
    assert len(model.requests) == 3


async def test_cancelling_a_workflow_ends_the_models_work() -> None:
    model = ScriptedModel([hang()])
    async with model.serve() as url:
        agent = wrap(in_turn(url), id="team")
        running = asyncio.create_task(collect(agent, task_for("?")))
        async with asyncio.timeout(20):
            while not model.requests:
                await asyncio.sleep(0.01)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            while not model.requests[0].disconnected:
                await asyncio.sleep(0.01)


async def test_a_workflow_that_cannot_be_copied_is_built_by_a_function() -> None:
    def locked() -> Any:
        workflow = booking()
        workflow.get_start_executor().lock = threading.Lock()
        return workflow

    (failed,) = await collect(wrap(locked()), task_for("?"))
    assert isinstance(failed, Failed)
    assert "wrap a function" in failed.message
    events = await collect(wrap(locked, framework="agent-framework", id="own"), task_for("?"))
    assert asked(events).prompt == "Which city?"


async def test_a_workflow_that_a_function_builds_is_bounded() -> None:
    model = ScriptedModel(lambda _: tool_call("add", {"a": 1, "b": 2}))
    async with model.serve() as url:
        shared = member(url, "one")

        def build(tools: list[Any]) -> Any:
            from agent_framework.orchestrations import SequentialBuilder

            shared.default_options["tools"] = tools
            return SequentialBuilder(participants=[shared]).build()

        agent = wrap(build, framework="agent-framework")
        assert isinstance(agent, Adapter)
        agent.max_model_calls = 2
        for _ in range(2):
            events = await collect(agent, task_for("?", tools=[adding_tool()]))
            assert isinstance(events[-1], Failed)
            assert events[-1].error_type == "TooManySteps"
    assert len(model.requests) == 4


def test_a_workflow_without_a_name_has_that_of_its_variable(tmp_path: Path) -> None:
    source = tmp_path / "flows.py"
    source.write_text(
        "from agent_framework import Agent\n"
        "from agent_framework.openai import OpenAIChatClient\n"
        "from agent_framework.orchestrations import SequentialBuilder\n"
        "client = OpenAIChatClient(model='x', api_key='k')\n"
        "writer, editor = (Agent(client, name=name) for name in ('writer', 'editor'))\n"
        "drafts = SequentialBuilder(participants=[writer, editor]).build()\n"
    )
    found = discover([source])
    assert [agent.id for agent in found.agents] == ["drafts"]
    assert found.problems == ()
