"""`codin plan`: a plan is looked at and changed before anything of it is done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slow

CLERK = """
from codin import wrap

async def work(text: str) -> str:
    return f"did: {text}"

agent = wrap(work, id="clerk", description="Works.")
"""
CHIEF = """
import json
from codin import wrap

async def plan(text: str) -> str:
    steps = [{"id": "a", "agent": "clerk", "instruction": "caf\u00e9"}]
    return json.dumps({"steps": steps}) if "Impossible" not in text else "no"

agent = wrap(plan, id="chief", description="Plans.")
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "clerk.py").write_text(CLERK)
    (tmp_path / "chief.py").write_text(CHIEF)
    return tmp_path


def codin(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CODIN", "OPENAI"))}
    env = kept | {
        "CODIN_HOME": str(place / "home"),
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",  # nothing here is planned by a model
        "OPENAI_API_KEY": "none",
    }
    return subprocess.run(
        [sys.executable, "-m", "codin", *arguments],
        env=env, cwd=place, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        timeout=90,
    )  # fmt: skip


def tasks(place: Path) -> list[str]:
    """The agents of all tasks that there were."""
    lines = codin(place, "tasks", "list", "--all", "--json").stdout.splitlines()
    return sorted(json.loads(line)["agent"] for line in lines)


def test_a_plan_is_changed_before_it_is_done(place: Path) -> None:
    planned = codin(place, "plan", "--agent", "clerk.py", "Count the rows.")
    assert planned.returncode == 0, planned.stderr
    plan = yaml.safe_load(planned.stdout)
    assert [step["agent"] for step in plan["steps"]] == ["clerk"]
    assert tasks(place) == [], "nothing of it is done"
    [step] = plan["steps"]
    plan["steps"] = [step, {**step, "id": "again", "instruction": "Twice.", "needs": [step["id"]]}]
    (place / "plan.yaml").write_text(yaml.safe_dump(plan))
    done = codin(place, "run", "--agent", "clerk.py", "--plan", "plan.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "did:" in done.stdout
    assert "Twice." in done.stdout
    assert tasks(place) == ["clerk", "clerk", "orchestrator"]


def test_an_agent_plans(place: Path) -> None:
    agents = ("--agent", "clerk.py", "--agent", "chief.py", "--planner", "agent:chief")
    planned = codin(place, "plan", *agents, "--json", "Have coffee.")
    assert planned.returncode == 0, planned.stderr
    plan = json.loads(planned.stdout)
    assert plan["steps"] == [{"id": "a", "agent": "clerk", "instruction": "caf\u00e9"}]
    assert plan["goal"] == "Have coffee."
    refused = codin(place, "plan", *agents, "Impossible.")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert set(tasks(place)) == {"chief"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plan", " "], "the goal is empty"),
        (["plan", "--agent", "clerk.py", "--planner", "agent:nobody", "x"], "nobody"),
    ],
)
def test_what_is_wrong_is_said(place: Path, arguments: list[str], said: str) -> None:
    done = codin(place, *arguments)
    assert done.returncode in (1, 2), done.stdout
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
