"""Run by ``test_environments.py`` where CrewAI is: the suite, and what is its own."""

from dataclasses import replace
from typing import Any

from crewai import LLM, Agent, Crew, Task
from crewai.flow.flow import Flow, listen, start

from codin.agent import wrap
from codin.agent._parts import data_part
from codin.agent.a2a import user_message
from codin.agent.events import Completed, Failed, HandOff, TextFinal, ToolCall, ToolResult
from codin.testing.agent_conformance import AgentConformance
from codin.testing.agent_fakes import adding_tool, task_for
from codin.testing.scripted_model import ScriptedModel, text, tool_call


def model_at(base_url: str) -> LLM:
    return LLM(model="gpt-4o-mini", base_url=base_url, api_key="k", stream=True, max_retries=0)


def worker(base_url: str, role: str = "Worker", **more: Any) -> Agent:
    return Agent(role=role, goal="Help", backstory="You help.", llm=model_at(base_url), **more)


class TestCrewAiAgent(AgentConformance):
    stops_its_model = False  # its threads read on; see tests/agent/host/test_frameworks.py

    async def make(self, base_url):
        return wrap(worker(base_url))


class TestCrewAiFactory(AgentConformance):
    stops_its_model = False

    async def make(self, base_url):
        return wrap(lambda tools: worker(base_url, tools=tools), framework="crewai")


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


async def test_a_crew_that_asks_at_a_terminal_is_refused():
    crew = crew_of("http://127.0.0.1:9/v1")
    crew.tasks[0].human_input = True
    events = await events_of(wrap(crew, id="crew"), task_for("Owls"))
    assert isinstance(events[-1], Failed)
    assert "human_input" in events[-1].message


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
