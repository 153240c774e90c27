"""Run by ``test_environments.py`` where smolagents is: the suite, and what is its own."""

import asyncio
import io
from dataclasses import replace
from typing import Any, ClassVar

from a2a.types import Part
from PIL import Image
from smolagents import (
    CodeAgent,
    FinalAnswerTool,
    OpenAIModel,
    Tool,
    ToolCallingAgent,
    UserInputTool,
    tool,
)
from smolagents.models import (
    ChatMessageToolCall,
    ChatMessageToolCallFunction,
    MessageRole,
)

from codin.agent import wrap
from codin.agent.a2a import user_message
from codin.agent.events import (
    ArtifactProduced,
    Completed,
    Failed,
    HandOff,
    TextDelta,
    TextFinal,
    Thought,
    ToolCall,
    ToolResult,
)
from codin.testing.agent_conformance import (
    PIXEL,
    AgentConformance,
    FakeTool,
    Scene,
    adding_tool,
    answering,
    asked,
    collect,
    of,
    task_for,
)
from codin.testing.scripted_model import ScriptedModel, text, thought, tool_call


class TalkingModel(OpenAIModel):
    """Takes what the model says for its answer, where it calls no tool: smolagents itself wants it
    to call one for that, ``final_answer``."""

    def generate_stream(self, messages, tools_to_call_from=None, **more):
        tools = [tool for tool in tools_to_call_from or [] if tool.name != "final_answer"]
        return super().generate_stream(messages, tools_to_call_from=tools or None, **more)

    def parse_tool_calls(self, message):
        said = ChatMessageToolCallFunction(
            name="final_answer", arguments={"answer": message.content or ""}
        )
        message.tool_calls = [ChatMessageToolCall(function=said, id="answer", type="function")]
        return message


def model_at(base_url: str, kind: type[OpenAIModel] = OpenAIModel) -> OpenAIModel:
    return kind(
        model_id="gpt-4o-mini",
        api_base=base_url,
        api_key="k",
        client_kwargs={"max_retries": 0},
        retry=False,
        custom_role_conversions={
            MessageRole.TOOL_CALL: MessageRole.ASSISTANT,
            MessageRole.TOOL_RESPONSE: "tool",
        },
    )


def worker(base_url: str, **more: Any) -> ToolCallingAgent:
    return ToolCallingAgent(
        **{"tools": [], "model": model_at(base_url, TalkingModel), "stream_outputs": True, **more}
    )


def plain(base_url: str, **more: Any) -> ToolCallingAgent:
    return worker(base_url, model=model_at(base_url), **more)


def coder(base_url: str, **more: Any) -> CodeAgent:
    given = {"tools": [], "model": model_at(base_url), "stream_outputs": True, **more}
    return CodeAgent(**given)


async def bare(agent: Any, said: str) -> list[Any]:
    """What the framework alone gives."""
    return await asyncio.to_thread(lambda: list(agent.run(said, stream=True)))


class TestSmolAgent(AgentConformance):
    title = "smolagents"
    in_host: ClassVar = {
        "model's stream closed": "its threads read on until the host cuts what they read"
    }
    cannot: ClassVar = {
        "thoughts": "its models drop what a model reasons; its plans are told as thoughts",
        "approval": "its tools run when they are called; nothing can hold a call back",
        "files out": "its answers are text, data, images and recordings",
    }

    async def make(self, base_url):
        return wrap(worker(base_url))

    def asking(self):
        script = [tool_call("user_input", {"question": "Which city?"}), text("Then there.")]
        return Scene(script, lambda url: wrap(worker(url, tools=[UserInputTool()])))

    def handing_off(self):
        script = [tool_call("back", {"task": "1+2"}), text("It is 3."), text("It is 3.")]

        def make(url):
            back = worker(url, name="back", description="Adds.")
            return wrap(worker(url, name="front", managed_agents=[back]))

        return Scene(script, make)

    def structuring(self):
        script = [tool_call("final_answer", {"answer": {"city": "Paris", "people": 2}})]
        return Scene(script, lambda url: wrap(plain(url)))

    async def test_bare_thoughts(self):
        async with ScriptedModel([thought("Hm.") + text("Yes.")]).serve() as url:
            steps = await bare(worker(url), "?")
        assert "Hm." not in repr(steps)

    async def test_bare_approval(self):
        wiped = []

        @tool
        def wipe(disk: str) -> str:
            """Wipe a disk.

            Args:
                disk: its name
            """
            wiped.append(disk)
            return "wiped"

        async with ScriptedModel([tool_call("wipe", {"disk": "a"}), text("Done.")]).serve() as url:
            await bare(worker(url, tools=[wipe]), "Wipe the disk a")
        assert wiped == ["a"]  # nobody was asked
        assert not [name for name in dir(Tool) if "approv" in name or "confirm" in name]

    async def test_bare_files_out(self):
        class Note(Tool):
            name = "note"
            description = "Write a note."
            inputs: ClassVar = {}
            output_type = "any"

            def forward(self):
                return b"hello"

        script = [tool_call("note", {}), text("Here it is.")]
        async with ScriptedModel(script).serve() as url:
            steps = await bare(worker(url, tools=[Note()]), "Write a note")
        assert steps[-1].output == "Here it is."
        assert "b'hello'" in repr(steps)  # all that is left of it


class TestSmolAgentFactory(TestSmolAgent):
    async def make(self, base_url):
        return wrap(lambda tools: worker(base_url, tools=tools), framework="smolagents")


async def played(make: Any, script: Any, task: Any) -> tuple[list[Any], ScriptedModel]:
    model = ScriptedModel(script)
    async with model.serve() as url:
        return await collect(make(url), task), model


def finals(events: list[Any]) -> list[str]:
    return [event.text for event in of(events, TextFinal)]


def calls(events: list[Any]) -> list[tuple[str, Any]]:
    """Each call, and what it gave."""
    results = {result.call_id: result.content for result in of(events, ToolResult)}
    return [(call.name, results.get(call.call_id)) for call in of(events, ToolCall)]


def code(written: str, thinking: str = "I compute.") -> Any:
    return text(f"Thought: {thinking}\n<code>\n{written}\n</code>")


async def test_the_answer_is_what_the_agent_calls_its_answer():
    script = [
        text("I add.") + tool_call("add", {"a": 1, "b": 2}),
        tool_call("final_answer", {"answer": "It is 3."}),
    ]
    task = task_for("1+2?", tools=[adding_tool()])
    events, model = await played(lambda url: wrap(plain(url)), script, task)
    assert isinstance(events[-1], Completed), events[-1]
    assert finals(events) == ["I add.", "It is 3."]
    assert "".join(delta.text for delta in of(events, TextDelta)) == "I add."
    assert calls(events) == [("add", {"sum": 3})]
    assert [request.tools for request in model.requests] == [["final_answer", "add"]] * 2


async def test_parameters_of_a_tool_are_told_as_they_are():
    async def find(**given: Any) -> Any:
        return given

    schema = {
        "type": "object",
        "properties": {
            "words": {"type": "array", "items": {"type": "string"}},
            "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
            "where": {"$ref": "#/$defs/Where", "description": "A place."},
            "order": {"enum": ["up", "down"], "type": "string"},
            "free": {},
        },
        "required": ["words", "where"],
        "$defs": {"Where": {"type": "object"}},
    }
    given = {"words": ["a"], "where": {"city": "Paris"}, "limit": 3, "free": 1}
    script = [tool_call("find", given), tool_call("final_answer", {"answer": "Done."})]
    task = task_for("?", tools=[FakeTool("find", find, input_schema=schema)])
    events, model = await played(lambda url: wrap(plain(url)), script, task)
    assert calls(events) == [("find", given)]
    told = model.requests[0].body["tools"][1]["function"]["parameters"]
    assert told["required"] == ["words", "where"]
    kinds = {name: value["type"] for name, value in told["properties"].items()}
    assert kinds == {
        "words": "array",
        "limit": ["integer", "null"],
        "where": "object",
        "order": "string",
        "free": "string",  # it knows no other type for anything
    }
    assert told["properties"]["order"]["enum"] == ["up", "down"]


async def test_code_that_is_written_uses_the_tools_of_the_run():
    script = [
        code("x = add(a=1, b=2)['sum']\nprint('x is', x)"),
        code("final_answer(f'It is {x}.')", "I have it."),
    ]
    tool = adding_tool()
    events, model = await played(
        lambda url: wrap(coder(url)), script, task_for("1+2?", tools=[tool])
    )
    assert isinstance(events[-1], Completed), events[-1]
    assert tool.calls == [{"a": 1, "b": 2}]
    (first, said), (second, given), (last, _) = calls(events)
    assert (first, second, last) == ("python_interpreter", "add", "python_interpreter")
    assert "x is 3" in said
    assert given == {"sum": 3}
    assert "I compute." in "".join(thought.text for thought in of(events, Thought))
    assert of(events, TextDelta) == []  # what it writes is no answer
    assert finals(events) == ["It is 3."]
    assert "def add(a: integer, b: integer)" in model.requests[0].system


async def test_code_that_fails_is_told_and_may_be_mended():
    async def refuse(**_: Any) -> None:
        raise ValueError("not today")

    script = [code("read()"), code("import os"), code("final_answer('Sorry.')")]
    task = task_for("?", tools=[FakeTool("read", refuse)])
    events, model = await played(lambda url: wrap(coder(url)), script, task)
    results = of(events, ToolResult)
    assert [result.is_error for result in results] == [True, True, True, False]
    assert "not today" in results[0].content
    assert "Import of os is not allowed" in results[2].content
    assert "not today" in model.requests[1].text
    assert finals(events) == ["Sorry."]


async def test_runs_of_code_share_no_variables():
    script = [code("kept = 'secret'\nfinal_answer('ok')"), code("final_answer(kept)")]
    model = ScriptedModel([*script, code("final_answer('unknown')")])
    async with model.serve() as url:
        agent = wrap(coder(url))
        await collect(agent, task_for("Keep it"))
        events = await collect(agent, task_for("Tell it"))
    assert finals(events) == ["unknown"]


async def test_an_agent_that_is_managed_by_code_is_a_hand_off():
    def make(url):
        back = plain(url, name="back", description="Adds.")
        return wrap(coder(url, name="front", managed_agents=[back]))

    script = [
        code("told = back(task='1+2')"),
        tool_call("final_answer", {"answer": "It is 3."}),
        code("final_answer('Three.')"),
    ]
    events, model = await played(make, script, task_for("1+2?"))
    assert isinstance(events[-1], Completed), events[-1]
    assert [(e.from_agent, e.to_agent) for e in of(events, HandOff)] == [("front", "back")]
    assert finals(events)[-1] == "Three."
    assert model.pending == 0


async def test_a_plan_is_a_thought():
    script = [text("First I look."), tool_call("final_answer", {"answer": "Done."})]
    for streams in (True, False):
        events, _ = await played(
            lambda url, streams=streams: wrap(
                plain(url, planning_interval=3, stream_outputs=streams)
            ),
            script,
            task_for("?"),
        )
        assert "First I look." in "".join(thought.text for thought in of(events, Thought))
        assert of(events, TextDelta) == []
        assert finals(events) == ["Done."]


async def test_an_agents_own_limit_makes_it_answer():
    script = [tool_call("add", {"a": 1, "b": 2}), text("Perhaps 3.")]
    task = task_for("1+2?", tools=[adding_tool()])
    events, _ = await played(lambda url: wrap(plain(url, max_steps=1)), script, task)
    assert isinstance(events[-1], Completed), events[-1]
    assert finals(events) == ["Perhaps 3."]


async def test_an_image_that_is_the_answer_is_an_artifact():
    class Painter(Tool):
        name = "paint"
        description = "Paint."
        inputs: ClassVar = {}
        output_type = "image"

        def forward(self):
            return Image.new("RGB", (2, 1), "red")

    script = [tool_call("paint", {}), tool_call("final_answer", {"answer": "image.png"})]
    events, _ = await played(lambda u: wrap(plain(u, tools=[Painter()])), script, task_for("?"))
    assert isinstance(events[-1], Completed), events[-1]
    (made,) = of(events, ArtifactProduced)
    assert (made.name, made.media_type) == ("image.png", "image/png")
    assert Image.open(io.BytesIO(made.raw)).size == (2, 1)


async def test_what_came_before_a_question_is_there_after_it():
    picture = Part(raw=PIXEL, media_type="image/png", filename="dot.png")
    task = task_for("Book a trip", tools=[adding_tool()])
    task = replace(task, message=user_message("Book a trip", parts=[picture]))
    first = [tool_call("add", {"a": 1, "b": 2}), tool_call("user_input", {"question": "City?"})]
    model = ScriptedModel([*first, tool_call("final_answer", {"answer": "Booked."})])
    async with model.serve() as url:
        request = asked(await collect(wrap(plain(url, tools=[UserInputTool()])), task))
        again = wrap(plain(url, tools=[UserInputTool()]))
        events = await collect(again, answering(task, request, "Paris"))
    assert isinstance(events[-1], Completed), events[-1]
    assert calls(events) == [("user_input", "Paris")]
    read = model.requests[2]
    assert len(read.images) == 1
    assert read.text.count("Book a trip") == 1
    assert read.text.index("Book a trip") < read.text.index("{'sum': 3}") < read.text.index("Paris")


async def test_code_that_asks_is_told_that_nobody_is_there():
    script = [code("user_input('City?')"), code("final_answer('Which city?')")]
    make = lambda url: wrap(coder(url, tools=[UserInputTool()]))  # noqa: E731
    events, model = await played(make, script, task_for("Book a trip"))
    assert "nobody can be asked here" in model.requests[1].text
    assert finals(events) == ["Which city?"]


async def test_the_agent_stays_as_it_is():
    agents = []

    def make(url):
        agents.append(plain(url, tools=[FinalAnswerTool()]))
        return wrap(agents[0])

    script = [tool_call("final_answer", {"answer": "Yes."})]
    await played(make, script, task_for("?", tools=[adding_tool()]))
    assert list(agents[0].tools) == ["final_answer"]
    assert agents[0].memory.steps == []


async def test_a_file_that_is_no_image_is_an_error():
    task = task_for("What is it?")
    picture = Part(raw=b"no image", media_type="image/png", filename="dot.png")
    task = replace(task, message=user_message("What is it?", parts=[picture]))
    (failed,) = await collect(wrap(plain("http://127.0.0.1:9/v1")), task)
    assert isinstance(failed, Failed)
    assert "cannot be read" in failed.message


async def test_a_state_that_is_of_another_agent_is_an_error():
    task = replace(task_for("?"), state='{"left": "over"}')
    (failed,) = await collect(wrap(plain("http://127.0.0.1:9/v1")), task)
    assert isinstance(failed, Failed)
    assert "begin the task anew" in failed.message


async def test_a_factory_of_something_else_is_refused():
    agent = wrap(lambda: 3, framework="smolagents", id="three")
    (failed,) = await collect(agent, task_for("?"))
    assert "built a int" in failed.message
