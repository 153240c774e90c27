"""Bad input through the whole platform: one clear error at its place, and an end to everything."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from codin.config import AgentEntry, Settings
from codin.gateway.opening import open_platform
from codin.model import ModelChoice, parse
from codin.security import LOCAL_USER
from codin.task.log import LogEvent
from codin.task.log.follow import follow
from codin.testing.scripted_model import ScriptedModel, nonsense, text, tool_call, when

pytestmark = pytest.mark.slow

CALLER = """
from codin import wrap
from codin.tool import ToolError

async def call(task):
    try:
        return str(await task.tools[0].invoke({code!r}))
    except ToolError as error:
        return f"no result: {{error}}"

agent = wrap(call, id="caller", description="Calls a tool.", tools=["run_python"])
"""

ASKER = """
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from codin import wrap

def graph(tools):
    return create_agent(ChatOpenAI(model="default", max_retries=0), tools)

agent = wrap(graph, framework="langgraph", id="{id}", description="{does}", tools=["run_python"])
"""


def scripted(base_url: str) -> ModelChoice:
    return parse("openai:scripted", {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "none"})


async def run(
    home: Path, model: ScriptedModel, goal: str, *files: Path
) -> tuple[Sequence[LogEvent], Sequence[str]]:
    """The events of ``goal``, and what the platform said it had to leave out."""
    entries = tuple(AgentEntry(source=str(file)) for file in files)
    async with (
        model.serve() as base_url,
        open_platform(Settings(home=home / "home", agents=entries), scripted(base_url)) as platform,
    ):
        task_id = await platform.submit(LOCAL_USER, goal)
        events = [event async for event in follow(platform.log, LOCAL_USER, task_id)]
        return events, [problem.message for problem in platform.problems]


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


@pytest.fixture(scope="module", autouse=True)
def running_before() -> set[str]:
    """What other tests have running, such as an engine of containers."""
    return children()


def written(folder: Path, name: str, source: str) -> Path:
    path = folder / f"{name}.py"
    path.write_text(source)
    return path


async def test_a_tool_that_prints_a_gigabyte_is_ended_and_the_goal_goes_on(tmp_path: Path) -> None:
    code = "import sys\nfor _ in range(1024):\n    sys.stdout.write('x' * 1_048_576)\nprint('end')"
    file = written(tmp_path, "caller", CALLER.format(code=code))
    events, problems = await run(tmp_path, ScriptedModel(), "print a lot", file)
    assert problems == []
    assert events[-1].state == "TASK_STATE_COMPLETED"
    said = [str(event.body) for event in events if "no result: " in str(event.body)]
    assert "write long output to a file" in said[-1]
    kept = sum(path.stat().st_size for path in (tmp_path / "home").rglob("*") if path.is_file())
    assert kept < 8_000_000


async def test_a_model_that_answers_nonsense_fails_the_step_and_says_so(tmp_path: Path) -> None:
    file = written(tmp_path, "asker", ASKER.format(id="asker", does="Asks a model."))
    events, _ = await run(tmp_path, ScriptedModel(lambda _: nonsense()), "say something", file)
    assert events[-1].state == "TASK_STATE_FAILED"
    said = str(events[-1].body)
    assert "asker" in said
    assert "Traceback" not in said


async def test_a_planner_whose_model_answers_nonsense_says_so(tmp_path: Path) -> None:
    files = [
        written(tmp_path, name, ASKER.format(id=name, does=f"Knows all about {name}."))
        for name in ("birds", "stones")
    ]
    model = ScriptedModel(lambda _: text("I would rather talk about the weather."))
    events, _ = await run(tmp_path, model, "what can be done", *files)
    assert events[-1].state == "TASK_STATE_FAILED"
    assert "gave no usable plan" in str(events[-1].body)


async def test_wrong_arguments_go_back_to_the_model_which_can_mend_them(tmp_path: Path) -> None:
    file = written(tmp_path, "asker", ASKER.format(id="asker", does="Asks a model."))
    model = ScriptedModel(
        [tool_call("run_python", {"script": "print(1)"}), tool_call("run_python", '{"code": '),
         tool_call("run_python", {"code": "print(6 * 7)"}), text("It is 42.")]
    )  # fmt: skip
    events, _ = await run(tmp_path, model, "compute", file)
    assert events[-1].state == "TASK_STATE_COMPLETED", events[-1].body
    results = model.requests[-1].tool_results
    assert "code" in results[0]
    assert "42" in results[-1]


async def test_an_agent_without_its_framework_is_left_out_with_the_way_to_get_it(
    tmp_path: Path,
) -> None:
    # As an import system does it that has no such package.
    missing = "import sys\nsys.modules['agno'] = None\nfrom agno.agent import Agent\n"
    file = written(tmp_path, "framed", missing)
    good = written(tmp_path, "asker", ASKER.format(id="asker", does="Asks a model."))
    model = ScriptedModel([when("hello", text("hello yourself"))])
    events, problems = await run(tmp_path, model, "say hello", file, good)
    assert events[-1].state == "TASK_STATE_COMPLETED", events[-1].body
    (said,) = problems
    assert "agno.agent is not installed" in said
    assert "pip install 'codin[agno]'" in said


def test_nothing_of_this_is_left_running(running_before: set[str]) -> None:
    """Every host and sandbox of the tests above has ended with its platform."""
    alive = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children() - running_before]
    assert [line for line in alive if b"bwrap" in line or b"codin" in line] == []
