"""Agno's agents, teams and workflows: the suite, and what is particular to them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from a2a.types import Part
from pydantic import BaseModel

from codin.agent import Agent, wrap
from codin.agent.a2a import agent_message, data_part, text_part, user_message
from codin.agent.adapters.agno.agent import AgnoAgent
from codin.agent.events import (
    AgentEvent,
    ArtifactProduced,
    Canceled,
    Completed,
    Failed,
    HandOff,
    InputRequest,
    TextDelta,
    TextFinal,
    Thought,
    ToolCall,
    ToolResult,
)
from codin.testing.agent_conformance import AgentConformance, Scene, adding_tool, task_for
from codin.testing.scripted_model import (
    RecordedRequest,
    ScriptedModel,
    Turn,
    error,
    text,
    thought,
    tool_call,
)

pytestmark = pytest.mark.slow

Make = Callable[[str], Any]


class City(BaseModel):
    city: str
    people: int


def model(url: str) -> Any:
    from agno.models.openai import OpenAILike

    return OpenAILike(id="x", api_key="k", base_url=url, max_retries=0)


def worker(url: str, name: str = "worker", **more: Any) -> Any:
    from agno.agent import Agent as AgnosAgent

    return AgnosAgent(name=name, model=model(url), **more)


def team(url: str, *members: Any, name: str = "front", **more: Any) -> Any:
    from agno.team import Team

    return Team(name=name, model=model(url), members=list(members), **more)


def workflow(*steps: Any) -> Any:
    from agno.workflow import Workflow

    return Workflow(name="flow", steps=list(steps))


def step(name: str, **more: Any) -> Any:
    from agno.workflow import Step

    return Step(name=name, **more)


def wiping(wiped: list[str]) -> Any:
    from agno.tools import tool

    @tool(requires_confirmation=True)
    def wipe(disk: str) -> str:
        """Wipe a disk."""
        wiped.append(disk)
        return f"wiped {disk}"

    return wipe


def asking_for_a_city() -> Any:
    from agno.tools import tool

    @tool(requires_user_input=True, user_input_fields=["city"])
    def weather(city: str) -> str:
        """Tell the weather."""
        return f"sunny in {city}"

    return weather


def noting() -> Any:
    from agno.media import File
    from agno.tools import tool
    from agno.tools.function import ToolResult as Given

    @tool
    def note() -> Any:
        """Write a note."""
        file = File(content=b"hello", filename="note.txt", mime_type="text/plain")
        return Given(content="written", files=[file])

    return note


def delegate(to: str, id: str | None = None) -> Turn:  # noqa: A002 - the protocol's own name
    return tool_call("delegate_task_to_member", {"member_id": to, "task": "do it"}, id=id)


class AgnoConformance(AgentConformance):
    """The scenes, with what ``agent`` makes of an Agno agent's tools and the like."""

    title = "Agno"

    def agent(self, url: str, **more: Any) -> Any:
        return worker(url, **more)

    async def make(self, base_url: str) -> Agent:
        return wrap(self.agent(base_url))

    def asking(self) -> Scene:
        return Scene(
            [tool_call("weather"), text("Sunny.")],
            lambda url: wrap(self.agent(url, tools=[asking_for_a_city()])),
        )

    def approving(self) -> Scene:
        wiped: list[str] = []
        both = tool_call("wipe", {"disk": "a"}) + tool_call("wipe", {"disk": "b"})
        return Scene(
            [both, text("That is all.")],
            lambda url: wrap(self.agent(url, tools=[wiping(wiped)])),
            wiped,
        )

    def handing_off(self) -> Scene:
        return Scene(
            [delegate("back"), text("It is 3.")],
            lambda url: wrap(team(url, worker(url, "back"), respond_directly=True)),
        )

    def structuring(self) -> Scene:
        return Scene(
            [text('{"city": "Paris", "people": 2}')],
            lambda url: wrap(self.agent(url, output_schema=City)),
        )

    def making_files(self) -> Scene:
        return Scene(
            [tool_call("note"), text("Written.")],
            lambda url: wrap(self.agent(url, tools=[noting()])),
        )


class TestAgno(AgnoConformance):
    def agent(self, url: str, **more: Any) -> Any:
        return worker(url, "Worker", instructions="Help.", **more)


class TestAgnoFactory(AgnoConformance):
    async def make(self, base_url: str) -> Agent:
        return wrap(lambda tools: worker(base_url, tools=tools), framework="agno")


class TestAgnoTeam(AgnoConformance):
    """A leader that does all by itself."""

    def agent(self, url: str, **more: Any) -> Any:
        return team(url, **more)

    async def test_offers_the_tools_of_the_run_and_no_others(self) -> None:
        """The leader has one more, by which it delegates."""
        scripted = ScriptedModel(lambda _: text("ok"))
        async with scripted.serve() as url:
            agent = await self.make(url)
            for tools in ([adding_tool()], []):
                await (await agent.handle(task_for("?", tools=tools)))
        own = {"delegate_task_to_member"}
        assert [set(r.tools) - own for r in scripted.requests] == [{"add"}, set()]


class TestAgnoWorkflow(AgnoConformance):
    """One step, of one agent."""

    def agent(self, url: str, **more: Any) -> Any:
        from agno.workflow import HumanReview, OnError

        review = HumanReview(on_error=OnError.fail)
        return workflow(step("only", agent=worker(url, **more), human_review=review))

    def handing_off(self) -> Scene:
        return Scene(
            [text("1+2"), text("It is 3.")],
            lambda url: wrap(
                workflow(*(step(name, agent=worker(url, name)) for name in ("front", "back")))
            ),
        )

    async def test_the_history_is_handed_to_the_model(self) -> None:
        """A workflow takes one text, so the conversation is in it."""
        history = [user_message("My name is Ada."), agent_message([text_part("Hello Ada.")])]
        events, scripted = await run(self.make, [text("Ada.")], "What is my name?", history=history)
        said = scripted.requests[0].last_user
        assert said.index("user: My name is Ada.") < said.index("assistant: Hello Ada.")
        assert said.endswith("What is my name?")
        assert events[-1] == Completed()


async def run(
    make: Any, script: Any, *said: str, **given: Any
) -> tuple[list[AgentEvent], ScriptedModel]:
    """The events of a run that is told ``said``, each but the first as the answer to a question;
    each part has an agent of its own, as after a restart."""
    scripted, events, state = ScriptedModel(script), list[AgentEvent](), None
    async with scripted.serve() as url:
        for words in said:
            made = make(url)
            agent = await made if hasattr(made, "__await__") else wrap(made, id="agent")
            task = replace(task_for(words, **given), state=state)
            events += [event async for event in await agent.handle(task)]
            state = getattr(events[-1], "state", None)
    return events, scripted


def of(events: list[AgentEvent], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def finals(events: list[AgentEvent]) -> list[str]:
    return [event.text for event in of(events, TextFinal)]


def passed(events: list[AgentEvent]) -> list[tuple[str, str]]:
    return [(event.from_agent, event.to_agent) for event in of(events, HandOff)]


# Agents


async def test_structured_output_is_data_and_its_text() -> None:
    made = '{"city": "Ulm", "people": 126000}'
    events, _ = await run(lambda url: worker(url, output_schema=City), [text(made)], "?")
    (artifact,) = of(events, ArtifactProduced)
    assert (artifact.name, artifact.data) == ("City", {"city": "Ulm", "people": 126000})
    assert json.loads(finals(events)[-1]) == artifact.data


async def test_a_file_that_a_tool_makes_is_told_once() -> None:
    script = [tool_call("note"), tool_call("note"), text("Written.")]
    events, _ = await run(lambda url: worker(url, tools=[noting()]), script, "?")
    (file,) = of(events, ArtifactProduced)
    assert (file.raw, file.name, file.media_type) == (b"hello", "note.txt", "text/plain")
    assert finals(events)[-1] == "Written."


async def test_a_file_on_disk_and_an_image_without_a_name(tmp_path: Path) -> None:
    from agno.media import File, Image
    from agno.tools.function import ToolResult as Given

    (tmp_path / "rows.csv").write_text("a,b")

    def draw() -> Any:
        """Draw."""
        file = File(filepath=str(tmp_path / "rows.csv"), filename="rows.csv")
        image = Image(content=b"\x89PNG", format="png")
        return Given(content="drawn", files=[file], images=[image])

    script = [tool_call("draw"), text("Drawn.")]
    events, _ = await run(lambda url: worker(url, tools=[draw]), script, "?")
    made = {a.media_type: a.raw for a in of(events, ArtifactProduced)}
    assert made == {"text/csv": b"a,b", "image/png": b"\x89PNG"}


async def test_a_file_that_is_not_there_fails_the_run_by_name() -> None:
    from agno.media import File
    from agno.tools.function import ToolResult as Given

    def note() -> Any:
        """Write."""
        return Given(content="x", files=[File(filepath="/nowhere/x.txt", filename="x.txt")])

    events, _ = await run(lambda url: worker(url, tools=[note]), [tool_call("note")], "?")
    assert isinstance(events[-1], Failed)
    assert "'x.txt' that a tool gave cannot be read" in events[-1].message


async def test_images_sounds_and_documents_reach_the_model() -> None:
    parts = [
        Part(raw=b"\x89PNG", media_type="image/png", filename="p.png"),
        Part(raw=b"RIFF", media_type="audio/wav", filename="s.wav"),
        Part(raw=b"%PDF", media_type="application/pdf", filename="d.pdf"),
    ]
    scripted = ScriptedModel([text("Seen.")])
    async with scripted.serve() as url:
        task = replace(task_for("?"), message=user_message("Look.", parts=parts))
        outcome = await (await wrap(worker(url)).handle(task))
    assert outcome.text == "Seen."
    content = scripted.requests[0].messages[-1]["content"]
    assert {part["type"] for part in content} == {"text", "image_url", "input_audio", "file"}
    assert scripted.requests[0].images == ["data:image/png;base64,iVBORw=="]


async def test_tools_made_by_a_function_are_there_beside_those_of_the_run() -> None:
    def tools(run_context: Any) -> list[Any]:
        assert run_context.session_id
        return [asking_for_a_city()]

    events, scripted = await run(
        lambda url: worker(url, tools=tools), [text("ok")], "?", tools=[adding_tool()]
    )
    assert events[-1] == Completed()
    assert set(scripted.requests[0].tools) == {"weather", "add"}


async def test_an_agent_with_a_database_of_its_own_remembers_no_session() -> None:
    from agno.db.in_memory import InMemoryDb

    db = InMemoryDb()

    def make(url: str) -> Any:
        return worker(url, db=db, add_history_to_context=True)

    for words in ("secret of one", "question of another"):
        events, scripted = await run(make, [text("ok")], words, task_id="same")
        assert events[-1] == Completed()
    assert "secret of one" not in scripted.requests[-1].text
    assert len(db._sessions) == 2


async def test_memories_in_an_agents_own_database_are_one_persons() -> None:
    from agno.db.in_memory import InMemoryDb

    from codin.security import Principal

    db = InMemoryDb()

    def answer(request: RecordedRequest) -> Turn:
        if "add_memory" in request.tools and not request.tool_results:
            return tool_call("add_memory", {"memory": "Likes owls.", "topics": ["birds"]})
        return text("ok")

    async def told(tenant: str) -> list[RecordedRequest]:
        scripted = ScriptedModel(answer)
        async with scripted.serve() as url:
            agent = wrap(
                worker(url, db=db, update_memory_on_run=True, add_memories_to_context=True)
            )
            task = replace(task_for("I like owls."), principal=Principal(tenant, "ada"))
            await (await agent.handle(task))
        return scripted.requests

    await told("here")
    assert [m["user_id"] for m in db._memories] == ["here/ada"]
    assert any("Likes owls." in request.system for request in await told("here"))
    elsewhere = [request for request in await told("there") if "add_memory" not in request.tools]
    assert not any("Likes owls." in request.text for request in elsewhere)


async def test_copies_report_to_nobody() -> None:
    from codin.agent.adapters.agno.copy import equipped, unreported

    own = workflow(step("one", team=team("u", worker("u"))), step("two", agent=worker("u")))
    made = unreported(equipped(own, []))
    assert len(made) == 4
    assert not any(part.telemetry for part in made)
    assert all(part not in made for part in [own, own.steps[1].agent])
    assert own.telemetry
    assert own.steps[0].team.members[0].telemetry


async def test_what_a_factory_builds_has_to_run() -> None:
    agent = wrap(lambda tools: object(), framework="agno", id="odd")
    assert isinstance(agent, AgnoAgent)
    outcome = await (await agent.handle(task_for("?")))
    assert isinstance(outcome.end, Failed)
    assert "built a object, which is no Agent, Team or Workflow" in outcome.end.message


async def test_the_steps_of_a_reasoning_model_are_thoughts() -> None:
    events, _ = await run(worker, [thought("Let me see.") + text("Yes.")], "?")
    assert "".join(t.text for t in of(events, Thought)) == "Let me see."
    assert finals(events) == ["Yes."]


# Pauses


async def test_calls_are_approved_one_by_one_and_the_refused_is_not_made() -> None:
    wiped: list[str] = []
    both = tool_call("wipe", {"disk": "a"}) + tool_call("wipe", {"disk": "b"})
    events, scripted = await run(
        lambda url: worker(url, tools=[wiping(wiped)]),
        [both, text("Half done.")],
        "wipe a and b",
        "yes",
        "no, b has my photos",
    )
    asked = of(events, InputRequest)
    assert [a.prompt for a in asked] == [
        'Approve wipe({"disk": "a"})?',
        'Approve wipe({"disk": "b"})?',
    ]
    assert {a.request_kind for a in asked} == {"approval"}
    assert wiped == ["a"]
    assert scripted.requests[-1].tool_results == ["wiped a", "no, b has my photos"]
    assert events[-1] == Completed()


async def test_fields_are_asked_for_by_their_schema() -> None:
    script = [tool_call("weather"), text("Sunny.")]
    events, scripted = await run(
        lambda url: worker(url, tools=[asking_for_a_city()]), script, "weather?", "Paris"
    )
    (asked,) = of(events, InputRequest)
    assert (asked.prompt, asked.request_kind) == ("weather needs: city", "input")
    assert asked.answer_schema == {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    }
    assert scripted.requests[-1].tool_results == ["sunny in Paris"]
    (call,), (result,) = of(events, ToolCall), of(events, ToolResult)
    assert (call.arguments, result.content) == ({"city": "Paris"}, "sunny in Paris")


async def test_a_number_that_is_asked_for_is_given_as_one() -> None:
    from agno.tools import tool

    given: list[Any] = []

    @tool(requires_user_input=True)
    def book(seats: int, window: bool) -> str:
        """Book seats."""
        given.append((seats, window))
        return "booked"

    script = [tool_call("book"), text("Booked.")]
    events, _ = await run(lambda url: worker(url, tools=[book]), script, "book", "3", "yes")
    assert [a.prompt for a in of(events, InputRequest)] == [
        "book needs: seats, window",
        "book needs: window",
    ]
    assert given == [(3, True)]


async def test_what_is_done_elsewhere_is_waited_for() -> None:
    from agno.tools import tool

    @tool(external_execution=True)
    def measure(place: str) -> str:
        """Measure."""
        raise AssertionError("it is not made here")

    script = [tool_call("measure", {"place": "lab"}), text("It is 20.")]
    events, scripted = await run(lambda url: worker(url, tools=[measure]), script, "?", "20 C")
    (asked,) = of(events, InputRequest)
    assert asked.prompt == 'measure({"place": "lab"}) waits for its result'
    assert scripted.requests[-1].tool_results == ["20 C"]
    assert finals(events) == ["It is 20."]


async def test_a_choice_is_asked_with_what_there_is_to_choose() -> None:
    from agno.tools.user_feedback import UserFeedbackTools

    question = {
        "question": "Which colour?",
        "header": "Colour",
        "options": [{"label": "red", "description": ""}, {"label": "blue", "description": ""}],
        "multi_select": False,
    }
    script = [tool_call("ask_user", {"questions": [question]}), text("Blue it is.")]
    events, scripted = await run(
        lambda url: worker(url, tools=[UserFeedbackTools()]), script, "paint", "blue"
    )
    (asked,) = of(events, InputRequest)
    assert asked.prompt == "Which colour? (red, blue)"
    assert asked.answer_schema == {"type": "string", "enum": ["red", "blue"]}
    assert "blue" in scripted.requests[-1].tool_results[0]
    assert events[-1] == Completed()


@pytest.mark.parametrize("state", ["no json", "[]", '{"run_id": "1", "session": {"runs": []}}'])
async def test_a_state_that_is_not_of_this_agent_is_a_clear_error(state: str) -> None:
    agent = wrap(worker("http://127.0.0.1:9/v1"))
    outcome = await (await agent.handle(replace(task_for("yes"), state=state)))
    assert isinstance(outcome.end, Failed)
    assert outcome.end.error_type == "AgentError"


# Teams


async def test_a_leader_hands_off_to_its_member_and_speaks_last() -> None:
    script = [
        delegate("back"),
        tool_call("add", {"a": 1, "b": 2}, id="sum"),
        text("It is 3."),
        text("Three."),
    ]
    tool = adding_tool()
    events, scripted = await run(
        lambda url: team(url, worker(url, "back")), script, "1+2?", tools=[tool]
    )
    assert passed(events) == [("front", "back"), ("back", "front")]
    assert finals(events) == ["It is 3.", "Three."]
    assert len({d.message_id for d in of(events, TextDelta)}) == 2
    assert tool.calls == [{"a": 1, "b": 2}]
    assert [set(r.tools) - {"delegate_task_to_member"} for r in scripted.requests] == [{"add"}] * 4
    assert events[-1] == Completed()


async def test_a_member_whose_answer_is_the_teams_is_not_repeated() -> None:
    script = [delegate("back"), text("From the back.")]
    events, _ = await run(
        lambda url: team(url, worker(url, "back"), respond_directly=True), script, "?"
    )
    assert passed(events) == [("front", "back")]
    assert finals(events) == ["From the back."]


async def test_members_that_work_at_once_keep_their_words_apart() -> None:
    def answer(request: RecordedRequest) -> Turn:
        if "delegate_task_to_members" in request.tools:
            done = request.tool_results
            return text("Both.") if done else tool_call("delegate_task_to_members", {"task": "t"})
        return text(f"I am {request.system.split()[-1]} and say so at length.", delay=0.01)

    def make(url: str) -> Any:
        both = [worker(url, name, instructions=f"You are {name}") for name in ("ann", "bob")]
        return team(url, *both, delegate_to_all_members=True)

    events, _ = await run(make, answer, "?")
    said = dict.fromkeys((d.message_id for d in of(events, TextDelta)), "")
    for delta in of(events, TextDelta):
        said[delta.message_id] += delta.text
    assert sorted(said.values()) == sorted(finals(events))
    assert {text.split()[2] for text in finals(events) if text != "Both."} == {"ann", "bob"}
    assert finals(events)[-1] == "Both."
    assert {to for _, to in passed(events)} == {"ann", "bob", "front"}


async def test_an_error_in_a_member_is_its_leaders_to_deal_with() -> None:
    script = [delegate("back"), error(500, "broke"), text("I manage alone.")]
    events, _ = await run(lambda url: team(url, worker(url, "back")), script, "?")
    assert finals(events) == ["I manage alone."]
    assert events[-1] == Completed()


async def test_a_leader_that_asks_remembers_the_conversation() -> None:
    wiped: list[str] = []
    history = [user_message("My disk is a."), agent_message([text_part("Noted.")])]
    script = [tool_call("wipe", {"disk": "a"}), text("Wiped.")]
    events, scripted = await run(
        lambda url: team(url, worker(url, "back"), tools=[wiping(wiped)]),
        script,
        "wipe mine",
        "yes",
        history=history,
    )
    assert wiped == ["a"]
    assert finals(events) == ["Wiped."]
    for request in scripted.requests:
        roles = [m["role"] for m in request.messages if m["role"] != "system"]
        assert roles[:3] == ["user", "assistant", "user"]
        assert request.text.count("My disk is a.") == 1


async def test_images_reach_the_leader_of_a_team_and_the_steps_of_a_workflow() -> None:
    scripted = ScriptedModel(lambda _: text("Seen."))
    async with scripted.serve() as url:
        picture = Part(raw=b"\x89PNG", media_type="image/png", filename="p.png")
        task = replace(task_for("?"), message=user_message("Look.", parts=[picture]))
        await (await wrap(team(url), id="team").handle(task))
        flow = wrap(workflow(step("one", agent=worker(url))))
        await (await flow.handle(task))
    assert [r.images for r in scripted.requests] == [["data:image/png;base64,iVBORw=="]] * 2


@pytest.mark.parametrize("depth", [1, 2])
async def test_a_member_that_asks_is_answered_where_it_stopped(depth: int) -> None:
    wiped: list[str] = []

    def make(url: str) -> Any:
        member = worker(url, "back", tools=[wiping(wiped)])
        return team(url, member if depth == 1 else team(url, member, name="mid"))

    ways = [delegate("back", "d1")] if depth == 1 else [delegate("mid", "d1"), delegate("back")]
    up = [text("wiped it"), *[text("leader")] * depth]
    script = [*ways, tool_call("wipe", {"disk": "a"}, id="w"), *up]
    events, _ = await run(make, script, "wipe a", "yes")
    (asked,) = of(events, InputRequest)
    assert asked.prompt == 'Approve wipe({"disk": "a"})?'
    assert wiped == ["a"]
    assert passed(events)[-1][1] == "front"
    assert finals(events)[-1] == "leader"
    assert events[-1] == Completed()


# Workflows


def shout(given: Any) -> Any:
    from agno.workflow import StepOutput

    return StepOutput(content=str(given.previous_step_content).upper())


async def test_a_workflow_hands_on_from_step_to_step() -> None:
    def make(url: str) -> Any:
        first = step("write", agent=worker(url, "writer"))
        return workflow(first, step("edit", agent=worker(url, "editor")), step("s", executor=shout))

    events, scripted = await run(make, [text("draft"), text("a text")], "Owls")
    assert passed(events) == [("writer", "editor")]
    assert finals(events) == ["draft", "a text", "A TEXT"]
    assert [r.last_user for r in scripted.requests] == ["Owls", "draft"]


async def test_a_workflow_is_given_data() -> None:
    def echo(given: Any) -> Any:
        from agno.workflow import StepOutput

        return StepOutput(content=f"{given.input['rows']} rows")

    agent = wrap(workflow(step("count", executor=echo)))
    task = replace(task_for("?"), message=user_message(parts=[data_part({"rows": 3})]))
    assert (await (await agent.handle(task))).text == "3 rows"


@pytest.mark.parametrize(("said", "done"), [("yes", ["a"]), ("no", [])])
async def test_a_step_whose_agent_asks_goes_on_after_a_restart(said: str, done: list[str]) -> None:
    wiped: list[str] = []

    def make(url: str) -> Any:
        second = worker(url, "two", tools=[wiping(wiped)])
        return workflow(step("one", agent=worker(url, "one")), step("two", agent=second))

    script = [text("first"), tool_call("wipe", {"disk": "a"}), text("second")]
    events, _ = await run(make, script, "go", said)
    (asked,) = of(events, InputRequest)
    assert (asked.prompt, asked.request_kind) == ('Approve wipe({"disk": "a"})?', "approval")
    assert wiped == done
    assert finals(events)[-1] == "second"
    assert events[-1] == Completed()


@pytest.mark.parametrize(
    ("said", "end", "texts"),
    [("yes", Completed, ["first", "second"]), ("no", Canceled, ["first"])],
)
async def test_a_step_that_needs_consent(said: str, end: type[Any], texts: list[str]) -> None:
    from agno.workflow import HumanReview, OnReject

    def make(url: str) -> Any:
        review = HumanReview(
            requires_confirmation=True, confirmation_message="Go?", on_reject=OnReject.cancel
        )
        second = step("two", agent=worker(url, "two"), human_review=review)
        return workflow(step("one", agent=worker(url, "one")), second)

    events, _ = await run(make, [text("first"), text("second")], "go", said)
    (asked,) = of(events, InputRequest)
    assert (asked.prompt, asked.request_kind) == ("Go?", "approval")
    assert isinstance(events[-1], end)
    assert finals(events) == texts


async def test_a_step_asks_for_what_it_needs() -> None:
    from agno.workflow import HumanReview, StepOutput

    review = HumanReview(
        requires_user_input=True,
        user_input_message="How many?",
        user_input_schema=[{"name": "rows", "field_type": "int", "required": True}],
    )

    def count(given: Any) -> Any:
        return StepOutput(content=f"rows: {given.additional_data['user_input']['rows'] + 1}")

    def make(url: str) -> Any:
        return workflow(step("count", executor=count, human_review=review))

    events, _ = await run(make, [], "go", "3")
    (asked,) = of(events, InputRequest)
    assert asked.prompt == "How many?"
    assert asked.answer_schema is not None
    assert asked.answer_schema["properties"] == {"rows": {"type": "integer"}}
    assert finals(events) == ["rows: 4"]


async def test_what_a_step_made_is_reviewed() -> None:
    from agno.workflow import HumanReview

    def make(url: str) -> Any:
        review = HumanReview(requires_output_review=True, output_review_message="Is it good?")
        first = step("one", agent=worker(url, "one"), human_review=review)
        return workflow(first, step("two", agent=worker(url, "two")))

    events, _ = await run(make, [text("a draft"), text("second")], "go", "yes")
    (asked,) = of(events, InputRequest)
    assert (asked.prompt, asked.request_kind) == ("Is it good?\na draft", "approval")
    assert finals(events)[-1] == "second"


async def test_a_way_is_chosen_by_a_person() -> None:
    from agno.workflow import HumanReview, Router

    def make(url: str) -> Any:
        ways = [step(name, agent=worker(url, name)) for name in ("left", "right")]
        review = HumanReview(requires_user_input=True, user_input_message="Where to?")
        return workflow(Router(name="fork", choices=ways, human_review=review))

    events, _ = await run(make, lambda _: text("Gone."), "go", "right")
    (asked,) = of(events, InputRequest)
    assert asked.prompt == "Where to? (left, right)"
    assert asked.answer_schema == {"type": "string", "enum": ["left", "right"]}
    assert events[-1] == Completed()
    assert finals(events)[-1] == "Gone."


async def test_a_step_that_failed_may_be_tried_again() -> None:
    from agno.workflow import HumanReview, OnError

    def make(url: str) -> Any:
        review = HumanReview(on_error=OnError.pause)
        return workflow(step("one", agent=worker(url), human_review=review, max_retries=0))

    script = [error(500, "the model broke"), text("Now it works.")]
    events, _ = await run(make, script, "go", "yes")
    (asked,) = of(events, InputRequest)
    assert "the model broke" in asked.prompt
    assert finals(events)[-1] == "Now it works."
    assert events[-1] == Completed()


# What is known of it


async def test_what_is_known_of_a_team_and_its_members() -> None:
    from codin.agent.wrapping import info_of, parts_of

    member = worker("u", "back", role="Adds numbers", tools=[noting()])
    whole = team("u", member, description="Does sums.")
    flow = workflow(step("one", agent=member), step("two", team=whole))
    info = info_of(wrap(whole))
    assert (info.name, info.description) == ("front", "Does sums.")
    assert info.skills == ("back: Adds numbers",)
    assert info_of(wrap(member)).skills == ("note: Write a note.",)
    assert list(parts_of(whole)) == [member]
    assert sorted(part.name for part in parts_of(wrap(flow)) if part is not flow) == [
        "back",
        "front",
    ]
