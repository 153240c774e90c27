"""The examples for E2B's SDKs do what they say, against `codin up --e2b`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples" / "e2b"

EXPECTED = {
    "lifecycle.py": [
        "running: True",
        "test on sandbox",
        "left by the other program",
        "minutes in all: 10",
        "ended: True",
        "running: False",
    ],
    "files.py": [
        "file first.txt 3 -rw-r--r--",
        "file second.txt 3 -rw-r--r--",
        "0001020304050607",
        "still there: False",
        "new: True False",
        "created: ['today', 'today/answer']",
        "['a,b', '1,3']",
        "sent by form",
        "reports: False",
    ],
    "commands.py": [
        "0 /home/user careful",
        "-> step 1",
        "-> step 2",
        "-> step 3",
        "failed with 1",
        "commands: ['while read']",
        "['5', '50']",
        "tick",
        "killed: True",
        "too slow",
    ],
    "code.py": [
        "42",
        "-> line 0",
        "-> line 1",
        "-> line 2",
        "=> 'done'",
        "['data', 'html', 'text'] [4, 21]",
        "KeyError 'missing'",
        "'other' 21",
        "NameError",
        "['shell in /tmp\\n']",
        "'once'",
        "from code",
    ],
    "charts.py": [
        "bar - Sales by author - PNG",
        "line - Growth - PNG",
        "[('Ada', 120.0, 'Books sold'), ('Bo', 80.0, 'Books sold'), ('Cy', 200.0, 'Books sold')]",
        "Authors / Sold (pieces) / pieces",
        "growth [(2023.0, 1.0), (2024.0, 2.5), (2025.0, 4.0)]",
    ],
    "serving.py": ["port: 3000 sandbox: True", "200 <h1>hello from inside</h1>"],
    "both_at_once.py": [
        "[0, 1, 4, 9, 16, 25]",
        "['one', 'two']",
        "['0', '1', '2', \"'end'\", \"'/tmp'\"]",
    ],
}


def test_every_example_is_run() -> None:
    assert {file.name for file in EXAMPLES.glob("*.py")} == set(EXPECTED)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What `codin up --e2b` says that a shell is to be told, and a key."""
    given = {
        **os.environ,
        "CODIN_HOME": str(tmp_path_factory.mktemp("home")),
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        "OPENAI_API_KEY": "none",
    }
    command = ["-m", "codin", "up", "--e2b", "--port", "0", "--model", "openai:none"]
    with subprocess.Popen(
        [sys.executable, *command],
        env=given,
        cwd=tmp_path_factory.mktemp("cwd"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        assert server.stdout is not None
        told: dict[str, str] = {}
        for line in server.stdout:
            told |= dict(re.findall(r"export (\w+)=(\S+)", line))
            if len(told) == 2:
                break
        assert set(told) == {"E2B_API_URL", "E2B_SANDBOX_URL"}
        yield {**os.environ, **told, "E2B_API_KEY": "any"}
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=30)
        assert server.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_an_example(environment: dict[str, str], name: str) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines == EXPECTED[name]
