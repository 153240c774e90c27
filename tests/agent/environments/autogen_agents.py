"""Run by ``test_environments.py`` where AutoGen is: the suite, and what is its own."""

from dataclasses import replace
from typing import Any, ClassVar

from a2a.types import Part
from autogen_agentchat.agents import (
    AssistantAgent,
    BaseChatAgent,
    CodeExecutorAgent,
    SocietyOfMindAgent,
    UserProxyAgent,
)
from autogen_agentchat.base import Handoff, Response
from autogen_agentchat.conditions import (
    HandoffTermination,
    MaxMessageTermination,
    TextMentionTermination,
    TextMessageTermination,
)
from autogen_agentchat.messages import MultiModalMessage
from autogen_agentchat.teams import RoundRobinGroupChat, SelectorGroupChat, Swarm
from autogen_agentchat.tools import AgentTool
from autogen_core import CancellationToken, Image
from autogen_core.code_executor import CodeExecutor, CodeResult
from autogen_core.tools import FunctionTool
from autogen_ext.models.openai import OpenAIChatCompletionClient
from PIL import Image as PillowImage
from pydantic import BaseModel

from codin.agent import wrap
from codin.agent.a2a import agent_message, text_part, user_message
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
    Usage,
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
from codin.testing.scripted_model import ScriptedModel, Turn, error, text, thought, tool_call


def model_at(base_url: str, model: str = "gpt-4o-mini") -> OpenAIChatCompletionClient:
    return OpenAIChatCompletionClient(
        model=model,
        base_url=base_url,
        api_key="k",
        max_retries=0,
        stream_options={"include_usage": True},
    )


def worker(base_url: str, name: str = "worker", **more: Any) -> AssistantAgent:
    return AssistantAgent(
        name,
        model_client=model_at(base_url),
        model_client_stream=True,
        max_tool_iterations=1000,
        **more,
    )


class Trip(BaseModel):
    city: str
    people: int


def user(url: str) -> AssistantAgent:
    return worker(url, handoffs=[Handoff(target="user", message="I need to know the city.")])


class TestAutoGen(AgentConformance):
    title = "AutoGen"
    cannot: ClassVar = {
        "approval": "its tools run when they are called; nothing can hold a call back",
        "files out": "its messages carry text and images, its tools give text",
    }

    async def make(self, base_url):
        return wrap(worker(base_url))

    def asking(self):
        script = [tool_call("transfer_to_user", {}), text("Then there.")]
        return Scene(script, lambda url: wrap(user(url)))

    def handing_off(self):
        script = [tool_call("transfer_to_back", {}), text("It is 3.")]

        def make(url):
            front = worker(url, "front", handoffs=["back"])
            ends = TextMessageTermination("back")
            return wrap(Swarm([front, worker(url, "back")], termination_condition=ends), id="team")

        return Scene(script, make)

    def structuring(self):
        script = [text('{"city": "Paris", "people": 2}')]
        return Scene(script, lambda url: wrap(worker(url, output_content_type=Trip)))

    async def test_bare_approval(self):
        wiped = []

        def wipe(disk: str) -> str:
            wiped.append(disk)
            return "wiped"

        script = [tool_call("wipe", {"disk": "a"}), text("Done.")]
        async with ScriptedModel(script).serve() as url:
            tool = FunctionTool(wipe, description="Wipe a disk.")
            assert not [name for name in dir(tool) if "approv" in name or "confirm" in name]
            await worker(url, tools=[tool]).run(task="Wipe the disk a")
        assert wiped == ["a"]  # nobody was asked

    async def test_bare_files_out(self):
        def note() -> bytes:
            return b"hello"

        tool = FunctionTool(note, description="Write a note.")
        given = await tool.run_json({}, CancellationToken())
        assert tool.return_value_as_string(given) == "b'hello'"  # all that an agent gets of it


class TestAutoGenFactory(TestAutoGen):
    async def make(self, base_url):
        return wrap(lambda tools: worker(base_url, tools=tools), framework="autogen")


class TestAutoGenTeam(TestAutoGen):
    async def make(self, base_url):
        return wrap(RoundRobinGroupChat([worker(base_url)], max_turns=1), id="team")

    def asking(self):
        def make(url):
            ends = HandoffTermination("user") | TextMessageTermination("worker")
            return wrap(Swarm([user(url)], termination_condition=ends), id="team")

        return Scene([tool_call("transfer_to_user", {}), text("Then there.")], make)


async def played(make: Any, script: Any, task: Any) -> tuple[list[Any], ScriptedModel]:
    model = ScriptedModel(script)
    async with model.serve() as url:
        return await collect(make(url), task), model


def passed(events: list[Any]) -> list[tuple[str, str]]:
    return [(event.from_agent, event.to_agent) for event in of(events, HandOff)]


def finals(events: list[Any]) -> list[str]:
    return [event.text for event in of(events, TextFinal)]


async def test_a_selected_speaker_is_a_hand_off_and_its_selection_is_counted():
    def make(url):
        members = [worker(url, name) for name in ("front", "back", "other")]
        ends = MaxMessageTermination(3)
        team = SelectorGroupChat(members, model_client=model_at(url), termination_condition=ends)
        return wrap(team, id="team")

    turns = [text("front"), text("Ask back."), text("back"), Turn(text="It is 3.", usage=(5, 2))]
    events, model = await played(make, turns, task_for("1+2?"))
    assert isinstance(events[-1], Completed), events[-1]
    assert passed(events) == [("front", "back")]
    assert finals(events) == ["Ask back.", "It is 3."]
    assert len(of(events, Usage)) == len(model.requests) == 4


async def test_each_member_has_the_tools_of_the_run_and_the_team_stays_as_it_is():
    agents = []

    def make(url):
        agents.extend([worker(url, "front"), worker(url, "back")])
        return wrap(RoundRobinGroupChat(agents, max_turns=2), id="team")

    turns = [tool_call("add", {"a": 1, "b": 2}), text("It is 3."), text("Right.")]
    tool = adding_tool()
    events, model = await played(make, turns, task_for("1+2?", tools=[tool]))
    assert isinstance(events[-1], Completed), events[-1]
    assert tool.calls == [{"a": 1, "b": 2}]
    (call,), (result,) = of(events, ToolCall), of(events, ToolResult)
    assert (result.call_id, result.content) == (call.call_id, {"sum": 3})
    assert [request.tools for request in model.requests] == [["add"]] * 3
    assert [await agent.model_context.get_messages() for agent in agents] == [[], []]


async def test_a_word_of_the_past_does_not_end_a_team():
    def make(url):
        ends = TextMentionTermination("DONE")
        return wrap(RoundRobinGroupChat([worker(url)], termination_condition=ends), id="team")

    history = [user_message("Say DONE."), agent_message([text_part("DONE")])]
    events, model = await played(make, [text("Again: DONE")], task_for("Again", history=history))
    assert finals(events) == ["Again: DONE"]
    roles = [m["role"] for m in model.requests[0].messages if m["role"] != "system"]
    assert roles == ["user", "assistant", "user"]


async def test_a_user_who_is_a_member_is_asked_and_answers_after_a_restart():
    def make(url):
        members = [worker(url), UserProxyAgent("human")]
        ends = TextMentionTermination("Booked")
        return wrap(RoundRobinGroupChat(members, termination_condition=ends), id="team")

    model = ScriptedModel([text("Which city?"), text("Booked: Paris.")])
    async with model.serve() as url:
        task = task_for("Book a trip")
        request = asked(await collect(make(url), task))
        assert (request.prompt, request.request_kind) == ("Which city?", "input")
        events = await collect(make(url), answering(task, request, "Paris"))
    assert isinstance(events[-1], Completed), events[-1]
    assert finals(events) == ["Booked: Paris."]
    assert "Book a trip" in model.requests[1].text
    assert "Paris" in model.requests[1].last_user


async def test_a_user_who_is_handed_to_hands_back():
    def make(url):
        members = [worker(url, handoffs=["human"]), UserProxyAgent("human")]
        ends = TextMessageTermination("worker")
        return wrap(Swarm(members, termination_condition=ends), id="team")

    model = ScriptedModel([tool_call("transfer_to_human", {}), text("To Rome then.")])
    async with model.serve() as url:
        task = task_for("Book a trip")
        request = asked(await collect(make(url), task))
        events = await collect(make(url), answering(task, request, "Rome"))
    assert isinstance(events[-1], Completed), events[-1]
    assert finals(events) == ["To Rome then."]
    assert "Rome" in model.requests[1].text


async def test_an_image_is_still_there_after_a_question():
    task = task_for("Where is it?")
    picture = Part(raw=PIXEL, media_type="image/png", filename="dot.png")
    task = replace(task, message=user_message("Where is it?", parts=[picture]))
    model = ScriptedModel([tool_call("transfer_to_user", {}), text("There.")])
    async with model.serve() as url:
        request = asked(await collect(wrap(user(url)), task))
        events = await collect(wrap(user(url)), answering(task, request, "Paris"))
    assert isinstance(events[-1], Completed), events[-1]
    assert len(model.requests[1].images) == 1


async def test_an_agent_that_is_a_tool_tells_what_it_does_and_forgets_it():
    helper: list[Any] = []

    def make(url):
        helper.append(worker(url, "helper"))
        return wrap(worker(url, tools=[AgentTool(helper[0])]))

    turns = [tool_call("helper", {"task": "add"}), text("It is 3."), text("Three.")]
    events, _ = await played(make, turns, task_for("1+2?"))
    assert isinstance(events[-1], Completed), events[-1]
    assert finals(events) == ["It is 3.", "Three."]
    assert passed(events) == [("worker", "helper"), ("helper", "worker")]
    assert await helper[0].model_context.get_messages() == []


async def test_a_team_inside_of_an_agent_forgets_too():
    inner: list[Any] = []

    def make(url):
        inner.append(worker(url, "inner"))
        team = RoundRobinGroupChat(inner, max_turns=1)
        return wrap(SocietyOfMindAgent("society", team=team, model_client=model_at(url)))

    events, _ = await played(make, [text("It is 3."), text("Three.")], task_for("1+2?"))
    assert finals(events) == ["It is 3.", "Three."]
    assert await inner[0].model_context.get_messages() == []


async def test_text_beside_calls_is_text_and_what_is_reasoned_is_not():
    turns = [
        thought("Hm.") + text("Let me add.") + tool_call("add", {"a": 1, "b": 2}),
        text("It is 3."),
    ]
    task = task_for("1+2?", tools=[adding_tool()])
    events, _ = await played(lambda url: wrap(worker(url)), turns, task)
    assert [t.text for t in of(events, Thought)] == ["Hm."]
    assert finals(events) == ["Let me add.", "It is 3."]
    assert "".join(d.text for d in of(events, TextDelta)) == "Let me add.It is 3."


async def test_what_an_agent_draws_is_an_artifact():
    class Painter(BaseChatAgent):
        produced_message_types = (MultiModalMessage,)

        async def on_messages(self, messages, cancellation_token):
            image = Image(PillowImage.new("RGB", (2, 1), "red"))
            content = ["Here.", image]
            return Response(chat_message=MultiModalMessage(content=content, source=self.name))

        async def on_reset(self, cancellation_token):
            pass

    events = await collect(wrap(Painter("painter", "Paints.")), task_for("Paint"))
    assert finals(events) == ["Here."]
    (made,) = of(events, ArtifactProduced)
    assert made.media_type == "image/png"
    assert made.raw.startswith(PIXEL[:8])


async def test_code_that_is_executed_is_told():
    class Echo(CodeExecutor):
        async def execute_code_blocks(self, code_blocks, cancellation_token):
            return CodeResult(exit_code=0, output=f"ran {code_blocks[0].code.strip()}")

        async def start(self):
            pass

        stop = restart = start

    def make(url):
        return wrap(CodeExecutorAgent("runner", code_executor=Echo(), model_client=model_at(url)))

    turns = [text("```python\n1 + 2\n```"), text("It is 3.")]
    events, _ = await played(make, turns, task_for("1+2?"))
    (call,), (result,) = of(events, ToolCall), of(events, ToolResult)
    assert (call.name, call.arguments["code"].strip()) == ("code", "1 + 2")
    assert (result.call_id, result.content, result.is_error) == (call.call_id, "ran 1 + 2", False)
    assert finals(events)[-1] == "It is 3."


async def test_what_goes_wrong_in_a_team_is_said_as_what_it_was():
    def make(url):
        return wrap(RoundRobinGroupChat([worker(url)], max_turns=1), id="team")

    events, _ = await played(make, lambda _: error(500, "the model broke"), task_for("?"))
    assert isinstance(events[-1], Failed)
    assert events[-1].error_type == "ModelError"
    assert "Traceback" not in events[-1].message


async def test_a_team_that_never_ends_is_ended():
    def make(url):
        agent = wrap(RoundRobinGroupChat([worker(url)]), id="team")
        agent.max_model_calls = 3
        return agent

    events, model = await played(make, lambda _: text("And so on."), task_for("?"))
    assert isinstance(events[-1], Failed)
    assert events[-1].error_type == "TooManySteps"
    assert len(model.requests) == 3


async def test_an_image_for_a_model_that_sees_none_is_an_error():
    def make(url):
        return wrap(AssistantAgent("blind", model_client=model_at(url, "gpt-3.5-turbo")))

    task = task_for("What is it?")
    picture = Part(raw=PIXEL, media_type="image/png", filename="dot.png")
    task = replace(task, message=user_message("What is it?", parts=[picture]))
    events, model = await played(make, [text("?")], task)
    assert isinstance(events[-1], Failed)
    assert "sees no images" in events[-1].message
    assert model.requests == []


async def test_a_state_that_is_of_another_agent_is_an_error():
    task = replace(task_for("?"), state='{"left": "over"}')
    (failed,) = await collect(wrap(worker("http://127.0.0.1:9/v1")), task)
    assert isinstance(failed, Failed)
    assert "begin the task anew" in failed.message


async def test_a_factory_of_something_else_is_refused():
    agent = wrap(lambda: 3, framework="autogen", id="three")
    (failed,) = await collect(agent, task_for("?"))
    assert "built a int" in failed.message
