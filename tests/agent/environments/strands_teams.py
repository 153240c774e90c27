"""Run by ``test_environments.py`` where Strands is: its swarms and graphs."""

import asyncio
from itertools import pairwise

import pytest
from strands.multiagent import GraphBuilder, Swarm
from strands_agents import ask_user, worker

from codin.agent import wrap
from codin.agent.a2a import user_message
from codin.agent.events import (
    Completed,
    Failed,
    HandOff,
    TextFinal,
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
from codin.testing.scripted_model import ScriptedModel, error, hang, text, tool_call


def graph_of(*agents):
    builder = GraphBuilder()
    for agent in agents:
        builder.add_node(agent, agent.name)
    for one, other in pairwise(agents):
        builder.add_edge(one.name, other.name)
    return builder.set_execution_timeout(60).build()


async def test_a_graph_begins_anew_in_each_run():
    model = ScriptedModel([text("A draft."), text("A text.")] * 2)
    async with model.serve() as url:
        agent = wrap(graph_of(worker(url, "writer"), worker(url, "editor")), id="team")
        for _ in range(2):
            events = await collect(agent, task_for("Owls"))
            assert isinstance(events[-1], Completed), events[-1]
            assert [e.text for e in of(events, TextFinal)] == ["A draft.", "A text."]
            assert [(h.from_agent, h.to_agent) for h in of(events, HandOff)] == [
                ("writer", "editor")
            ]
            assert len(of(events, Usage)) == 2
    assert "A text." not in model.requests[2].text


@pytest.mark.parametrize("team", [lambda *agents: Swarm(list(agents)), graph_of])
async def test_a_team_has_the_tools_of_the_run_and_the_conversation(team):
    tool = adding_tool()
    model = ScriptedModel([tool_call("add", {"a": 1, "b": 2}), text("It is 3.")])
    async with model.serve() as url:
        task = task_for("1+2?", tools=[tool], history=[user_message("I am Ada.")])
        events = await collect(wrap(team(worker(url, "one")), id="team"), task)
    assert isinstance(events[-1], Completed), events[-1]
    assert tool.calls == [{"a": 1, "b": 2}]
    assert "I am Ada." in model.requests[0].text


@pytest.mark.parametrize("team", [lambda *agents: Swarm(list(agents)), graph_of])
async def test_a_team_that_asks_goes_on_in_another_process(team):
    model = ScriptedModel([tool_call("ask_user", {"question": "Which city?"}), text("Booked.")])
    async with model.serve() as url:

        def make():
            return wrap(team(worker(url, "one", tools=[ask_user])), id="team")

        task = task_for("A trip")
        request = asked(await collect(make(), task))
        events = await collect(make(), answering(task, request, "Rome"))
    assert isinstance(events[-1], Completed), events[-1]
    assert "the user says Rome" in model.requests[1].tool_results
    assert of(events, TextFinal)[-1].text == "Booked."


@pytest.mark.parametrize("team", [lambda *agents: Swarm(list(agents)), graph_of])
async def test_an_error_within_a_team_is_told_once(team):
    async with ScriptedModel(lambda _: error(500, "the model broke")).serve() as url:
        agent = wrap(team(worker(url, "one"), worker(url, "two")), id="team")
        events = await collect(agent, task_for("?"))
    (failed,) = events
    assert isinstance(failed, Failed)
    assert "the model broke" in failed.message


@pytest.mark.parametrize("team", [lambda *agents: Swarm(list(agents)), graph_of])
async def test_a_team_is_bounded(team):
    model = ScriptedModel(lambda _: tool_call("add", {"a": 1, "b": 2}))
    async with model.serve() as url:
        agent = wrap(team(worker(url, "one"), worker(url, "two")), id="team")
        agent.max_model_calls = 3
        events = await collect(agent, task_for("?", tools=[adding_tool()]))
    assert isinstance(events[-1], Failed)
    assert events[-1].error_type == "TooManySteps"
    assert len(model.requests) == 3


@pytest.mark.parametrize("team", [lambda *agents: Swarm(list(agents)), graph_of])
async def test_cancelling_a_team_ends_the_models_work(team):
    model = ScriptedModel([hang()])
    async with model.serve() as url:
        agent = wrap(team(worker(url, "one")), id="team")
        running = asyncio.create_task(collect(agent, task_for("?")))
        async with asyncio.timeout(20):
            while not model.requests:
                await asyncio.sleep(0.01)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            while not model.requests[0].disconnected:
                await asyncio.sleep(0.01)
