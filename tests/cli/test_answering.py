"""What a task asks is answered on the command line: on a terminal, and by `codin tasks answer`."""

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

PAYER = """
from codin import wrap
from codin.agent.base import Task

async def pay(task: Task):
    [tool] = task.tools
    said = []
    for to in task.text.split(","):
        try:
            said.append(await tool.invoke(to=to, amount=12345678901234567890))
        except Exception as error:
            said.append(str(error))
    return "; ".join(said)

agent = wrap(pay, id="payer", description="Pays.", tools=["pay"])
"""
TOOLS = '''
from codin import tool

@tool(trusted=True, effects="once")
def pay(to: str, amount: int) -> str:
    """Pay."""
    with open("paid", "a") as file:
        file.write(to + "\\n")
    return f"paid {to}"
'''
SETTINGS = """
tools = ["tools.py"]
agents = [{source = "payer.py"}]
policies = [{tool = "pay", effect = "ask", reason = "Ann pays."}]
"""
ASKER = """
from codin import wrap
from codin.agent.base import Task
from codin.agent.events import InputRequest

async def ask(task: Task):
    if task.state is None:
        schema = {"type": "string", "enum": ["red", "blue"]}
        asked = "Which\\u202e colour?"
        return InputRequest(request_id="q", prompt=asked, answer_schema=schema, state="asked")
    return f"It is {task.text}."

agent = wrap(ask, id="asker", description="Asks.")
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name, text in {
        "payer.py": PAYER,
        "tools.py": TOOLS,
        "codin.toml": SETTINGS,
        "asker.py": ASKER,
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def environment(place: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CODIN", "OPENAI"))}
    return kept | {
        "CODIN_HOME": str(place / "home"),
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",  # one agent needs no planning
        "OPENAI_API_KEY": "none",
        "TERM": "xterm",
        "COLUMNS": "200",
    }


def codin(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "codin", *arguments],
        env=environment(place), cwd=place, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False, timeout=90,
    )  # fmt: skip


def paid(place: Path) -> list[str]:
    file = place / "paid"
    return file.read_text().splitlines() if file.exists() else []


def task_of(place: Path) -> tuple[str, str]:
    """The only task of the place, and its state."""
    [line] = codin(place, "tasks", "list", "--json").stdout.splitlines()
    row: dict[str, Any] = json.loads(line)
    return row["task"], row["state"]


class Terminal:
    """A terminal in which a command of codin runs."""

    def __init__(self, place: Path, *arguments: str) -> None:
        self._master, slave = os.openpty()
        self.process = subprocess.Popen(
            ["setsid", "--ctty", sys.executable, "-m", "codin", *arguments],
            env=environment(place), cwd=place, stdin=slave, stdout=slave, stderr=slave,
        )  # fmt: skip
        os.close(slave)
        self.shown = ""

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._master)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def asked(self) -> str:
        """What is shown up to where an approval is to be typed."""
        return self.read_until("yes, or no and why> ")

    def read_until(self, end: str) -> str:
        """What is shown up to and with ``end``, after what was read before."""
        return self._read(lambda: end in self.shown, end)

    def rest(self) -> str:
        """All that is shown until the command ends."""
        shown = self._read(lambda: False, "")
        self.process.wait(10)
        return shown

    def _read(self, done: Callable[[], bool], end: str) -> str:
        deadline = time.monotonic() + 60
        while not done():
            ready, _, _ = select.select([self._master], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"not shown in time: {end!r}; shown was {self.shown!r}"
            try:
                piece = os.read(self._master, 65536).decode("utf-8", "replace")
            except OSError:  # nobody has the terminal open any more
                assert not end, f"not shown: {end!r}; shown was {self.shown!r}"
                break
            self.shown += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", piece).replace("\r", "")
        until = self.shown.index(end) + len(end) if end else len(self.shown)
        shown, self.shown = self.shown[:until], self.shown[until:]
        return shown


@pytest.fixture
def terminal(place: Path) -> Iterator[Callable[..., Terminal]]:
    with contextlib.ExitStack() as stack:

        def run(*arguments: str) -> Terminal:
            opened = Terminal(place, *arguments)
            stack.callback(opened.close)
            return opened

        yield run


def test_without_a_terminal_it_ends_and_says_how_to_answer(place: Path) -> None:
    run = codin(place, "run", "--config", "codin.toml", "Bo\u202e,Cy")
    assert run.returncode == 4, run.stdout + run.stderr
    task_id, state = task_of(place)
    assert state == "input_required"
    assert 'pay {\n  "to": "Bo\\u202e",\n  "amount": 12345678901234567890\n}\n' in run.stdout
    assert "Ann pays." in run.stdout
    assert "\u202e" not in run.stdout  # it would turn what follows
    told = f'to answer: codin tasks answer {task_id} "yes" --config codin.toml'
    assert told in run.stdout.splitlines()
    again = codin(place, "tasks", "answer", task_id[:8], "yes", "--config", "codin.toml")
    assert again.returncode == 4, again.stderr
    assert paid(place) == ["Bo\u202e"]
    assert '"to": "Cy"' in again.stdout
    assert told in again.stdout.splitlines()
    assert "plan:" not in again.stdout  # it is shown from the answer on
    assert again.stdout.count("needs an answer") == 1
    last = codin(place, "tasks", "answer", task_id, "no: he is away", "--json")
    assert last.returncode == 0, last.stderr
    events = [json.loads(line) for line in last.stdout.splitlines()]
    assert events[0]["kind"] == "message"
    assert events[-1]["body"]["status"]["state"] == "TASK_STATE_COMPLETED"
    assert "the call was not approved; the answer was 'no: he is away'" in last.stdout
    assert paid(place) == ["Bo\u202e"]


def test_on_a_terminal_it_is_asked_there_as_often_as_it_has_to_be(
    place: Path, terminal: Callable[..., Terminal]
) -> None:
    run = terminal("run", "Bo,Cy")
    run.type("yes\n")  # before there is a question: it answers none
    asked = run.asked()
    assert 'pay {\n  "to": "Bo",\n  "amount": 12345678901234567890\n}\n' in asked
    assert "Ann pays." in asked
    assert paid(place) == []
    run.type("\n")
    run.asked()
    assert paid(place) == []
    run.type("yes\n")
    assert '"to": "Cy"' in run.asked()
    assert paid(place) == ["Bo"]
    run.type("not today\n")
    shown = run.rest()
    assert run.process.returncode == 0, shown
    assert "paid Bo; pay: the call was not approved; the answer was 'not today'" in shown
    assert paid(place) == ["Bo"]


def test_ctrl_d_leaves_it_waiting_and_ctrl_c_cancels_it(
    place: Path, terminal: Callable[..., Terminal]
) -> None:
    run = terminal("run", "Bo")
    run.asked()
    run.type("\x04")
    shown = run.rest()
    assert run.process.returncode == 4, shown
    task_id, state = task_of(place)
    assert state == "input_required"
    assert f'codin tasks answer {task_id} "yes"' in shown
    goal = terminal("run", "Cy")
    goal.asked()
    goal.type("ye\x03")
    shown = goal.rest()
    assert goal.process.returncode == 130, shown
    assert "canceled" in shown
    assert "Traceback" not in shown
    states = [
        json.loads(line)["state"]
        for line in codin(place, "tasks", "list", "--json").stdout.splitlines()
    ]
    assert sorted(states) == ["canceled", "input_required"]
    assert paid(place) == []


def test_a_question_outlives_the_process_that_asked_it(
    place: Path, terminal: Callable[..., Terminal]
) -> None:
    run = terminal("run", "Bo,Cy")
    run.asked()
    run.type("yes\n")
    run.asked()
    os.kill(run.process.pid, signal.SIGKILL)
    run.rest()
    assert run.process.returncode == -signal.SIGKILL
    task_id, state = task_of(place)
    assert (state, paid(place)) == ("input_required", ["Bo"])
    done = terminal("tasks", "answer", task_id, "yes")
    shown = done.rest()
    assert done.process.returncode == 0, shown
    assert "paid Bo; paid Cy" in shown
    assert paid(place) == ["Bo", "Cy"]  # what had been done is not done again


def test_an_agents_own_question_shows_its_choices(
    place: Path, terminal: Callable[..., Terminal]
) -> None:
    (place / "codin.toml").write_text('agents = [{source = "asker.py"}]')
    run = terminal("run", "ask me")
    assert "asker asks: Which\\u202e colour?" in run.read_until("red | blue> ")
    run.type("blue\n")
    shown = run.rest()
    assert run.process.returncode == 0, shown
    assert "It is blue." in shown


def test_what_cannot_be_answered_is_said(place: Path) -> None:
    unknown = codin(place, "tasks", "answer", "none", "yes")
    assert (unknown.returncode, "there is no task 'none'" in unknown.stderr) == (1, True)
    assert codin(place, "run", "Bo").returncode == 4
    task_id, _ = task_of(place)
    empty = codin(place, "tasks", "answer", task_id, " ")
    assert (empty.returncode, "the answer is empty" in empty.stderr) == (2, True)
    (place / "other.toml").write_text('agents = [{source = "asker.py"}]')
    other = codin(place, "tasks", "answer", task_id, "yes", "--config", "other.toml")
    assert (other.returncode, "goes on with payer, and no such agent" in other.stderr) == (2, True)
    rows = codin(place, "tasks", "list", "--all", "--json").stdout.splitlines()
    [child] = {json.loads(row)["task"] for row in rows} - {task_id}
    part = codin(place, "tasks", "answer", child, "yes")
    assert part.returncode == 2
    assert f"is a part of task {task_id}, which asks in its place" in part.stderr
    assert codin(place, "tasks", "answer", task_id, "yes").returncode == 0
    over = codin(place, "tasks", "answer", task_id[:8], "yes")
    assert over.returncode == 2
    assert f"task {task_id} waits for no answer: it is completed" in over.stderr
    assert paid(place) == ["Bo"]


SLEEPER = """
import asyncio
from codin import wrap

async def sleep(text: str) -> str:
    await asyncio.sleep(300)
    return "late"

agent = wrap(sleep, id="sleeper", description="Sleeps.")
"""


def test_a_task_that_another_process_runs_is_not_answered(place: Path) -> None:
    (place / "sleeper.py").write_text(SLEEPER)
    (place / "codin.toml").write_text('agents = [{source = "sleeper.py"}]')
    with subprocess.Popen(
        [sys.executable, "-m", "codin", "run", "--json", "sleep"],
        env=environment(place), cwd=place, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        task_id = json.loads(process.stdout.readline())["task_id"]
        held = codin(place, "tasks", "answer", task_id, "yes")
        process.kill()
    assert held.returncode == 2
    assert "waits for no answer: it is working, in another process" in held.stderr
    assert f"codin tasks replay --follow {task_id}" in held.stderr
    lost = codin(place, "tasks", "answer", task_id, "yes")
    assert lost.returncode == 2
    assert "the process that did it is gone" in lost.stderr
