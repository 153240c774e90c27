"""What is the OpenAI Agents SDK's own: hand-offs, approvals, guardrails, models, tracing."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from a2a.types import Part
from agents import Agent as OpenAiAgent
from agents import (
    FunctionTool,
    GuardrailFunctionOutput,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunContextWrapper,
    StopAtTools,
    ToolOutputImage,
    add_trace_processor,
    function_tool,
    handoff,
    input_guardrail,
    output_guardrail,
)
from agents.tracing import TracingProcessor
from openai import AsyncOpenAI

from codin.agent import Agent, wrap
from codin.agent.a2a import agent_message, text_part, user_message
from codin.agent.base import ModelAccess
from codin.agent.discovery import discover
from codin.agent.events import (
    AgentEvent,
    ArtifactProduced,
    Completed,
    Failed,
    HandOff,
    InputRequest,
    Rejected,
    TextDelta,
    TextFinal,
    ToolCall,
    ToolResult,
    Usage,
)
from codin.agent.wrapping import info_of
from codin.testing.agent_conformance import (
    adding_tool,
    answering,
    asked,
    collect,
    of,
    task_for,
)
from codin.testing.scripted_model import ScriptedModel, Turn, hang, text, tool_call

pytestmark = pytest.mark.slow


def llm(base_url: str) -> OpenAIChatCompletionsModel:
    client = AsyncOpenAI(api_key="k", base_url=base_url, max_retries=0)
    return OpenAIChatCompletionsModel("x", openai_client=client)


def made(name: str, url: str, **options: Any) -> OpenAiAgent[Any]:
    return OpenAiAgent(name, model=llm(url), **options)


def results(events: list[AgentEvent]) -> list[tuple[str, Any, bool]]:
    return [(r.name, r.content, r.is_error) for r in of(events, ToolResult)]


def wiping(done: list[str]) -> FunctionTool:
    @function_tool(needs_approval=True)
    def wipe(disk: str) -> str:
        """Wipe a disk."""
        done.append(disk)
        return f"wiped {disk}"

    return wipe


# Hand-offs


async def test_agents_that_pass_on_in_a_circle_all_have_the_tools_of_the_run() -> None:
    script = [
        tool_call("transfer_to_adder"),
        tool_call("add", {"a": 1, "b": 2}),
        tool_call("transfer_to_router"),
        text("It is 3."),
    ]
    model = ScriptedModel(script)
    async with model.serve() as url:
        passed: list[str] = []
        router, adder = made("router", url), made("adder", url, handoff_description="Adds.")
        router.handoffs = [handoff(adder, on_handoff=lambda context: passed.append("on"))]
        adder.handoffs = [router]
        events = await collect(wrap(router), task_for("1+2?", tools=[adding_tool()]))
    assert [(e.from_agent, e.to_agent) for e in of(events, HandOff)] == [
        ("router", "adder"),
        ("adder", "router"),
    ]
    assert passed == ["on"]
    assert [sorted(request.tools) for request in model.requests] == [
        ["add", "transfer_to_adder"],
        ["add", "transfer_to_router"],
        ["add", "transfer_to_router"],
        ["add", "transfer_to_adder"],
    ]
    assert of(events, TextFinal)[-1].text == "It is 3."
    assert [call.name for call in of(events, ToolCall)] == ["add"]
    assert (router.tools, adder.tools, adder.handoffs) == ([], [], [router])


@pytest.mark.parametrize("by_object", [True, False])
async def test_an_agent_that_was_passed_to_goes_on_after_a_restart(by_object: bool) -> None:
    done: list[str] = []

    def front(url: str) -> Agent:
        back = made("back", url, tools=[wiping(done)])
        return wrap(made("front", url, handoffs=[handoff(back) if by_object else back]))

    script = [
        tool_call("transfer_to_back"),
        tool_call("wipe", {"disk": "a"}) + tool_call("add", {"a": 1, "b": 2}),
        tool_call("add", {"a": 3, "b": 4}),
        text("It is 7."),
    ]
    model = ScriptedModel(script)
    async with model.serve() as url:
        task = task_for("Wipe a", tools=[adding_tool()])
        events = await collect(front(url), task)
        assert ("add", {"sum": 3}, False) in results(events)
        events = await collect(front(url), answering(task, asked(events), "yes"))
    assert isinstance(events[-1], Completed), events[-1]
    assert done == ["a"]
    assert results(events) == [("wipe", "wiped a", False), ("add", {"sum": 7}, False)]
    assert of(events, HandOff) == []
    assert model.requests[-1].tools == ["wipe", "add"]


# Questions and approvals


async def test_questions_and_approvals_of_one_turn_are_asked_one_by_one() -> None:
    done: list[str] = []

    @function_tool(needs_approval=True)
    def ask(question: str) -> str:
        """Ask the user."""
        raise AssertionError("what is said is the result")

    turn = (
        tool_call("wipe", {"disk": "a"})
        + tool_call("ask", {"question": "Why?"})
        + tool_call("wipe", {"disk": "b"})
    )
    model = ScriptedModel([turn, text("Done.")])
    async with model.serve() as url:
        task = task_for("Wipe")
        for said, prompt, kind in (
            ("yes", 'Approve wipe({"disk": "a"})?', "approval"),
            ("yes", "Why?", "input"),
            ("not that one", 'Approve wipe({"disk": "b"})?', "approval"),
        ):
            agent = wrap(made("w", url, tools=[ask, wiping(done)]))
            request = asked(await collect(agent, task))
            assert (request.prompt, request.request_kind) == (prompt, kind)
            task = answering(task, request, said)
        assert len(model.requests) == 1
        events = await collect(wrap(made("w", url, tools=[ask, wiping(done)])), task)
    assert isinstance(events[-1], Completed), events[-1]
    assert done == ["a"]
    refused = "The call was not approved: not that one"
    assert sorted(model.requests[1].tool_results) == [refused, "wiped a", "yes"]
    assert sorted(results(events)) == [
        ("ask", "yes", False),
        ("wipe", refused, True),
        ("wipe", "wiped a", False),
    ]


async def test_an_agent_that_is_a_tool_may_ask_too() -> None:
    done: list[str] = []

    def boss(url: str) -> Agent:
        cleaner = made("cleaner", url, tools=[wiping(done)])
        return wrap(made("boss", url, tools=[cleaner.as_tool("clean", "Cleans.")]))

    script = [
        tool_call("clean", {"input": "disk a"}),
        tool_call("wipe", {"disk": "a"}),
        text("Wiped it."),
        text("All clean."),
    ]
    model = ScriptedModel(script)
    async with model.serve() as url:
        task = task_for("Clean")
        agent = boss(url)
        request = asked(await collect(agent, task))
        assert "wipe" in request.prompt
        events = await collect(boss(url), answering(task, request, "yes"))
    assert isinstance(events[-1], Completed), events[-1]
    assert done == ["a"]
    assert of(events, TextFinal)[-1].text == "All clean."
    assert results(events) == [("wipe", "wiped a", False), ("clean", "Wiped it.", False)]


async def test_agents_that_are_tools_count_for_the_limit() -> None:
    @function_tool
    def look(disk: str) -> str:
        """Look."""
        return "nothing"

    turns = [tool_call("clean", {"input": "disk a"}), *[tool_call("look", {"disk": "a"})] * 20]
    model = ScriptedModel(turns)
    async with model.serve() as url:
        tools = [made("cleaner", url, tools=[look]).as_tool("clean", "Cleans.")]
        agent: Any = wrap(made("boss", url, tools=tools))
        agent.max_model_calls = 4
        events = await collect(agent, task_for("Clean"))
    assert isinstance(events[-1], Failed)
    assert events[-1].error_type == "TooManySteps"
    assert len(model.requests) == 4
    assert [name for name, _, _ in results(events)] == ["look", "look", "clean"]


async def test_cancelling_ends_the_request_of_an_agent_that_is_a_tool() -> None:
    model = ScriptedModel([tool_call("clean", {"input": "disk a"}), hang()])
    async with model.serve() as url:
        tools = [made("cleaner", url).as_tool("clean", "Cleans.")]
        running = asyncio.create_task(
            collect(wrap(made("boss", url, tools=tools)), task_for("Clean"))
        )
        async with asyncio.timeout(10):
            while len(model.requests) < 2:
                await asyncio.sleep(0.01)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            while not model.requests[1].disconnected:
                await asyncio.sleep(0.01)


async def test_what_was_used_is_counted_once_with_that_of_agents_that_are_tools() -> None:
    script = [
        replace(tool_call("research", {"input": "Ulm"}), usage=(100, 10)),
        Turn(text="A city.", usage=(20, 2)),
        replace(tool_call("wipe", {"disk": "a"}), usage=(130, 5)),
        Turn(text="Done.", usage=(150, 3)),
    ]
    model = ScriptedModel(script)
    async with model.serve() as url:
        helper = made("helper", url)
        tools = [helper.as_tool("research", "Researches."), wiping([])]
        agent = wrap(made("boss", url, tools=tools))
        task = task_for("?")
        before = await collect(agent, task)
        after = await collect(agent, answering(task, asked(before), "yes"))
    assert results(before) == [("research", "A city.", False)]
    used = [[(u.input_tokens, u.output_tokens) for u in of(e, Usage)] for e in (before, after)]
    assert [sum(u[0] for u in used[0]), sum(u[1] for u in used[0])] == [250, 17]
    assert used[1] == [(150, 3)]


@pytest.mark.parametrize("state", ["{", "[]", "{}", '{"state": 1, "calls": [], "answers": []}'])
async def test_a_state_that_cannot_be_read_is_said_to_be(state: str) -> None:
    agent = wrap(made("w", "http://127.0.0.1:9/v1"))
    request = InputRequest(request_id="1", prompt="?", state=state)
    (failed,) = await collect(agent, answering(task_for("?"), request, "yes"))
    assert isinstance(failed, Failed)
    assert "send the task anew" in failed.message


async def test_an_agent_that_has_changed_since_says_so() -> None:
    model = ScriptedModel([tool_call("wipe", {"disk": "a"})])
    async with model.serve() as url:
        task = task_for("Wipe a")
        request = asked(await collect(wrap(made("old", url, tools=[wiping([])])), task))
        (failed,) = await collect(wrap(made("new", url)), answering(task, request, "yes"))
    assert isinstance(failed, Failed)
    assert "send the task anew" in failed.message


# Guardrails


async def test_what_an_input_guardrail_stops_is_rejected() -> None:
    @input_guardrail
    async def homework(
        context: RunContextWrapper[Any], agent: OpenAiAgent[Any], given: Any
    ) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(
            output_info=None, tripwire_triggered="homework" in str(given)
        )

    model = ScriptedModel([text("No."), text("Hello.")])
    async with model.serve() as url:
        agent = wrap(made("tutor", url, input_guardrails=[homework]))
        events = await collect(agent, task_for("Do my homework"))
        assert events[-1] == Rejected(message="tutor does not take this: 'homework' refused it")
        assert isinstance((await collect(agent, task_for("Hello")))[-1], Completed)


async def test_what_an_output_guardrail_stops_fails() -> None:
    @output_guardrail(name="no numbers")
    async def no_numbers(
        context: RunContextWrapper[Any], agent: OpenAiAgent[Any], output: Any
    ) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered="3" in output)

    model = ScriptedModel([text("It is 3.")])
    async with model.serve() as url:
        agent = wrap(made("tutor", url, output_guardrails=[no_numbers]))
        failed = (await collect(agent, task_for("1+2?")))[-1]
    assert isinstance(failed, Failed)
    assert failed.error_type == "GuardrailTripped"
    said = "tutor was stopped by its guardrail 'no numbers': it refused its answer"
    assert failed.message == said


# What it is built of, and how it runs


async def test_a_function_is_given_tools_and_model_and_has_to_build_an_agent() -> None:
    def build(tools: list[Any], model: ModelAccess) -> Any:
        return made("adder", model.base_url, tools=tools)

    model = ScriptedModel([tool_call("add", {"a": 1, "b": 2}), text("It is 3.")])
    async with model.serve() as url:
        task = replace(
            task_for("1+2?", tools=[adding_tool()]), model=ModelAccess(url, "k", "scripted")
        )
        outcome = await (await wrap(build, framework="openai-agents").handle(task))
        assert outcome.text == "It is 3."
        assert [request.tools for request in model.requests] == [["add"], ["add"]]
    (failed,) = await collect(wrap(lambda: 3, framework="openai-agents", id="odd"), task_for("?"))
    assert isinstance(failed, Failed)
    assert "'odd' built a int, which is no Agent of the OpenAI Agents SDK" in failed.message


class Owner:
    owner = "Ada"


@pytest.mark.parametrize("context", [Owner(), {"owner": "Ada", "key": "sk-secret"}])
async def test_a_context_is_built_with_the_agent_and_is_there_after_a_question(
    context: Any,
) -> None:
    @function_tool(needs_approval=True)
    def whose(context: RunContextWrapper[Any]) -> str:
        """Whose it is."""
        given = context.context
        return str(given["owner"] if isinstance(given, dict) else given.owner)

    model = ScriptedModel([tool_call("whose"), text("Ada's.")])
    async with model.serve() as url:
        agent = wrap(
            lambda: (made("w", url, tools=[whose]), context), framework="openai-agents", id="w"
        )
        task = task_for("Whose?")
        request = asked(await collect(agent, task))
        assert "sk-secret" not in str(request.state)
        events = await collect(agent, answering(task, request, "yes"))
    assert results(events) == [("whose", "Ada", False)]


async def test_a_tool_of_its_own_under_the_name_of_one_of_the_run_is_an_error() -> None:
    @function_tool
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    agent = wrap(made("w", "http://127.0.0.1:9/v1", tools=[add]))
    failed = (await collect(agent, task_for("?", tools=[adding_tool()])))[-1]
    assert isinstance(failed, Failed)
    assert "`add` is used by multiple tools" in failed.message


async def test_models_that_are_only_named_are_asked_where_the_run_has_them() -> None:
    model = ScriptedModel(lambda _: text("ok"))
    async with model.serve() as url:
        client = AsyncOpenAI(api_key="k", base_url=url)
        responses = OpenAIResponsesModel("gpt-b", openai_client=client)
        agents = [
            OpenAiAgent("named", model="gpt-a"),
            OpenAiAgent("none"),
            OpenAiAgent("made", model=responses),
        ]
        for agent in agents:
            task = replace(task_for("?"), model=ModelAccess(url, "k", "x"))
            assert (await (await wrap(agent).handle(task))).text == "ok"
    asked_for = [request.body["model"] for request in model.requests]
    assert (asked_for[0], asked_for[2]) == ("gpt-a", "gpt-b")
    assert {request.path for request in model.requests} == {"/v1/chat/completions"}


async def test_agents_that_are_tools_are_asked_where_the_run_has_its_models_too() -> None:
    script = [tool_call("research", {"input": "Ulm"}), text("A city."), text("Ulm is a city.")]
    model = ScriptedModel(script)
    async with model.serve() as url:
        tools = [OpenAiAgent("helper", model="gpt-c").as_tool("research", "Researches.")]
        boss = wrap(OpenAiAgent("boss", model="gpt-d", tools=tools))
        task = replace(task_for("?"), model=ModelAccess(url, "k", "x"))
        assert (await (await boss.handle(task))).text == "Ulm is a city."
    assert [request.body["model"] for request in model.requests] == ["gpt-d", "gpt-c", "gpt-d"]


async def test_nothing_of_a_run_is_traced() -> None:
    seen: list[Any] = []

    class Spy(TracingProcessor):
        def on_trace_start(self, trace: Any) -> None:
            seen.append(trace)

        def on_trace_end(self, trace: Any) -> None:
            seen.append(trace)

        def on_span_start(self, span: Any) -> None:
            seen.append(span)

        def on_span_end(self, span: Any) -> None:
            seen.append(span)

        def shutdown(self) -> None: ...

        def force_flush(self) -> None: ...

    add_trace_processor(Spy())
    script = [tool_call("research", {"input": "Ulm"}), text("A city."), text("Ulm is a city.")]
    model = ScriptedModel(script)
    async with model.serve() as url:
        tools = [made("helper", url).as_tool("research", "Researches.")]
        events = await collect(wrap(made("boss", url, tools=tools)), task_for("?"))
    assert isinstance(events[-1], Completed)
    assert seen == []


async def test_what_was_said_before_a_call_is_told_before_it_to_a_slow_reader_too() -> None:
    model = ScriptedModel([text("word " * 200) + tool_call("add", {"a": 1, "b": 2}), text("3")])
    events: list[AgentEvent] = []
    async with model.serve() as url:
        tool = adding_tool()
        response = await wrap(made("w", url)).handle(task_for("?", tools=[tool]))
        async for event in response:
            events.append(event)
            if isinstance(event, TextDelta) and len(events) < 3:
                await asyncio.sleep(0.3)
                assert tool.calls == []
    kinds = [event.kind for event in events if not isinstance(event, TextDelta | Usage)]
    assert kinds == ["text_final", "tool_call", "tool_result", "text_final", "completed"]


async def test_a_run_that_goes_on_is_bounded_too() -> None:
    def say(request: Any) -> Turn:
        return tool_call("wipe" if not request.tool_results else "look", {"disk": "a"})

    @function_tool
    def look(disk: str) -> str:
        """Look."""
        return "nothing"

    model = ScriptedModel(say)
    async with model.serve() as url:
        agent: Any = wrap(made("w", url, tools=[wiping([]), look]))
        agent.max_model_calls = 4
        task = task_for("Wipe")
        events = await collect(agent, answering(task, asked(await collect(agent, task)), "yes"))
    assert isinstance(events[-1], Failed)
    assert events[-1].error_type == "TooManySteps"
    assert len(model.requests) <= 4


# What it makes and is given


async def test_what_a_tool_gives_may_be_the_answer() -> None:
    @function_tool
    def look(city: str) -> str:
        """Look."""
        return f"{city} is sunny"

    model = ScriptedModel([tool_call("look", {"city": "Ulm"})])
    async with model.serve() as url:
        behaviour: StopAtTools = {"stop_at_tool_names": ["look"]}
        agent = wrap(made("w", url, tools=[look], tool_use_behavior=behaviour))
        events = await collect(agent, task_for("?"))
    assert results(events) == [("look", "Ulm is sunny", False)]
    assert of(events, TextFinal)[-1].text == "Ulm is sunny"


async def test_pictures_of_a_tool_are_artifacts_and_no_part_of_its_result() -> None:
    @function_tool
    def draw() -> list[Any]:
        """Draw."""
        data = "data:image/png;base64," + base64.b64encode(b"PNG").decode()
        link = "https://example.com/b.png"
        return [ToolOutputImage(image_url=data), ToolOutputImage(image_url=link)]

    model = ScriptedModel([tool_call("draw"), text("Done.")])
    async with model.serve() as url:
        events = await collect(wrap(made("w", url, tools=[draw])), task_for("?"))
    assert isinstance(events[-1], Completed), events[-1]
    drawn, linked = of(events, ArtifactProduced)
    assert (drawn.raw, drawn.media_type, drawn.name) == (b"PNG", "image/png", "image.png")
    assert (linked.url, linked.media_type) == ("https://example.com/b.png", "image/png")
    assert results(events)[0][1] == ["the file image.png", "the file b.png"]


async def test_a_document_and_a_picture_by_its_url_reach_the_model() -> None:
    pdf = Part(raw=b"%PDF-1.4", media_type="application/pdf", filename="a.pdf")
    picture = Part(url="https://example.com/a.png", media_type="image/png", filename="a.png")
    model = ScriptedModel([text("ok")])
    async with model.serve() as url:
        message = user_message("Compare", parts=[pdf, picture])
        history = [user_message("I am Ada."), agent_message([text_part("Hello Ada.")])]
        task = replace(task_for("?", history=history), message=message)
        events = await collect(wrap(made("w", url)), task)
    assert isinstance(events[-1], Completed), events[-1]
    content = model.requests[0].messages[-1]["content"]
    given = base64.b64encode(b"%PDF-1.4").decode()
    assert content[1]["file"]["file_data"] == f"data:application/pdf;base64,{given}"
    assert model.requests[0].images == ["https://example.com/a.png"]
    assert [m["role"] for m in model.requests[0].messages] == ["user", "assistant", "user"]


async def test_arguments_that_are_no_object_are_an_error_that_the_model_sees() -> None:
    for arguments in ("[1]", "{bad"):
        model = ScriptedModel([tool_call("add", arguments), text("Sorry.")])
        async with model.serve() as url:
            tool = adding_tool()
            events = await collect(wrap(made("w", url)), task_for("?", tools=[tool]))
        assert tool.calls == []
        assert "no JSON object" in model.requests[1].tool_results[0]
        assert isinstance(events[-1], Completed)


def test_it_is_described_as_for_those_that_pass_on_to_it() -> None:
    agent = wrap(OpenAiAgent("adder", handoff_description="Adds.", instructions="You add. Well."))
    assert (agent.id, agent.description) == ("adder", "Adds.")


TEAM = """
from agents import Agent, function_tool, handoff

@function_tool
def look(city: str) -> str:
    'Look at the weather.'
    return city

adder = Agent("adder", handoff_description="Adds.")
asker = Agent("asker")
drawer = Agent("drawer")
router = Agent(
    "router",
    instructions="You route. Always.",
    tools=[look, drawer.as_tool("draw", "Draws.")],
    handoffs=[adder, handoff(asker)],
)
one, two = Agent("one"), Agent("two")
one.handoffs, two.handoffs = [two], [one]
"""


def test_agents_that_others_pass_on_to_or_use_are_none_of_their_own(tmp_path: Path) -> None:
    source = tmp_path / "team.py"
    source.write_text(TEAM)
    found = discover([source])
    assert found.problems == ()
    router, one, two = found.agents
    assert [agent.name for agent in (router, one, two)] == ["router", "one", "two"]
    info = info_of(router)
    assert info.description == "You route."
    assert info.skills == ("look: Look at the weather.", "draw: Draws.", "adder: Adds.", "asker")
    assert info_of(one).skills == ("two",)


def test_a_function_that_builds_one_is_described_by_itself() -> None:
    def build() -> OpenAiAgent[Any]:
        """Adds numbers."""
        raise NotImplementedError

    assert wrap(build, framework="openai-agents").description == "Adds numbers."
