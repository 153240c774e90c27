"""`codin agents`: what each agent runs in and how it is, brought up here or asked of a gateway."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SHOUTER = """
from codin import wrap

print("\\x1b[31mloaded")

async def shout(text: str) -> str:
    if text == "die":
        import os
        os._exit(3)
    return text.upper()

agent = wrap(shout, id="shouter", description="Turns text into capitals.")
"""
GRAPH = """
from langgraph.graph import END, START, MessagesState, StateGraph

graph = StateGraph(MessagesState)
graph.add_node("say", lambda state: {"messages": [("ai", "done")]})
graph.add_edge(START, "say")
graph.add_edge("say", END)
works = graph.compile()
"""
SETTINGS = """
home = "home"
[[agents]]
source = "shouter.py"
memory_mb = 600
[[agents]]
source = "works.py"
isolation = "process"
[[agents]]
source = "broken.py"
[[agents]]
source = "twin.py"
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CODIN", "OPENAI"))}
    files = {
        "shouter.py": SHOUTER,
        "works.py": GRAPH,
        "broken.py": "import nowhere_at_all\n",
        "twin.py": SHOUTER,
        "codin.toml": SETTINGS,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return kept | {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_API_KEY": "none"}


def codin(*arguments: str, env: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "codin", *arguments]
    return subprocess.run(
        command, env=env, cwd=cwd, capture_output=True, text=True, check=False, timeout=60
    )


def check(rows: list[dict[str, object]]) -> None:
    """What is the same, whoever is asked."""
    by_id = {row["id"]: row for row in rows if row["id"]}
    assert set(by_id) == {"shouter", "works"}
    shouter, works = by_id["shouter"], by_id["works"]
    assert (shouter["isolation"], shouter["trusted"]) == ("host", False)
    assert (works["isolation"], works["trusted"]) == ("process", True)
    assert (works["framework"], works["version"]) == ("langgraph", version("langgraph"))
    assert {row["state"] for row in by_id.values()} == {"ready"}
    assert {row["environment"] for row in by_id.values()} == {"current"}
    assert str(works["address"]).endswith("/agents/works/")
    [broken, twin] = [row for row in rows if row["id"] is None]
    assert broken["state"] == twin["state"] == "failed"
    assert "nowhere_at_all" in str(broken["reason"])
    assert "the agent id 'shouter' is taken by" in str(twin["reason"])
    assert "shouter.py" in str(twin["reason"])


def test_they_are_brought_up_and_listed(env: dict[str, str], tmp_path: Path) -> None:
    done = codin("agents", "--json", env=env, cwd=tmp_path)
    assert done.returncode == 1  # not all of them came up
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    check(rows)
    assert rows[0]["socket"].endswith(".sock")
    assert "Traceback" not in done.stderr
    table = codin("agents", env=env, cwd=tmp_path)
    [line] = [line for line in table.stdout.splitlines() if line.startswith("shouter ")]
    assert line.split() == [
        *("shouter", "function", "current", "host", "ready"),
        "http://127.0.0.1:8420/agents/shouter/",
    ]
    assert "process, trusted" in table.stdout
    assert "nowhere_at_all" in table.stderr


def test_what_a_host_printed_is_kept(env: dict[str, str], tmp_path: Path) -> None:
    codin("agents", env=env, cwd=tmp_path)
    logs = codin("agents", "logs", "shouter", env=env, cwd=tmp_path)
    assert logs.returncode == 0, logs.stderr
    assert "[31mloaded" in logs.stdout
    assert "\x1b" not in logs.stdout
    for name in ("nobody", "../../etc/passwd"):
        none = codin("agents", "logs", name, env=env, cwd=tmp_path)
        assert (none.returncode, none.stdout) == (1, "")
        assert f"no log of an agent {name!r}" in none.stderr


@pytest.fixture
def gateway(env: dict[str, str], tmp_path: Path) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "codin", "up", "--port", "0"],
        env=env,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        yield next(word for word in said.split() if word.startswith("http"))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def test_a_gateway_that_runs_is_asked(gateway: str, env: dict[str, str], tmp_path: Path) -> None:
    done = codin("agents", "--json", "--url", gateway, env=env, cwd=tmp_path)
    assert done.returncode == 1
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    check(rows)
    assert rows[0]["address"].startswith(gateway)


def test_where_no_gateway_is(env: dict[str, str], tmp_path: Path) -> None:
    done = codin("agents", "--url", "http://127.0.0.1:9", env=env, cwd=tmp_path)
    assert done.returncode == 1
    assert "no gateway answers at http://127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr
