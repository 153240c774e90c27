"""A goal asks a person; all gateways are killed, and others take the answer and go on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from codin.testing.postgres import PostgresServer

pytestmark = pytest.mark.slow

PAINTER = """
from codin import wrap
from codin.agent.base import Task
from codin.agent.events import InputRequest

async def paint(task: Task):
    [buy] = task.tools
    if task.state is None:
        bought = await buy.invoke(what="a brush")
        return InputRequest(request_id="q", prompt="Which colour?", state=str(bought))
    return f"{task.state}, {await buy.invoke(what=task.text)}"

agent = wrap(paint, id="painter", description="Paints.", tools=["buy"])
"""
TOOLS = '''
from codin import tool

@tool(trusted=True, effects="once")
def buy(what: str) -> str:
    """Buy."""
    with open("bought", "a") as file:
        file.write(what + "\\n")
    return f"bought {what}"
'''
SETTINGS = """
tools = ["tools.py"]
agents = [{{source = "painter.py"}}]
[database]
url = "{url}"
"""

Start = Callable[[], tuple[subprocess.Popen[str], httpx.Client]]


@pytest.fixture
def start(tmp_path: Path, postgres: PostgresServer) -> Iterator[Start]:
    """Starts a gateway, each with a home of its own, over one database."""
    with postgres.database() as url, ExitStack() as stack:
        (tmp_path / "painter.py").write_text(PAINTER)
        (tmp_path / "tools.py").write_text(TOOLS)
        (tmp_path / "codin.toml").write_text(SETTINGS.format(url=url))
        yield lambda: stack.enter_context(_gateway(tmp_path))


@contextmanager
def _gateway(place: Path) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CODIN", "OPENAI"))}
    home = place / f"home-{time.monotonic_ns()}"
    env = kept | {
        "CODIN_HOME": str(home),
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",  # one agent needs no planning
        "OPENAI_API_KEY": "none",
    }
    with (place / "said").open("a") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "codin", "up", "--port", "0", "--config", "codin.toml"],
            cwd=place, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said,
            text=True,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "http" in line, (place / "said").read_text()
        url = next(word for word in line.split() if word.startswith("http"))
        with httpx.Client(base_url=url, trust_env=False, timeout=30) as http:
            yield process, http
    finally:
        process.kill()
        process.communicate()


def until(http: httpx.Client, task_id: str, state: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while True:
        task: dict[str, Any] = http.get(f"/api/tasks/{task_id}").raise_for_status().json()
        if task["status"]["state"] == state:
            return task
        assert time.monotonic() < deadline, task["status"]
        time.sleep(0.1)


def test_a_goal_that_asks_goes_on_when_all_processes_are_others(
    start: Start, tmp_path: Path
) -> None:
    (one, first), (two, second) = start(), start()
    begun = first.post("/api/goals", json={"goal": "Paint the door."}).raise_for_status()
    task_id = begun.json()["task_id"]
    until(second, task_id, "TASK_STATE_INPUT_REQUIRED")
    for process in (one, two):
        process.kill()
        process.wait()
    (_, third), (_, fourth) = start(), start()
    asked = until(third, task_id, "TASK_STATE_INPUT_REQUIRED")
    assert "Which colour?" in str(asked["status"]["message"])
    fourth.post(f"/api/tasks/{task_id}/answer", json={"text": "blue"}).raise_for_status()
    done = until(third, task_id, "TASK_STATE_COMPLETED")
    assert "bought a brush, bought blue" in str(done["artifacts"] + done["history"])
    assert (tmp_path / "bought").read_text().splitlines() == ["a brush", "blue"]
