"""Run by ``test_environments.py`` where Strands is: the suite, and what is its own."""

import threading
from dataclasses import replace
from typing import Any

import httpx
import pytest
from a2a.types import Part
from openai import AsyncOpenAI
from pydantic import BaseModel
from strands import Agent, ModelRetryStrategy, ToolContext, tool
from strands.hooks import BeforeToolCallEvent, HookProvider, MessageAddedEvent
from strands.models.openai import OpenAIModel
from strands.multiagent import Swarm
from strands.session.file_session_manager import FileSessionManager
from strands.vended_interventions.hitl import HumanInTheLoop

from codin.agent import wrap
from codin.agent.a2a import user_message
from codin.agent.discovery import discover
from codin.agent.events import (
    Completed,
    Failed,
    TextFinal,
    ToolCall,
    ToolResult,
    Usage,
)
from codin.agent.wrapping import parts_of
from codin.testing._script import content_text
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
from codin.testing.scripted_model import ScriptedModel, Turn, text, tool_call


class City(BaseModel):
    """A city."""

    city: str
    people: int


@tool(context=True)
def ask_user(question: str, tool_context: ToolContext) -> str:
    """Ask the user."""
    return f"the user says {tool_context.interrupt('user', reason=question)}"


@tool
def write() -> dict[str, Any]:
    """Write a note."""
    note = {"format": "txt", "name": "note", "source": {"bytes": b"hello"}}
    return {"status": "success", "content": [{"text": "written"}, {"document": note}]}


def wiping_tool(wiped):
    @tool
    def wipe(disk: str) -> str:
        """Wipe a disk."""
        wiped.append(disk)
        return f"{disk} is wiped"

    return wipe


def model_at(base_url):
    return OpenAIModel(
        client_args={"base_url": base_url, "api_key": "k", "max_retries": 0}, model_id="x"
    )


def worker(base_url, name="worker", **more):
    return Agent(model_at(base_url), system_prompt="Help.", name=name, **more)


class TestStrands(AgentConformance):
    title = "Strands"

    async def make(self, base_url):
        return wrap(worker(base_url))

    def asking(self):
        return Scene(
            [tool_call("ask_user", {"question": "Which city?"}), text("Booked.")],
            lambda url: wrap(worker(url, tools=[ask_user])),
        )

    def approving(self):
        wiped: list[str] = []
        both = tool_call("wipe", {"disk": "a"}) + tool_call("wipe", {"disk": "b"})
        return Scene(
            [both, text("Done.")],
            lambda url: wrap(
                worker(url, tools=[wiping_tool(wiped)], interventions=[HumanInTheLoop()])
            ),
            wiped,
        )

    def handing_off(self):
        passing = tool_call("handoff_to_agent", {"agent_name": "back", "message": "Add."})
        return Scene(
            [passing, text("I passed it on."), text("It is 3.")],
            lambda url: wrap(Swarm([worker(url, "front"), worker(url, "back")]), id="team"),
        )

    def structuring(self):
        given = tool_call("City", {"city": "Paris", "people": 2})
        return Scene([given], lambda url: wrap(worker(url, structured_output_model=City)))

    def making_files(self):
        return Scene(
            [tool_call("write", {}), text("Here it is.")],
            lambda url: wrap(worker(url, tools=[write])),
        )


async def test_a_function_builds_the_agent_of_each_run():
    model = ScriptedModel([tool_call("add", {"a": 1, "b": 2}), text("It is 3.")])
    async with model.serve() as url:
        agent = wrap(lambda tools: worker(url, tools=tools), framework="strands")
        used = adding_tool()
        events = await collect(agent, task_for("1+2?", tools=[used]))
    assert isinstance(events[-1], Completed)
    assert used.calls == [{"a": 1, "b": 2}]
    assert [request.tools for request in model.requests] == [["add"], ["add"]]


async def test_a_function_that_builds_something_else_is_told():
    (failed,) = await collect(wrap(lambda: 7, framework="strands", id="seven"), task_for("?"))
    assert isinstance(failed, Failed)
    assert "built a int" in failed.message


async def test_the_agent_itself_is_left_as_it_was(capsys):
    async with ScriptedModel([tool_call("add", {"a": 1, "b": 2}), text("It is 3.")]).serve() as url:
        theirs = Agent(model_at(url), name="prints")
        await collect(wrap(theirs), task_for("1+2?", tools=[adding_tool()]))
        assert theirs.messages == []
        assert theirs.tool_names == []
    assert capsys.readouterr().out == ""


async def test_what_an_agent_was_given_to_begin_with_comes_before_the_conversation():
    example = [
        {"role": "user", "content": [{"text": "1+1?"}]},
        {"role": "assistant", "content": [{"text": "2."}]},
    ]
    model = ScriptedModel([text("3.")] * 2)
    async with model.serve() as url:
        for agent in (
            wrap(worker(url, messages=list(example))),
            wrap(lambda: worker(url, messages=list(example)), framework="strands", id="built"),
        ):
            await collect(agent, task_for("1+2?", history=[user_message("I am Ada.")]))
    for request in model.requests:
        said = [content_text(m) for m in request.messages if m["role"] != "system"]
        assert said == ["1+1?", "2.", "I am Ada.", "1+2?"]


async def test_what_each_request_used_is_told():
    calls = replace(tool_call("add", {"a": 1, "b": 2}), usage=(11, 7))
    script = [calls, calls, Turn(text="3.", usage=(30, 2))]
    async with ScriptedModel(script).serve() as url:
        events = await collect(wrap(worker(url)), task_for("1+2?", tools=[adding_tool()]))
    used = [(u.input_tokens, u.output_tokens) for u in of(events, Usage)]
    assert used == [(11, 7), (11, 7), (30, 2)]


async def test_hooks_of_a_run_know_the_agent_of_the_run():
    seen = []

    class Watching(HookProvider):
        def register_hooks(self, registry, **_):
            registry.add_callback(MessageAddedEvent, self.added)

        def added(self, event):
            seen.append((event.agent, event.message["role"]))

    async with ScriptedModel([text("Yes.")]).serve() as url:
        theirs = worker(url, hooks=[Watching()])
        await collect(wrap(theirs), task_for("?"))
    assert [role for _, role in seen] == ["user", "assistant"]
    assert theirs not in [agent for agent, _ in seen]


async def test_a_session_manager_is_refused(tmp_path):
    manager = FileSessionManager("mine", storage_dir=str(tmp_path))
    theirs = worker("http://127.0.0.1:9/v1", session_manager=manager)
    (failed,) = await collect(wrap(theirs), task_for("?"))
    assert isinstance(failed, Failed)
    assert "FileSessionManager" in failed.message


async def test_what_cannot_be_copied_is_built_by_a_function():
    class Locked(HookProvider):
        def __init__(self):
            self.lock = threading.Lock()

        def register_hooks(self, registry, **_):
            registry.add_callback(MessageAddedEvent, self.added)

        def added(self, event):
            assert not self.lock.locked()

    async with ScriptedModel([text("Yes.")]).serve() as url:

        def build():
            return worker(url, hooks=[Locked()])

        (failed,) = await collect(wrap(build()), task_for("?"))
        assert isinstance(failed, Failed)
        assert "wrap a function" in failed.message
        events = await collect(wrap(build, framework="strands", id="locked"), task_for("?"))
        assert isinstance(events[-1], Completed), events[-1]


async def test_a_hook_that_interrupts_asks_for_approval_and_gets_the_answer():
    wiped, answers = [], []

    class Asking(HookProvider):
        def register_hooks(self, registry, **_):
            registry.add_callback(BeforeToolCallEvent, self.ask)

        def ask(self, event):
            said = event.interrupt("mine", reason={"question": "Wipe it?", "disk": "a"})
            answers.append(said)
            if said != "by all means":
                event.cancel_tool = "no"

    script = [tool_call("wipe", {"disk": "a"}), text("Done.")]
    async with ScriptedModel(script).serve() as url:

        def make():
            return wrap(worker(url, tools=[wiping_tool(wiped)], hooks=[Asking()]))

        task = task_for("Wipe")
        request = asked(await collect(make(), task))
        assert (request.prompt, request.request_kind) == ("Wipe it?", "approval")
        events = await collect(make(), answering(task, request, "by all means"))
    assert isinstance(events[-1], Completed), events[-1]
    assert (wiped, answers) == (["a"], ["by all means"])


async def test_a_tool_of_the_run_that_is_not_approved_is_not_called():
    tool = adding_tool()
    script = [tool_call("add", {"a": 1, "b": 2}), text("Then not.")]
    async with ScriptedModel(script).serve() as url:
        agent = wrap(worker(url, interventions=[HumanInTheLoop()]))
        task = task_for("1+2?", tools=[tool])
        request = asked(await collect(agent, task))
        events = await collect(agent, answering(task, request, "no"))
    assert tool.calls == []
    (call,), (result,) = of(events, ToolCall), of(events, ToolResult)
    assert (call.name, result.call_id, result.is_error) == ("add", call.call_id, True)
    assert isinstance(events[-1], Completed)


async def test_what_was_told_before_a_question_is_not_told_again():
    wiped, tool = [], adding_tool()
    script = [tool_call("add", {"a": 1, "b": 2}) + tool_call("wipe", {"disk": "a"}), text("Done.")]
    async with ScriptedModel(script).serve() as url:
        human = HumanInTheLoop(allowed_tools=["add"])
        agent = wrap(worker(url, tools=[wiping_tool(wiped)], interventions=[human]))
        task = task_for("?", tools=[tool])
        first = await collect(agent, task)
        assert [r.name for r in of(first, ToolResult)] == ["add"]
        events = await collect(agent, answering(task, asked(first), "yes"))
    assert [(r.name, r.content) for r in of(events, ToolResult)] == [("wipe", "a is wiped")]
    assert (tool.calls, wiped) == ([{"a": 1, "b": 2}], ["a"])


async def test_an_image_of_the_message_is_kept_while_it_waits():
    scene = TestStrands().asking()
    model = ScriptedModel(scene.script)
    async with model.serve() as url:
        task = task_for("Book")
        picture = Part(raw=PIXEL, media_type="image/png", filename="dot.png")
        task.message.parts.append(picture)
        request = asked(await collect(await scene.agent(url), task))
        await collect(await scene.agent(url), answering(task, request, "Rome"))
    assert model.requests[1].images == model.requests[0].images != []


async def test_a_file_by_its_url_is_refused_with_the_reason():
    task = task_for("What is it?")
    task.message.parts.append(Part(url="https://example.com/a.png", media_type="image/png"))
    (failed,) = await collect(wrap(worker("http://127.0.0.1:9/v1")), task)
    assert isinstance(failed, Failed)
    assert "https://example.com/a.png" in failed.message


def test_what_is_told_of_an_agent_is_what_it_tells_of_itself():
    helper = worker("http://x", "helper", description="Helps.")
    front = worker("http://x", "front", tools=[ask_user, helper])
    info = wrap(front).info
    assert (info.id, info.description) == ("front", "Help.")
    assert info.skills == ("ask_user: Ask the user.", "helper: Helps.")
    assert wrap(helper).info.description == "Helps."
    team = Swarm([front, worker("http://x", "back", description="Ends.")])
    assert wrap(team, id="team").info.skills == ("front", "back: Ends.")
    assert [part.name for part in parts_of(team)] == ["front", "helper", "back"]


def test_an_agent_without_a_name_has_that_of_its_variable(tmp_path):
    source = tmp_path / "two.py"
    source.write_text(
        "from strands import Agent\n"
        "from strands.models.openai import OpenAIModel\n"
        "one, two = (Agent(OpenAIModel(model_id='x')) for _ in range(2))\n"
    )
    found = discover([source])
    assert [agent.id for agent in found.agents] == ["one", "two"]
    assert found.problems == ()


@pytest.mark.parametrize(("code", "times"), [("insufficient_quota", 1), ("rate_limit", 2)])
async def test_a_run_that_may_use_no_more_ends_and_one_that_is_throttled_waits(code, times):
    requests = []

    def refuse(request):
        requests.append(request)
        body = {"error": {"message": "the budget is spent", "type": "x", "code": code}}
        return httpx.Response(429, json=body)

    http = httpx.AsyncClient(transport=httpx.MockTransport(refuse))
    async with AsyncOpenAI(api_key="k", max_retries=0, http_client=http) as client:
        waiting = ModelRetryStrategy(max_attempts=2, initial_delay=0)
        theirs = Agent(OpenAIModel(client, model_id="x"), retry_strategy=waiting)
        (failed,) = await collect(wrap(theirs, id="poor"), task_for("?"))
    assert isinstance(failed, Failed)
    assert failed.error_type == "ModelError"
    assert "the budget is spent" in failed.message
    assert len(requests) == times


async def test_a_question_within_an_agent_that_is_a_tool_goes_on_in_another_process():
    script = [
        tool_call("helper", {"input": "book"}, id="outer"),
        tool_call("ask_user", {"question": "Which city?"}, id="inner"),
        text("Booked."),
        text("All done."),
    ]
    model = ScriptedModel(script)
    async with model.serve() as url:

        def make():
            return wrap(worker(url, tools=[worker(url, "helper", tools=[ask_user])]))

        task = task_for("A trip")
        request = asked(await collect(make(), task))
        assert request.prompt == "Which city?"
        events = await collect(make(), answering(task, request, "Rome"))
    assert isinstance(events[-1], Completed), events[-1]
    assert model.requests[2].tool_results == ["the user says Rome"]
    assert [(r.name, r.content) for r in of(events, ToolResult)] == [
        ("ask_user", "the user says Rome"),
        ("helper", "Booked.\n"),
    ]


async def test_an_agent_that_is_a_tool_is_told_by_what_it_does():
    script = [
        tool_call("adder", {"input": "1+2"}, id="outer"),
        tool_call("plus_one", {"n": 2}, id="inner"),
        text("It gives 3."),
        text("It is 3."),
    ]

    @tool
    def plus_one(n: int) -> int:
        """Add one."""
        return n + 1

    async with ScriptedModel(script).serve() as url:
        adder = worker(url, "adder", tools=[plus_one], description="Adds.")
        events = await collect(wrap(worker(url, tools=[adder])), task_for("1+2?"))
        again = await collect(wrap(worker(url, tools=[adder])), task_for("1+2?"))
    assert isinstance(events[-1], Completed), events[-1]
    assert isinstance(again[-1], Failed)  # the script is at its end: both had it for themselves
    assert [call.name for call in of(events, ToolCall)] == ["adder", "plus_one"]
    assert [e.text for e in of(events, TextFinal)] == ["It is 3."]
    assert len(of(events, Usage)) == 4
    assert adder.messages == []
