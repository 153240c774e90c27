"""Run by ``test_environments.py`` where CrewAI is: the suite, and what is its own."""

import json
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from a2a.types import Part
from crewai import LLM, Agent, Crew, Process, Task
from crewai.flow import HumanFeedbackPending
from crewai.flow.flow import Flow, listen, start
from crewai.flow.human_feedback import human_feedback
from crewai.hooks import before_tool_call
from crewai.tools import tool
from pydantic import BaseModel

from codin.agent import wrap
from codin.agent._parts import data_part
from codin.agent.a2a import agent_message, text_part, user_message
from codin.agent.adapters.crewai.record import NOTHING, Record, key_of
from codin.agent.discovery import discover
from codin.agent.events import (
    ArtifactProduced,
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
from codin.agent.wrapping import info_of
from codin.testing.a2a_server import listening
from codin.testing.agent_conformance import AgentConformance, Scene, behaviour, collect, of
from codin.testing.agent_fakes import adding_tool, task_for
from codin.testing.gemini import gemini
from codin.testing.scripted_model import ScriptedModel, text, thought, tool_call

IN_HOST = {"model's stream closed": "its threads read on until the host cuts what they read"}


def model_at(base_url: str) -> LLM:
    return LLM(model="gpt-4o-mini", base_url=base_url, api_key="k", stream=True, max_retries=0)


def worker(base_url: str, role: str = "Worker", **more: Any) -> Agent:
    return Agent(role=role, goal="Help", backstory="You help.", llm=model_at(base_url), **more)


def job(agent: Agent | None, description: str = "Help with {it}.", **more: Any) -> Task:
    return Task(description=description, expected_output="A line.", agent=agent, **more)


def crew(*tasks: Task, agents: Any = None, **more: Any) -> Crew:
    return Crew(agents=agents or [each.agent for each in tasks], tasks=list(tasks), **more)


class City(BaseModel):
    city: str
    people: int


def wiping(wiped: list[str]) -> Any:
    @tool("wipe", max_usage_count=9)  # one after the other
    def wipe(disk: str) -> str:
        """Wipe a disk."""
        wiped.append(disk)
        return f"wiped {disk}"

    return wipe


@before_tool_call(tools=["wipe"])
def ask_first(context: Any) -> bool | None:
    """As CrewAI's manual has it."""
    said = context.request_human_input("Shall it be done?", "Type yes to approve:")
    return None if said.lower() == "yes" else False


class CrewAiConformance(AgentConformance):
    title = "CrewAI"
    in_host = IN_HOST

    @behaviour("thoughts")
    async def test_tells_its_thoughts_apart_from_its_text(self) -> None:
        # with Gemini's client: that for OpenAI's protocol drops them, as is shown below
        said = [
            {"text": "First I look", "thought": True},
            {"text": " at it.", "thought": True},
            {"text": "It is "},
            {"text": "so."},
        ]
        async with listening(gemini(*said)) as url:
            model = LLM(
                model="gemini/gemini-2.5-flash",
                api_key="k",
                stream=True,
                client_params={"http_options": {"base_url": url}},
            )
            agent = Agent(role="Worker", goal="Help", backstory="You help.", llm=model)
            events = await collect(wrap(agent), task_for("?"))
        assert [t.text for t in of(events, Thought)] == ["First I look", " at it."]
        assert [d.text for d in of(events, TextDelta)] == ["It is ", "so."]
        assert [f.text for f in of(events, TextFinal)] == ["It is so."]
        assert isinstance(events[-1], Completed)

    async def test_bare_thoughts(self) -> None:
        from crewai.events.stream_context import add_stream_sink, reset_stream_sinks

        told = []
        async with ScriptedModel([thought("Let me see.") + text("Yes.")]).serve() as url:
            token = add_stream_sink(lambda _, event: told.append(event))
            try:
                output = await worker(url).kickoff_async("?")
            finally:
                reset_stream_sinks(token)
        assert output.raw == "Yes."
        assert "LLMStreamChunkEvent" in {type(event).__name__ for event in told}
        assert "LLMThinkingChunkEvent" not in {type(event).__name__ for event in told}
        assert not any("Let me see." in str(vars(event)) for event in told)

    def asking(self) -> Scene:
        return Scene(
            [text("Which city?"), text("A trip, booked.")],
            lambda url: wrap(crew(job(worker(url), human_input=True)), id="crew"),
        )

    def approving(self) -> Scene:
        wiped: list[str] = []
        both = tool_call("wipe", {"disk": "a"}) + tool_call("wipe", {"disk": "b"})
        return Scene(
            [both, text("That is all.")],
            lambda url: wrap(worker(url, tools=[wiping(wiped)])),
            wiped,
        )

    def handing_off(self) -> Scene:
        return Scene(
            [text("1+2"), text("It is 3.")],
            lambda url: wrap(crew(*(job(worker(url, who)) for who in ("front", "back"))), id="c"),
        )

    def structuring(self) -> Scene:
        return Scene(
            [text('{"city": "Paris", "people": 2}')],
            lambda url: wrap(crew(job(worker(url), output_pydantic=City)), id="crew"),
        )

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Any, monkeypatch: Any) -> None:
        monkeypatch.chdir(tmp_path)  # where CrewAI puts all files of tasks

    def making_files(self) -> Scene:
        return Scene(
            [text("hello")],
            lambda url: wrap(crew(job(worker(url), output_file="note.txt")), id="crew"),
        )


class TestCrewAiAgent(CrewAiConformance):
    async def make(self, base_url):
        return wrap(worker(base_url))


class TestCrewAiFactory(CrewAiConformance):
    async def make(self, base_url):
        return wrap(lambda tools: worker(base_url, tools=tools), framework="crewai")


class TestCrewAiCrew(CrewAiConformance):
    async def make(self, base_url):
        return wrap(crew(job(worker(base_url))), id="crew")


class Asking(Flow):
    """A flow of an agent by itself, and of a crew."""

    def __init__(self, url: str, tools: Any = (), **more: Any) -> None:
        super().__init__(**more)
        self._url = url
        self._tools = list(tools)

    @start()
    async def first(self) -> str:
        agent = worker(self._url, tools=self._tools)
        return (await agent.kickoff_async(self.state["message"])).raw


class TestCrewAiFlow(CrewAiConformance):
    async def make(self, base_url):
        return wrap(lambda tools: Asking(base_url, tools), framework="crewai", id="flow")


async def events_of(agent, task):
    return [event async for event in await agent.handle(task)]


def crew_of(base_url, description="Write about {topic}."):
    writer, editor = worker(base_url, "Writer"), worker(base_url, "Editor")
    return Crew(
        agents=[writer, editor],
        tasks=[
            Task(description=description, expected_output="A line.", agent=writer),
            Task(description="Edit it.", expected_output="A line.", agent=editor),
        ],
    )


async def test_a_crew_hands_off_and_ends_with_its_last_word():
    async with ScriptedModel([text("A draft."), text("A text.")]).serve() as url:
        events = await events_of(wrap(crew_of(url), id="crew"), task_for("Owls"))
    assert isinstance(events[-1], Completed), events[-1]
    assert [e.text for e in events if isinstance(e, TextFinal)] == ["A draft.", "A text."]
    (passed,) = [e for e in events if isinstance(e, HandOff)]
    assert (passed.from_agent, passed.to_agent) == ("Writer", "Editor")


async def test_a_crew_gets_the_message_where_it_asks_for_it():
    model = ScriptedModel(lambda _: text("ok"))
    async with model.serve() as url:
        await events_of(wrap(crew_of(url), id="crew"), task_for("Owls"))
        await events_of(wrap(crew_of(url, "Write."), id="crew"), task_for("About bats"))
    assert "Write about Owls." in model.requests[0].text
    assert "About bats" in model.requests[2].text


async def test_a_crew_is_given_the_tools_of_the_run():
    script = [tool_call("add", {"a": 1, "b": 2}), text("It is 3."), text("3.")]
    tool = adding_tool()
    async with ScriptedModel(script).serve() as url:
        events = await events_of(wrap(crew_of(url), id="crew"), task_for("1+2", tools=[tool]))
    assert isinstance(events[-1], Completed), events[-1]
    assert tool.calls == [{"a": 1, "b": 2}]
    (call,), (result,) = (
        [e for e in events if isinstance(e, kind)] for kind in (ToolCall, ToolResult)
    )
    assert (call.call_id, call.name, result.content) == (result.call_id, "add", {"sum": 3})


class Shout(Flow):
    @start()
    def begin(self):
        return self.state["message"]

    @listen(begin)
    def shout(self, said):
        return said.upper()


async def test_a_flow_says_what_its_last_step_gives():
    events = await events_of(wrap(Shout(), id="flow"), task_for("hello"))
    assert isinstance(events[-1], Completed), events[-1]
    assert [e.text for e in events if isinstance(e, TextFinal)] == ["HELLO"]


async def test_a_flow_is_given_data():
    message = user_message("?")
    message.parts.append(data_part({"message": "data"}))
    task = replace(task_for("?"), message=message)
    events = await events_of(wrap(Shout(), id="flow"), task)
    assert [e.text for e in events if isinstance(e, TextFinal)] == ["DATA"]


async def test_a_flow_that_asks_for_tools_is_told_how_to_get_them():
    agent = wrap(Shout(), id="flow", tools=["add"])
    events = await events_of(agent, task_for("hello", tools=[adding_tool()]))
    assert isinstance(events[-1], Failed)
    assert "returns the flow" in events[-1].message


async def test_a_tool_of_the_agents_own_is_told():
    from crewai.tools import tool

    @tool("look")
    def look(where: str) -> str:
        """Look somewhere."""
        return f"nothing {where}"

    script = [tool_call("look", {"where": "here"}), text("Nothing.")]
    async with ScriptedModel(script).serve() as url:
        events = await events_of(wrap(worker(url, tools=[look])), task_for("?"))
    (call,), (result,) = (
        [e for e in events if isinstance(e, kind)] for kind in (ToolCall, ToolResult)
    )
    assert (call.name, call.arguments) == ("look", {"where": "here"})
    assert (result.call_id, result.content) == (call.call_id, "nothing here")


# What it asks


async def played(script, make, *said, **given):
    """The events of a run that is told ``said``, each but the first as the answer to a question;
    each part has an agent of its own, as after a restart. And the model, and what was printed."""
    scripted, events, state, printed = ScriptedModel(script), [], None, StringIO()
    async with scripted.serve() as url:
        for words in said:
            task = replace(task_for(words, **given), state=state)
            with redirect_stdout(printed):
                events += await events_of(wrap(make(url), id="agent"), task)
            state = getattr(events[-1], "state", None)
    return events, scripted, printed.getvalue()


def finals(events):
    return [event.text for event in of(events, TextFinal)]


async def test_what_is_good_as_it_is_stands():
    script = [text("A draft."), text("Edited.")]

    def make(url):
        return crew(job(worker(url, "Writer"), human_input=True), job(worker(url, "Editor")))

    events, scripted, printed = await played(script, make, "Owls", "ok")
    (asked,) = of(events, InputRequest)
    assert asked.prompt.startswith("A draft.")
    assert isinstance(events[-1], Completed), events[-1]
    assert finals(events) == ["A draft.", "Edited."]
    assert [(h.from_agent, h.to_agent) for h in of(events, HandOff)] == [("Writer", "Editor")]
    assert "A draft." in scripted.requests[1].last_user
    assert printed == ""


async def test_feedback_late_in_a_crew_repeats_nothing_that_came_before():
    looked = []

    @tool("look")
    def look(where: str) -> str:
        """Look somewhere."""
        looked.append(where)
        return f"owls {where}"

    script = [
        tool_call("look", {"where": "outside"}),
        tool_call("add", {"a": 1, "b": 2}),
        text("Three owls."),
        text("A draft."),
        text("A shorter draft."),
    ]
    added = adding_tool()

    def make(url):
        first = job(worker(url, "Scout", tools=[look]))
        return crew(first, job(worker(url, "Writer"), human_input=True))

    events, scripted, _ = await played(script, make, "Owls", "shorter", tools=[added])
    assert isinstance(events[-1], Completed), events[-1]
    assert (looked, added.calls) == (["outside"], [{"a": 1, "b": 2}])
    assert finals(events) == ["Three owls.", "A draft.", "A shorter draft."]
    assert len(scripted.requests) == 5
    assert "shorter" in scripted.requests[-1].text


async def test_a_coworker_that_asks_is_answered_where_it_stopped():
    wiped = []
    ask = {"task": "Wipe a.", "context": "It is old.", "coworker": "back"}
    script = [
        tool_call("delegate_work_to_coworker", ask),
        tool_call("wipe", {"disk": "a"}),
        text("It is wiped."),
        text("All done."),
    ]

    def make(url):
        front = worker(url, "front", allow_delegation=True)
        return crew(job(front), agents=[front, worker(url, "back", tools=[wiping(wiped)])])

    events, scripted, _ = await played(script, make, "Wipe it", "yes")
    (asked,) = of(events, InputRequest)
    assert asked.prompt == 'Shall it be done?\nwipe({"disk": "a"})'
    assert wiped == ["a"]
    assert [(h.from_agent, h.to_agent) for h in of(events, HandOff)] == [
        ("front", "back"),
        ("back", "front"),
    ]
    assert finals(events)[-1] == "All done."
    assert scripted.pending == 0


async def test_a_manager_hands_on_to_its_coworkers():
    ask = {"task": "Sum up.", "context": "All.", "coworker": "back"}
    script = [tool_call("delegate_work_to_coworker", ask), text("It is 3."), text("Three.")]

    def make(url):
        boss = model_at(url)
        member = [worker(url, "back")]
        return crew(job(None), agents=member, process=Process.hierarchical, manager_llm=boss)

    events, _, printed = await played(script, make, "1+2")
    passed = [(h.from_agent, h.to_agent) for h in of(events, HandOff)]
    assert passed == [("Crew Manager", "back"), ("back", "Crew Manager")]
    assert finals(events) == ["It is 3.", "Three."]
    assert len({d.message_id for d in of(events, TextDelta)}) == 2
    assert printed == ""


class Trip(Flow):
    """Asks in all the ways that a flow can."""

    def __init__(self, url: str, **more: Any) -> None:
        super().__init__(**more)
        self._url = url

    @start()
    async def begin(self) -> str:
        return (await worker(self._url, "Scout").kickoff_async(self.state["message"])).raw

    @listen(begin)
    @human_feedback(message="Shall I go on with it?")
    def review(self, found: str) -> str:
        return f"found: {found}"

    @listen(review)
    def write(self, result: Any) -> str:
        city = self.ask("Which city?")
        plan = job(worker(self._url, "Writer"), f"Write of {city}: {result.feedback}")
        return crew(plan).kickoff().raw


async def test_a_flow_asks_and_goes_on_with_what_its_agents_said():
    script = [text("Three trips."), text("A trip to Paris.")]
    events, scripted, printed = await played(script, Trip, "Trips", "the second", "Paris")
    reviewed, asked = of(events, InputRequest)
    assert reviewed.prompt == "found: Three trips.\n\nShall I go on with it?"
    assert asked.prompt == "Which city?"
    assert isinstance(events[-1], Completed), events[-1]
    assert finals(events) == ["Three trips.", "A trip to Paris."]
    assert len({d.message_id for d in of(events, TextDelta)}) == 2
    assert "Write of Paris: the second" in scripted.requests[1].last_user
    assert len(scripted.requests) == 2
    assert printed == ""


class Elsewhere:
    def request_feedback(self, context, flow):
        raise HumanFeedbackPending(context)


class Leaving(Flow):
    @start()
    @human_feedback(message="Well?", provider=Elsewhere())
    def begin(self):
        return "done"


async def test_a_flow_that_waits_in_a_way_of_its_own_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setenv("CREWAI_STORAGE_DIR", str(tmp_path))
    events = await events_of(wrap(Leaving(), id="flow"), task_for("?"))
    assert isinstance(events[-1], Failed)
    assert "leave the provider" in events[-1].message


async def test_a_state_that_cannot_be_read_is_a_clear_error():
    agent = wrap(worker("http://127.0.0.1:9/v1"))
    events = await events_of(agent, replace(task_for("yes"), state="{}"))
    assert isinstance(events[-1], Failed)
    assert "ask it anew" in events[-1].message


def test_a_record_gives_each_answer_once_and_in_order():
    record = Record()
    assert record.live
    key = key_of("tool", "look", {"where": "here"})
    values = iter(["one", "two", "three"])
    assert [record.ask(key, str, lambda: next(values)) for _ in range(2)] == ["one", "two"]
    again = Record(json.loads(json.dumps(record.dump())))
    assert not again.live
    assert [again.take(key), again.take(key)] == ["one", "two"]
    assert not again.live
    assert again.take(key) is NOTHING
    assert again.live


# What it is given and makes


async def test_the_agents_of_a_crew_and_of_a_flow_are_told_the_conversation():
    history = [user_message("My name is Ada."), agent_message([text_part("Hello Ada.")])]
    two = [text("one"), text("two")]

    def crew_of_two(url):
        return crew(job(worker(url, "front")), job(worker(url, "back")))

    for make, script in ((crew_of_two, two), (Asking, two[:1])):
        events, scripted, _ = await played(script, make, "Who am I?", history=history)
        assert isinstance(events[-1], Completed), events[-1]
        for request in scripted.requests:
            roles = [m["role"] for m in request.messages if m["role"] != "system"]
            assert roles == ["user", "assistant", "user"]
            assert request.text.index("My name is Ada.") < request.text.index("Hello Ada.")


async def test_images_reach_each_agent_of_a_crew():
    picture = Part(raw=b"\x89PNG", media_type="image/png", filename="p.png")
    scripted = ScriptedModel(lambda _: text("ok"))
    async with scripted.serve() as url:
        agent = wrap(crew(job(worker(url, "front")), job(worker(url, "back"))), id="crew")
        task = replace(task_for("?"), message=user_message("What is it?", parts=[picture]))
        await events_of(agent, task)
    assert [r.images for r in scripted.requests] == [["data:image/png;base64,iVBORw=="]] * 2


async def test_json_of_a_task_is_data():
    made = text('{"city": "Ulm", "people": 126000}')
    events, _, _ = await played([made], lambda url: crew(job(worker(url), output_json=City)), "?")
    assert [a.data for a in of(events, ArtifactProduced)] == [{"city": "Ulm", "people": 126000}]


class Counting(Flow):
    @start()
    def count(self) -> City:
        self.state["seen"] = [*self.state.get("seen", []), self.state["message"]]
        return City(city=self.state["message"], people=len(self.state["seen"]))


async def test_a_flow_begins_each_run_anew_and_its_model_is_data():
    agent = wrap(Counting(), id="flow")
    for word in ("one", "two"):
        events = await events_of(agent, task_for(word))
        (made,) = of(events, ArtifactProduced)
        assert (made.name, made.data) == ("City", {"city": word, "people": 1})


async def test_a_file_of_a_task_is_told_with_its_name(tmp_path, monkeypatch):
    def make(url):
        return crew(job(worker(url), output_file="out/{it}.md", markdown=True))

    monkeypatch.chdir(tmp_path)
    events, _, _ = await played([text("# Owls")], make, "report")
    (file,) = of(events, ArtifactProduced)
    assert (file.raw, file.name, file.media_type) == (b"# Owls", "report.md", "text/markdown")


async def test_a_tool_that_ends_the_run_gives_the_answer():
    @tool("look", result_as_answer=True)
    def look(where: str) -> str:
        """Look somewhere."""
        return f"nothing {where}"

    script = [tool_call("look", {"where": "here"})]
    events, _, _ = await played(script, lambda url: worker(url, tools=[look]), "?")
    assert isinstance(events[-1], Completed)
    assert finals(events)[-1] == "nothing here"


async def test_plans_of_an_agent_that_reasons_are_thoughts():
    events, scripted, _ = await played(
        lambda _: text("READY: I am ready to execute the task."),
        lambda url: crew(job(worker(url, reasoning=True, max_reasoning_attempts=1))),
        "Owls",
    )
    assert isinstance(events[-1], Completed), events[-1]
    assert len(scripted.requests) >= 2
    assert of(events, Thought)


# What is known of it


def test_the_agents_of_a_crew_are_none_of_their_own(tmp_path):
    code = """
from crewai import LLM, Agent, Crew, Task

llm = LLM(model="gpt-4o-mini", api_key="k")
scout = Agent(role="Scout", goal="Find owls", backstory="Old.", llm=llm)
writer = Agent(role="Writer", goal="Write of owls", backstory="Young.", llm=llm)
tasks = [Task(description="Look out.", expected_output="Owls.", agent=scout),
         Task(description="Write it down.", expected_output="A line.", agent=writer)]
newsroom = Crew(agents=[scout, writer], tasks=tasks)
"""
    (tmp_path / "crews.py").write_text(code)
    found = discover([str(tmp_path / "crews.py")])
    assert found.problems == ()
    (agent,) = found.agents
    assert agent.id == "newsroom"
    assert agent.description == "Look out. Then: Write it down."
    assert info_of(agent).skills == ("Scout: Find owls", "Writer: Write of owls")
