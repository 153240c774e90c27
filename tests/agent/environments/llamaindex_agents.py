"""Run by ``test_environments.py`` where LlamaIndex is: the suite, and what is its own."""

from dataclasses import replace
from typing import Any

import pytest
from a2a.types import Part
from llama_index.core.agent.workflow import (
    AgentWorkflow,
    CodeActAgent,
    FunctionAgent,
    ReActAgent,
)
from llama_index.core.llms import DocumentBlock
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import (
    Context,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StopEvent,
    Workflow,
    step,
)
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

from codin.agent import wrap
from codin.agent.a2a import data_part, user_message
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
    Scene,
    adding_tool,
    answering,
    asked,
    collect,
    of,
    task_for,
)
from codin.testing.scripted_model import ScriptedModel, text, thought, tool_call


def model_at(base_url: str) -> OpenAILike:
    return OpenAILike(
        model="gpt-4o-mini",
        api_base=base_url,
        api_key="k",
        is_chat_model=True,
        is_function_calling_model=True,
        max_retries=0,
        additional_kwargs={"stream_options": {"include_usage": True}},
    )


def worker(base_url: str, name: str = "worker", **more: Any) -> FunctionAgent:
    return FunctionAgent(name=name, description="Helps.", llm=model_at(base_url), **more)


class Trip(BaseModel):
    """A trip."""

    city: str
    people: int


async def ask(ctx: Context, question: str) -> str:
    """Ask the human."""
    given = await ctx.wait_for_event(
        HumanResponseEvent, waiter_event=InputRequiredEvent(prefix=question)
    )
    return f"they said {given.response}"


async def note() -> DocumentBlock:
    """Write a note."""
    return DocumentBlock(data=b"hello", title="note.txt", document_mimetype="text/plain")


def wiping(disks: list[str]) -> Any:
    async def wipe(ctx: Context, disk: str) -> str:
        """Wipe a disk."""
        given = await ctx.wait_for_event(
            HumanResponseEvent,
            waiter_event=InputRequiredEvent(
                prefix=f"May I wipe({disk})?", request_kind="approval", disk=disk
            ),
            requirements={"disk": disk},
        )
        if given.response != "yes":
            return "they said no"
        disks.append(disk)
        return "wiped"

    return wipe


class TestLlamaIndex(AgentConformance):
    title = "LlamaIndex"

    async def make(self, base_url):
        return wrap(worker(base_url))

    def asking(self):
        script = [tool_call("ask", {"question": "Which city?"}), text("Then there.")]
        return Scene(script, lambda url: wrap(worker(url, tools=[ask])))

    def approving(self):
        disks = []
        both = tool_call("wipe", {"disk": "a"}) + tool_call("wipe", {"disk": "b"})
        return Scene(
            [both, text("That was it.")],
            lambda url: wrap(worker(url, tools=[wiping(disks)])),
            disks,
        )

    def handing_off(self):
        script = [tool_call("handoff", {"to_agent": "back", "reason": "sums"}), text("It is 3.")]

        def make(url):
            agents = [worker(url, "front"), worker(url, "back")]
            return wrap(AgentWorkflow(agents=agents, root_agent="front"), id="team")

        return Scene(script, make)

    def structuring(self):
        script = [text("Two, to Paris."), tool_call("Trip", {"city": "Paris", "people": 2})]
        return Scene(script, lambda url: wrap(worker(url, output_cls=Trip)))

    def making_files(self):
        script = [tool_call("note", {}), text("Here it is.")]
        return Scene(script, lambda url: wrap(worker(url, tools=[note])))


class TestLlamaIndexFactory(TestLlamaIndex):
    async def make(self, base_url):
        return wrap(lambda tools: worker(base_url, tools=tools), framework="llamaindex")


class TestLlamaIndexWorkflow(TestLlamaIndex):
    async def make(self, base_url):
        return wrap(AgentWorkflow(agents=[worker(base_url)]), id="team")


def code_act(url: str, execute: Any, **more: Any) -> CodeActAgent:
    return CodeActAgent(code_execute_fn=execute, llm=model_at(url), **more)


def thinking(url: str, **more: Any) -> ReActAgent:
    return ReActAgent(name="thinker", llm=model_at(url), **more)


async def played(make: Any, script: Any, task: Any) -> tuple[list[Any], ScriptedModel]:
    model = ScriptedModel(script)
    async with model.serve() as url:
        return await collect(make(url), task), model


async def test_what_a_react_agent_writes_is_told_as_thoughts_calls_and_an_answer():
    script = [
        text('Thought: I add.\nAction: add\nAction Input: {"a": 1, "b": 2}'),
        text("Thought: I can answer.\nAnswer: It is 3, and nothing else."),
    ]
    task = task_for("1+2?", tools=[adding_tool()])
    events, model = await played(lambda url: wrap(thinking(url)), script, task)
    assert isinstance(events[-1], Completed), events[-1]
    assert [t.text for t in of(events, Thought)] == ["I add.", "I can answer."]
    (call,), (result,) = of(events, ToolCall), of(events, ToolResult)
    assert (call.name, call.arguments) == ("add", {"a": 1, "b": 2})
    assert (result.call_id, result.content) == (call.call_id, {"sum": 3})
    assert "".join(d.text for d in of(events, TextDelta)) == "It is 3, and nothing else."
    assert [f.text for f in of(events, TextFinal)] == ["It is 3, and nothing else."]
    assert '"a"' in model.requests[0].system  # the tool's schema


async def test_a_react_agent_that_does_not_think_aloud_answers():
    events, _ = await played(lambda url: wrap(thinking(url)), [text("Yes.")], task_for("?"))
    assert of(events, Thought) == []
    assert [f.text for f in of(events, TextFinal)] == ["Yes."]


async def test_code_that_an_agent_writes_uses_the_tools_of_the_run():
    def build(tools, url):
        functions = {tool.metadata.name: tool.real_fn for tool in tools}

        def execute(code: str) -> str:
            """Execute code."""
            return str(eval(code, functions))

        return code_act(url, execute, tools=list(tools))

    script = [text("<execute>add(a=1, b=2)['sum'] * 10</execute>"), text("It is 30.")]
    tool = adding_tool()
    model = ScriptedModel(script)
    async with model.serve() as url:
        agent = wrap(lambda tools: build(tools, url), framework="llamaindex", id="coder")
        events = await collect(agent, task_for("?", tools=[tool]))
    assert isinstance(events[-1], Completed), events[-1]
    assert tool.calls == [{"a": 1, "b": 2}]
    assert [c.name for c in of(events, ToolCall)] == ["execute", "add"]
    assert {r.name: r.content for r in of(events, ToolResult)} == {
        "execute": "30",
        "add": {"sum": 3},
    }
    assert "def add(*, a: int, b: int)" in model.requests[0].text


async def test_an_agent_that_writes_code_is_told_how_it_gets_tools():
    agent = wrap(code_act("http://127.0.0.1:9/v1", print), tools=["add"])
    (failed,) = await collect(agent, task_for("?", tools=[adding_tool()]))
    assert isinstance(failed, Failed)
    assert "wrap a function that takes the tools" in failed.message


async def test_each_agent_of_a_workflow_has_the_tools_of_the_run():
    script = [
        tool_call("handoff", {"to_agent": "back", "reason": "sums"}),
        tool_call("add", {"a": 1, "b": 2}),
        text("It is 3."),
    ]

    def make(url):
        agents = [worker(url, "front"), worker(url, "back")]
        return wrap(AgentWorkflow(agents=agents, root_agent="front"), id="team")

    events, model = await played(make, script, task_for("1+2?", tools=[adding_tool()]))
    assert [request.tools for request in model.requests] == [["add", "handoff"]] * 3
    (passed,) = of(events, HandOff)
    assert (passed.from_agent, passed.to_agent) == ("front", "back")
    assert [r.content for r in of(events, ToolResult)][-1] == {"sum": 3}


async def test_the_workflows_agents_are_not_changed():
    agent = worker("http://127.0.0.1:9/v1")
    team = AgentWorkflow(agents=[agent])
    await collect(wrap(team, id="team"), task_for("?", tools=[adding_tool()]))
    assert not agent.tools
    assert team.agents == {"worker": agent}


async def test_an_answer_that_takes_the_last_step_is_an_answer():
    def make(url):
        agent = wrap(worker(url))
        agent.max_model_calls = 1
        return agent

    events, _ = await played(make, [text("At once.")], task_for("?"))
    assert isinstance(events[-1], Completed), events[-1]
    assert of(events, TextFinal)[-1].text == "At once."


async def test_what_a_tool_returns_directly_is_the_answer():
    def look(path: str) -> str:
        """Look at a file."""
        return f"{path} has 3 rows"

    tool = FunctionTool.from_defaults(look, return_direct=True)
    script = [tool_call("look", {"path": "a.csv"})]
    events, _ = await played(lambda url: wrap(worker(url, tools=[tool])), script, task_for("?"))
    assert of(events, TextFinal)[-1].text == "a.csv has 3 rows"


@pytest.mark.filterwarnings("ignore:There was a problem")
async def test_an_output_that_does_not_have_its_schema_is_an_error():
    script = [text("Two."), tool_call("Trip", {"city": "Paris"})]
    events, _ = await played(lambda u: wrap(worker(u, output_cls=Trip)), script, task_for("?"))
    assert isinstance(events[-1], Failed)
    assert "no Trip that has its schema" in events[-1].message


async def test_thoughts_of_a_turn_with_calls_come_before_the_calls():
    script = [thought("I add.") + tool_call("add", {"a": 1, "b": 2}), text("3")]
    task = task_for("?", tools=[adding_tool()])
    events, _ = await played(lambda url: wrap(worker(url)), script, task)
    kinds = [event.kind for event in events if event.kind in {"thought", "tool_call"}]
    assert kinds == ["thought", "tool_call"]


async def test_an_image_is_still_there_after_a_question():
    picture = Part(raw=PIXEL, media_type="image/png", filename="dot.png")
    task = task_for("Where is it?")
    task = replace(task, message=user_message("Where is it?", parts=[picture]))
    model = ScriptedModel([tool_call("ask", {"question": "Which city?"}), text("There.")])
    async with model.serve() as url:
        request = asked(await collect(wrap(worker(url, tools=[ask])), task))
        again = wrap(worker(url, tools=[ask]))
        events = await collect(again, answering(task, request, "Paris"))
    assert isinstance(events[-1], Completed), events[-1]
    assert model.requests[1].images == model.requests[0].images != []


async def test_what_cannot_be_kept_until_the_answer_is_said():
    async def hold(ctx: Context) -> str:
        """Ask, with something in the context that is no data."""
        await ctx.store.set("lock", object())
        await ctx.wait_for_event(HumanResponseEvent, waiter_event=InputRequiredEvent(prefix="?"))
        return ""

    script = [tool_call("hold", {})]
    events, _ = await played(lambda url: wrap(worker(url, tools=[hold])), script, task_for("?"))
    assert isinstance(events[-1], Failed)
    assert "cannot be kept until the answer" in events[-1].message


# Workflows that are no agents


class Begin(StartEvent):
    topic: str


class Draft(InputRequiredEvent):
    draft: str


class Review(HumanResponseEvent):
    good: bool
    remark: str = ""


class Writing(Workflow):
    """Asks its human by events of its own."""

    @step
    async def draft(self, event: Begin) -> Draft:
        return Draft(prefix=f"Is it good: {event.topic}?", draft=event.topic)

    @step
    async def done(self, event: Review) -> StopEvent:
        return StopEvent(result={"good": event.good, "remark": event.remark, "draft": event.draft})


class Shout(Workflow):
    @step
    async def shout(self, event: StartEvent) -> StopEvent:
        return StopEvent(result=event.message.upper())


class Idle(Workflow):
    @step
    async def wait(self, event: StartEvent, ctx: Context) -> StopEvent:
        await ctx.wait_for_event(Begin)
        return StopEvent()


def with_data(task, data):
    return replace(task, message=user_message(task.text, parts=[data_part(data)]))


async def test_a_workflow_is_given_the_message_and_says_what_comes_of_it():
    agent = wrap(Shout(), id="shout")
    events = await collect(agent, task_for("hello"))
    assert [f.text for f in of(events, TextFinal)] == ["HELLO"]
    events = await collect(agent, with_data(task_for("?"), {"message": "data"}))
    assert [f.text for f in of(events, TextFinal)] == ["DATA"]


async def test_a_workflow_asks_by_events_of_its_own():
    task = task_for("owls")
    request = asked(await collect(wrap(Writing(), id="writing"), task))
    assert request.prompt == "Is it good: owls?"
    assert set(request.answer_schema["properties"]) == {"good", "remark"}
    data = data_part({"type": "input_response", "good": True, "remark": "fine"})
    answer = answering(task, request, "")
    answer = replace(answer, message=user_message("", parts=[data]))
    events = await collect(wrap(Writing(), id="writing"), answer)
    assert isinstance(events[-1], Completed), events[-1]
    (made,) = of(events, ArtifactProduced)
    assert made.data == {"good": True, "remark": "fine", "draft": "owls"}


async def test_an_answer_that_does_not_fit_is_asked_for_again():
    task = task_for("owls")
    request = asked(await collect(wrap(Writing(), id="writing"), task))
    task = answering(task, request, "no idea")
    again = asked(await collect(wrap(Writing(), id="writing"), task))
    assert again.prompt.startswith("The answer does not fit: ")
    assert again.prompt.endswith(request.prompt)
    task = answering(task, again, '{"good": false}')
    events = await collect(wrap(Writing(), id="writing"), task)
    assert of(events, ArtifactProduced)[0].data["good"] is False


async def test_a_state_that_is_of_another_agent_is_an_error():
    task = replace(task_for("?"), state='{"left": "over"}')
    (failed,) = await collect(wrap(Writing(), id="writing"), task)
    assert isinstance(failed, Failed)
    assert "begin the task anew" in failed.message


async def test_a_workflow_that_waits_for_nobody_is_an_error():
    events = await collect(wrap(Idle(), id="idle"), task_for("?"))
    assert isinstance(events[-1], Failed)
    assert "that nobody sends" in events[-1].message


async def test_a_workflow_that_asks_for_tools_is_told_how_to_get_them():
    agent = wrap(Shout(), id="shout", tools=["add"])
    (failed,) = await collect(agent, task_for("?", tools=[adding_tool()]))
    assert "returns the workflow" in failed.message


async def test_a_factory_of_something_else_is_refused():
    agent = wrap(lambda: 3, framework="llamaindex", id="three")
    (failed,) = await collect(agent, task_for("?"))
    assert "built a int" in failed.message
