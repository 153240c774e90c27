"""Tasks whose process was killed, or that are paused, go on from the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

CLERK = """
from codin import wrap
from codin.agent.base import Task

async def work(task: Task):
    [press] = task.tools
    return await press.invoke(what=task.text)

agent = wrap(work, id="clerk", description="Works.", tools=["press"])
"""
TOOLS = '''
import asyncio
from pathlib import Path
from codin import tool

@tool(trusted=True)
async def press(what: str) -> str:
    """Press."""
    with open("begun", "a") as file:
        file.write(what + "\\n")
    while not Path("go").exists():
        await asyncio.sleep(0.05)
    return f"did {what}"
'''
PLAN = """
goal: Do both.
steps:
  - {id: one, agent: clerk, instruction: one}
  - {id: two, agent: clerk, instruction: two, needs: [one]}
"""
SETTINGS = """
tools = ["tools.py"]
agents = [{source = "clerk.py"}]
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name, text in {
        "clerk.py": CLERK,
        "tools.py": TOOLS,
        "codin.toml": SETTINGS,
        "plan.yaml": PLAN,
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def command(place: Path, *arguments: str) -> dict[str, Any]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CODIN", "OPENAI"))}
    env = kept | {
        "CODIN_HOME": str(place / "home"),
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",  # a plan in a file needs no model
        "OPENAI_API_KEY": "none",
        "COLUMNS": "200",
    }
    argv = [sys.executable, "-m", "codin", *arguments]
    return {"args": argv, "env": env, "cwd": place, "stdin": subprocess.DEVNULL, "text": True}


def codin(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        **command(place, *arguments), capture_output=True, check=False, timeout=90
    )


def begun(place: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(lines(place)) < count:
        assert time.monotonic() < deadline, lines(place)
        time.sleep(0.05)


def lines(place: Path) -> list[str]:
    file = place / "begun"
    return file.read_text().splitlines() if file.exists() else []


def goal_of(place: Path) -> dict[str, Any]:
    [line] = codin(place, "tasks", "list", "--json").stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def running(place: Path) -> subprocess.Popen[str]:
    given = command(place, "run", "--config", "codin.toml", "--plan", "plan.yaml")
    return subprocess.Popen(**given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_a_goal_whose_process_was_killed_is_resumed(place: Path) -> None:
    process = running(place)
    try:
        begun(place, 1)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    task = goal_of(place)["task"]
    assert goal_of(place)["state"] == "working"
    answered = codin(place, "tasks", "answer", task, "yes", "--config", "codin.toml")
    assert answered.returncode == 2
    assert f"the process that did it is gone: codin tasks resume {task}" in answered.stderr
    # nobody has it: so its plan can be changed too
    changed = codin(place, "tasks", "plan", task, "--skip", "two")
    assert changed.returncode == 0, changed.stderr
    (place / "go").touch()
    resumed = codin(place, "tasks", "resume", task[:8], "--config", "codin.toml")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert "goes on (attempt 2)" in resumed.stdout
    assert goal_of(place)["state"] == "completed"
    assert lines(place) == ["one", "one"]
    again = codin(place, "tasks", "resume", task, "--config", "codin.toml")
    assert again.returncode == 2
    assert "has ended: it is completed" in again.stderr


def test_a_goal_is_paused_in_its_process_and_resumed(place: Path) -> None:
    process = running(place)
    try:
        begun(place, 1)
        task = goal_of(place)["task"]
        paused = codin(place, "tasks", "pause", task[:8])
        assert (paused.returncode, paused.stdout) == (0, f"{task}: paused\n")
        deadline = time.monotonic() + 30
        while "paused" not in codin(place, "tasks", "replay", task).stdout:
            assert time.monotonic() < deadline
            time.sleep(0.3)
        (place / "go").touch()
        resumed = codin(place, "tasks", "resume", task, "--config", "codin.toml")
        assert resumed.returncode == 0, resumed.stdout + resumed.stderr
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert goal_of(place)["state"] == "completed"
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plan", "none", "--skip", "a"], "there is no task 'none'"),
        (["plan", "none"], "give one of retry, skip, remove and add"),
        (["plan", "none", "--add", "{"], "is no YAML or JSON"),
        (["pause", "none"], "there is no task 'none'"),
        (["resume", "none"], "there is no task 'none'"),
    ],
)
def test_what_is_not_there_is_said(place: Path, arguments: list[str], said: str) -> None:
    done = codin(place, "tasks", *arguments)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
