"""What is Pydantic AI's own: what an agent is built of, what it makes, and what it is given."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from a2a.types import Part
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai import BinaryContent, ImageUrl, ModelRetry, NativeOutput, RunContext, ToolReturn
from pydantic_ai.messages import FilePart, PartEndEvent, PartStartEvent
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.toolsets import FunctionToolset
from pydantic_ai.usage import RunUsage, UsageLimits

from codin.agent import AgentError, wrap
from codin.agent.a2a import agent_message, text_part, user_message
from codin.agent.adapters._run import Run
from codin.agent.adapters.pydantic_ai.agent import _Reader
from codin.agent.base import ModelAccess
from codin.agent.events import (
    AgentEvent,
    ArtifactProduced,
    Completed,
    Failed,
    TextFinal,
    ToolCall,
    ToolResult,
)
from codin.agent.wrapping import info_of
from codin.testing.agent_conformance import (
    adding_tool,
    collect,
    of,
    task_for,
)
from codin.testing.scripted_model import ScriptedModel, Turn, hang, text, tool_call

pytestmark = pytest.mark.slow


class City(BaseModel):
    city: str
    people: int


def llm(base_url: str) -> OpenAIChatModel:
    client = AsyncOpenAI(api_key="k", base_url=base_url, max_retries=0)
    return OpenAIChatModel("x", provider=OpenAIProvider(openai_client=client))


def pydantic(url: str, **options: Any) -> PydanticAgent[Any, Any]:
    return PydanticAgent(llm(url), name="worker", **options)


def results(events: list[AgentEvent]) -> list[tuple[str, Any, bool]]:
    return [(r.name, r.content, r.is_error) for r in of(events, ToolResult)]


# What it is built of


async def test_an_agent_that_needs_deps_is_built_by_a_function() -> None:
    def build(url: str) -> Any:
        agent = pydantic(url, deps_type=dict)

        async def whose(context: RunContext[Any]) -> str:
            """Whose it is."""
            return str(context.deps["owner"])

        agent.tool(whose)
        return agent

    script = [tool_call("whose") + tool_call("add", {"a": 1, "b": 2}), text("Ada's.")]
    model = ScriptedModel(script)
    async with model.serve() as url:
        with pytest.raises(AgentError, match=r"'worker' needs deps \(dict\): wrap a function that"):
            wrap(build(url))
        alone = wrap(lambda: build(url), framework="pydantic-ai", id="alone")
        (failed,) = await collect(alone, task_for("?"))
        assert isinstance(failed, Failed)
        assert "needs deps" in failed.message
        agent = wrap(lambda: (build(url), {"owner": "Ada"}), framework="pydantic-ai", id="w")
        events = await collect(agent, task_for("Whose?", tools=[adding_tool()]))
    assert isinstance(events[-1], Completed), events[-1]
    assert ("whose", "Ada", False) in results(events)
    assert ("add", {"sum": 3}, False) in results(events)


async def test_a_function_is_given_tools_and_model_and_has_to_build_an_agent() -> None:
    def build(tools: list[Any], model: ModelAccess) -> Any:
        return pydantic(model.base_url, tools=tools)

    model = ScriptedModel([tool_call("add", {"a": 1, "b": 2}), text("It is 3.")])
    async with model.serve() as url:
        task = replace(
            task_for("1+2?", tools=[adding_tool()]), model=ModelAccess(url, "k", "scripted")
        )
        outcome = await (await wrap(build, framework="pydantic-ai").handle(task))
        assert outcome.text == "It is 3."
        assert [request.tools for request in model.requests] == [["add"], ["add"]]
    (failed,) = await collect(wrap(lambda: 3, framework="pydantic-ai", id="odd"), task_for("?"))
    assert isinstance(failed, Failed)
    assert "'odd' built a int, which is no Pydantic AI Agent" in failed.message


async def test_in_a_host_models_are_asked_by_the_chat_api(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = ScriptedModel(lambda _: text("ok"))
    async with model.serve() as url:
        provider = OpenAIProvider(openai_client=AsyncOpenAI(api_key="k", base_url=url))
        named = PydanticAgent(OpenAIResponsesModel("gpt-5", provider=provider), name="named")
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        later = PydanticAgent("openai:gpt-6", name="later", defer_model_check=True)
        for agent in (wrap(named), wrap(PydanticAgent(name="none")), wrap(later)):
            task = replace(task_for("?"), model=ModelAccess(url, "k", "platform's"))
            assert (await (await agent.handle(task))).text == "ok"
    assert [request.body["model"] for request in model.requests] == ["gpt-5", "platform's", "gpt-6"]
    assert isinstance(named.model, OpenAIResponsesModel)


async def test_its_system_prompt_is_there_in_a_conversation_too() -> None:
    model = ScriptedModel([text("ok")])
    async with model.serve() as url:
        history = [user_message("I am Ada."), agent_message([text_part("Hello Ada.")])]
        agent = wrap(pydantic(url, system_prompt="You are terse."))
        await collect(agent, task_for("Who am I?", history=history))
    assert model.requests[0].system == "You are terse."


async def test_an_error_of_its_own_tool_is_a_result_or_ends_the_run_clearly() -> None:
    model = ScriptedModel([tool_call("look", {"city": "Ulm"}), text("Sorry.")])
    async with model.serve() as url:
        pydantic_agent = pydantic(url)

        @pydantic_agent.tool_plain
        def look(city: str) -> str:
            raise ModelRetry("no such city")

        events = await collect(wrap(pydantic_agent), task_for("?"))
    [(_, content, is_error)] = results(events)
    assert is_error
    assert "no such city" in content
    assert isinstance(events[-1], Completed)


@pytest.mark.parametrize("arguments", ["[1]", "3", "null", '"a"'])
async def test_arguments_that_are_no_object_are_an_error_that_the_model_sees(
    arguments: str,
) -> None:
    model = ScriptedModel([tool_call("add", arguments), text("Sorry.")])
    async with model.serve() as url:
        tool = adding_tool()
        events = await collect(wrap(pydantic(url)), task_for("?", tools=[tool]))
    assert tool.calls == []
    assert "Input should be an object" in model.requests[1].tool_results[0]
    assert isinstance(events[-1], Completed)


async def test_what_an_agent_that_it_runs_has_used_is_counted_once() -> None:
    script = [
        replace(tool_call("research", {"topic": "Ulm"}), usage=(100, 10)),
        Turn(text="A city.", usage=(20, 2)),
        Turn(text="Ulm is a city.", usage=(130, 5)),
    ]
    model = ScriptedModel(script)
    async with model.serve() as url:
        helper, boss = pydantic(url), pydantic(url)

        @boss.tool
        async def research(context: RunContext[Any], topic: str) -> str:
            return str((await helper.run(topic, usage=context.usage)).output)

        outcome = await (await wrap(boss).handle(task_for("?")))
    assert (outcome.input_tokens, outcome.output_tokens) == (250, 17)


async def test_cancelling_ends_the_request_of_an_agent_that_it_runs() -> None:
    model = ScriptedModel([tool_call("research", {"topic": "Ulm"}), hang()])
    async with model.serve() as url:
        helper, boss = pydantic(url), pydantic(url)

        @boss.tool_plain
        async def research(topic: str) -> str:
            return str((await helper.run(topic)).output)

        running = asyncio.create_task(collect(wrap(boss), task_for("?")))
        async with asyncio.timeout(10):
            while len(model.requests) < 2:
                await asyncio.sleep(0.01)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            while not model.requests[1].disconnected:
                await asyncio.sleep(0.01)


async def test_only_its_own_limit_is_too_many_steps() -> None:
    model = ScriptedModel(lambda _: text("A city."))
    async with model.serve() as url:
        boss = pydantic(url)

        @boss.output_validator
        async def check(said: str) -> str:
            limits = UsageLimits(input_tokens_limit=1)
            return str((await pydantic(url).run(said, usage_limits=limits)).output)

        failed = (await collect(wrap(boss), task_for("a longer text than that")))[-1]
    assert isinstance(failed, Failed)
    assert failed.error_type == "UsageLimitExceeded"
    assert "input_tokens_limit" in failed.message


# What it makes and is given


async def test_text_of_an_output_function_is_what_it_says() -> None:
    model = ScriptedModel([tool_call("final_result", {"name": "Ada"}), text("no")])
    async with model.serve() as url:

        def greeting(name: str) -> str:
            """Greet."""
            return f"Good morning, {name}."

        events = await collect(wrap(pydantic(url, output_type=greeting)), task_for("?"))
    assert of(events, TextFinal)[-1].text == "Good morning, Ada."
    assert of(events, ToolCall) == []


async def test_output_in_the_models_own_json_is_text_and_data() -> None:
    model = ScriptedModel([text('{"city": "Ulm", "people": 3}')])
    async with model.serve() as url:
        agent = wrap(pydantic(url, output_type=NativeOutput(City)))
        events = await collect(agent, task_for("?"))
    assert json.loads(of(events, TextFinal)[-1].text) == {"city": "Ulm", "people": 3}
    (made,) = of(events, ArtifactProduced)
    assert (made.name, made.data) == ("City", {"city": "Ulm", "people": 3})


async def test_output_that_is_no_object_is_data_too() -> None:
    model = ScriptedModel([tool_call("final_result", {"response": [1, 2]})])
    async with model.serve() as url:
        agent = wrap(pydantic(url, output_type=list[int]))
        (made,) = of(await collect(agent, task_for("?")), ArtifactProduced)
    assert made.data == [1, 2]


async def test_a_document_and_a_picture_by_its_url_reach_the_model() -> None:
    pdf = Part(raw=b"%PDF-1.4", media_type="application/pdf", filename="a.pdf")
    picture = Part(url="https://example.com/a.png", media_type="image/png", filename="a.png")
    model = ScriptedModel([text("ok")])
    async with model.serve() as url:
        agent = wrap(pydantic(url))
        assert {"image/*", "application/pdf"} <= set(agent.info.input_modes)  # type: ignore[attr-defined]
        task = task_for("?")
        message = user_message("Compare", parts=[pdf, picture])
        events = await collect(agent, replace(task, message=message))
    assert isinstance(events[-1], Completed), events[-1]
    (content,) = [m["content"] for m in model.requests[0].messages if m["role"] == "user"]
    assert content[0] == {"type": "text", "text": "Compare"}
    given = base64.b64encode(b"%PDF-1.4").decode()
    assert content[1]["file"]["file_data"] == f"data:application/pdf;base64,{given}"
    assert model.requests[0].images == ["https://example.com/a.png"]


async def test_files_of_a_tool_are_artifacts_and_no_part_of_its_result() -> None:
    model = ScriptedModel([tool_call("draw"), text("Done.")])
    async with model.serve() as url:
        artist = pydantic(url)

        @artist.tool_plain
        def draw() -> Any:
            picture = BinaryContent(b"PNG", media_type="image/png")
            return ToolReturn(["two", picture], content=[ImageUrl("https://example.com/b.png")])

        events = await collect(wrap(artist), task_for("?"))
    drawn, linked = of(events, ArtifactProduced)
    assert (drawn.raw, drawn.media_type, drawn.name[-4:]) == (b"PNG", "image/png", ".png")
    assert (linked.url, linked.media_type) == ("https://example.com/b.png", "image/png")
    assert results(events) == [("draw", ["two", f"the file {drawn.name}"], False)]


async def test_files_of_the_model_are_artifacts() -> None:
    async def events() -> AsyncIterator[Any]:
        part = FilePart(BinaryContent(b"PNG", media_type="image/png", identifier="cat.png"))
        yield PartStartEvent(index=0, part=part)
        yield PartEndEvent(index=0, part=part)

    heard: list[AgentEvent] = []

    async def hear(event: AgentEvent) -> None:
        heard.append(event)

    context = SimpleNamespace(usage=RunUsage(), model=SimpleNamespace(model_name="x"))
    await _Reader(Run(hear)).hear(context, events())
    (made,) = of(heard, ArtifactProduced)
    assert (made.name, made.media_type, made.raw) == ("cat.png", "image/png", b"PNG")


def test_it_is_described_by_what_it_knows_of_itself() -> None:
    agent = PydanticAgent("test", name="adder", instructions="You add. Always.")

    @agent.tool_plain
    def add(a: int, b: int) -> int:
        """Add two numbers.

        Slowly."""
        return a + b

    info = info_of(wrap(agent))
    assert (info.description, info.skills) == ("You add.", ("add: Add two numbers.",))
    assert (
        info_of(wrap(PydanticAgent("test", name="w", description="Works."))).description == "Works."
    )
    prompted = PydanticAgent("test", name="w", system_prompt="You work.\nAlways.")
    assert info_of(wrap(prompted)).description == "You work."
    assert info_of(wrap(prompted)).skills == ()
    with_toolset = PydanticAgent("test", name="w", toolsets=[FunctionToolset([add])])
    assert info_of(wrap(with_toolset)).skills == ("add: Add two numbers.",)
