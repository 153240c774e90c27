"""`codin run` as a process: its events, its replay, and its end by Ctrl-C."""

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

SHOUTER = """
from codin import wrap

async def shout(text: str) -> str:
    return text.upper()

agent = wrap(shout, id="shouter", description="Turns text into capitals.")
"""

SLEEPER = """
import asyncio
from codin import wrap

async def sleep(text: str) -> str:
    await asyncio.sleep(300)
    return "late"

agent = wrap(sleep, id="sleeper", description="Sleeps.")
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A home of its own, and a model that is never asked: one agent needs no planning."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CODIN", "OPENAI"))}
    return kept | {
        "CODIN_HOME": str(tmp_path / "home"),
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        "OPENAI_API_KEY": "none",
    }


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "codin", *arguments]


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_the_last_line_is_the_end_and_a_replay_prints_the_same(
    env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "shouter.py").write_text(SHOUTER)
    (tmp_path / "broken.py").write_text("import nowhere_at_all\n")
    run = subprocess.run(
        command("run", "--json", "--agent", "shouter.py", "--agent", "broken.py", "hello there"),
        env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "left out" in run.stderr
    assert "nowhere_at_all" in run.stderr
    events = lines(run.stdout)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["body"]["status"]["state"] == "TASK_STATE_COMPLETED"
    assert "HELLO THERE" in run.stdout
    replay = subprocess.run(
        command("tasks", "replay", "--json", events[0]["task_id"]),
        env=env, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert replay.stdout == run.stdout
    task_id = events[0]["task_id"]
    listed = subprocess.run(
        command("tasks", "list"),
        env=env | {"COLUMNS": "80"}, cwd=tmp_path, capture_output=True, text=True, check=True,
        timeout=60,
    )  # fmt: skip
    _, row = listed.stdout.splitlines()
    assert row.startswith(f"{task_id[:8]}  completed")
    assert row.endswith("hello there")
    shown = subprocess.run(
        command("tasks", "show", "--json", task_id[:8]),
        env=env, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert json.loads(shown.stdout)["id"] == task_id


PLAN = """
goal: Shout twice.
inputs: {words: {type: array, default: [one]}}
steps:
  - {id: shout, agent: shouter, instruction: Shout., map: {over: {input: words}}}
  - id: again
    agent: shouter
    instruction: Shout again.
    inputs: {shouted: {step: shout}}
    check: {contains: ["SHOUT AGAIN."]}
"""


def test_a_plan_in_a_file_is_done_as_it_stands(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "shouter.py").write_text(SHOUTER)
    (tmp_path / "plan.yaml").write_text(PLAN)
    flags = ["--agent", "shouter.py", "--plan", "plan.yaml", "--input", 'words=["left", "right"]']
    done = subprocess.run(
        command("run", *flags),
        env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "goal: Shout twice." in done.stdout
    assert "plan: shout (shouter), again (shouter)" in done.stdout
    assert "shout.2: completed" in done.stdout
    assert "LEFT" in done.stdout


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--plan", "none.yaml"], "none.yaml: cannot be read"),
        (["--input", "a=1", "goal"], "--input is for a plan"),
        (["--plan", "plan.yaml", "--input", "a"], "give NAME=VALUE"),
        (["--planner", "nobody", "goal"], "goal.planner: give model, router, or agent:ID"),
    ],
)
def test_flags_of_plans_that_cannot_be_used_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], said: str
) -> None:
    from click.testing import CliRunner

    from codin.cli.run import run
    from codin.errors import InvalidInputError

    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text(PLAN)
    error = CliRunner().invoke(run, flags).exception
    assert isinstance(error, InvalidInputError)
    assert said in str(error)


def test_a_goal_of_a_megabyte_is_refused_before_anything_begins(
    env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "shouter.py").write_text(SHOUTER)
    run = subprocess.run(
        command("run", "--agent", "shouter.py", "-"),
        env=env, cwd=tmp_path, input="x" * 1_000_000, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    assert run.returncode == 2, run.stderr
    assert "more than the 262,144 allowed" in run.stderr
    assert len(run.stdout + run.stderr) < 2_000
    listed = subprocess.run(
        command("tasks", "list", "--json"),
        env=env, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert listed.stdout == ""


def test_ctrl_c_ends_everything_and_is_in_the_log(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    process = subprocess.Popen(
        command("run", "--json", "--agent", "sleeper.py", "sleep"),
        env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if json.loads(line)["kind"] == "child":
            break
    family = descendants(process.pid)
    assert family
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert lines(rest)[-1]["body"]["status"]["state"] == "TASK_STATE_CANCELED"
    assert "Traceback" not in errors
    deadline = time.monotonic() + 10
    while (left := [pid for pid in family if alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


def descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
