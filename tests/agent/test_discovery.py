"""Agents are found where they are, and what is broken is said, beside the rest."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from codin.agent.discovery import AgentLoadError, discover
from codin.agent.wrapping import info_of
from codin.testing.agent_conformance import task_for

GOOD = "async def agent(text: str) -> str:\n    'Repeats.'\n    return text\n"


@pytest.fixture(autouse=True)
def _clean_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


def write(folder: Path, **files: str) -> list[str]:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return [str(folder / f"{name}.py") for name in files]


def problem(source: str) -> AgentLoadError:
    (found,) = discover([source]).problems
    return found


async def test_a_function_named_agent_is_named_after_its_file(tmp_path: Path) -> None:
    found = discover(write(tmp_path, parrot=GOOD))
    (agent,) = found.agents
    assert (agent.id, agent.name, agent.description) == ("parrot", "parrot", "Repeats.")
    assert (await (await agent.handle(task_for("hi")))).text == "hi"
    assert found.problems == ()


def test_objects_are_found_by_type(tmp_path: Path) -> None:
    code = """
from agno.agent import Agent
from google.adk.agents import LlmAgent
from langgraph.graph import START, MessagesState, StateGraph
from codin import wrap

async def helper(x): ...
builder = StateGraph(MessagesState)
builder.add_node("n", lambda s: {})
builder.add_edge(START, "n")
flow = builder.compile()
inner = LlmAgent(name="inner", model="x")
outer = LlmAgent(name="outer", model="x", sub_agents=[inner])
again = outer
raw = Agent(name="raw one")
writer = wrap(raw, id="writer", name="Writer")
_hidden = Agent(name="hidden")
untitled = Agent()
"""
    found = discover(write(tmp_path, team=code))
    assert found.problems == ()
    assert [(a.id, info_of(a).framework) for a in found.agents] == [
        ("flow", "langgraph"),
        ("outer", "adk"),
        ("writer", "agno"),
        ("untitled", "agno"),
    ]


def test_an_attribute_can_be_named(tmp_path: Path) -> None:
    (file,) = write(tmp_path, many=GOOD + GOOD.replace("agent", "other"))
    assert [a.id for a in discover([f"{file}:other"]).agents] == ["other"]
    missing = problem(f"{file}:nope")
    assert "it has no 'nope'; there are: agent" in missing.message
    not_one = problem(f"{file}:__name__")
    assert "no http(s) URL" in not_one.message


def test_a_folder_gives_its_files_and_passes_over_those_without_agents(tmp_path: Path) -> None:
    write(tmp_path, one=GOOD, two="from helping import x\n" + GOOD, helping="x = 1", _own="1/0")
    (tmp_path / "pkg").mkdir()
    write(tmp_path / "pkg", agent="from . import part\n" + GOOD, part="", __init__="")
    found = discover([tmp_path])
    assert [a.id for a in found.agents] == ["one", "two", "pkg"]
    assert found.problems == ()


def test_what_is_broken_is_a_problem_and_the_rest_goes_on(tmp_path: Path) -> None:
    write(
        tmp_path,
        a_good=GOOD,
        b_raises="x = 1\ny = x / 0\n",
        c_syntax="def (:\n",
        d_missing="import surely_not_installed\n",
        e_exits="raise SystemExit(3)\n",
        f_good=GOOD,
    )
    found = discover([tmp_path])
    assert [a.id for a in found.agents] == ["a_good", "f_good"]
    told = {Path(p.source).stem: p for p in found.problems}
    assert told["b_raises"].error_type == "ZeroDivisionError"
    assert "line 2: y = x / 0" in told["b_raises"].message
    assert "c_syntax.py, line 1" in told["c_syntax"].message
    assert "surely_not_installed" in told["d_missing"].message
    assert told["e_exits"].error_type == "SystemExit"
    assert all(str(p).startswith(p.source) for p in found.problems)


def test_a_missing_framework_is_said_with_its_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "google.adk.agents", None)
    (file,) = write(tmp_path, needs="from google.adk.agents import LlmAgent\n")
    assert "pip install 'codin[adk]'" in problem(file).message
    assert problem(file).error_type == "ModuleNotFoundError"


def test_two_agents_with_one_id_are_both_named(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    first, second = *write(tmp_path, same=GOOD), *write(tmp_path / "x", same=GOOD)
    found = discover([first, second])
    assert [a.id for a in found.agents] == ["same"]
    (clash,) = found.problems
    assert first in str(clash)
    assert second in str(clash)


def test_files_that_are_not_there_or_have_no_agent(tmp_path: Path) -> None:
    assert "no such file" in problem(str(tmp_path / "gone.py")).message
    (empty,) = write(tmp_path, empty="x = 1")
    assert "there is no agent in it" in problem(empty).message
    assert "ModuleNotFoundError" in problem("no_such_module_anywhere:x").message


def test_a_file_does_not_hide_an_installed_package(tmp_path: Path) -> None:
    (file, _) = write(tmp_path, mine="import json\nassert json.dumps\n" + GOOD, json="1/0")
    assert [a.id for a in discover([file]).agents] == ["mine"]


def test_a_module_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, named_module=GOOD)
    monkeypatch.syspath_prepend(tmp_path)
    assert [a.id for a in discover(["named_module:agent"]).agents] == ["named_module"]


def test_what_an_agent_is_made_of_is_no_agent_of_its_own(tmp_path: Path) -> None:
    code = """
from google.adk.agents import LlmAgent
from google.adk.apps import App
from google.adk.tools.agent_tool import AgentTool
from google.adk.workflow import Workflow
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from codin import wrap

helper = LlmAgent(name="helper", model="x", description="Helps.")
root_agent = LlmAgent(name="clerk", model="x", tools=[AgentTool(helper)])
app = App(name="desk", root_agent=root_agent)
writer = LlmAgent(name="writer", model="x")
flow = Workflow(name="flow", edges=[("START", writer)])

def one(graph):
    builder = StateGraph(MessagesState)
    builder.add_node("said", graph)
    builder.add_edge(START, "said")
    return builder.compile()

inner = one(lambda state: {"messages": AIMessage("ok")})
outer = one(inner)
known = wrap(one(outer), id="known")
"""
    found = discover(write(tmp_path, many=code))
    assert found.problems == ()
    assert sorted(agent.id for agent in found.agents) == ["desk", "flow", "known"]


def test_a_package_with_the_name_of_an_installed_one_is_said_to_be_one(tmp_path: Path) -> None:
    folder = tmp_path / "agents"  # as the OpenAI Agents SDK is called in Python
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "writer.py").write_text("async def agent(text: str) -> str:\n    return text\n")
    (problem,) = discover([folder]).problems
    assert f"{folder} is a package, and so is" in problem.message
    assert "remove its __init__.py" in problem.message
    (folder / "__init__.py").unlink()
    assert [agent.id for agent in discover([folder]).agents] == ["writer"]
