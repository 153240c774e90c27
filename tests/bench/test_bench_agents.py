"""`codin bench agents`: what it prints, and that answers are looked at.

Nothing here is about speed: what a busy machine measures proves nothing.
"""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from codin.agent import wrap
from codin.bench._turns import SAID, turns
from codin.cli.bench import _short


@pytest.mark.slow
def test_it_measures_and_prints_what_programs_read(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            *["-m", "codin", "bench", "agents", "--quick", "--framework", "agno", "--json"],
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["bench"] == "agents"
    found = {row["metric"]: row for row in report["results"]}
    named = {"agno in process", "agno in host", "agno host ready", "agno host rss", "host events"}
    assert set(found) == named
    assert all(row["value"] > 0 and row["baseline_value"] > 0 for row in found.values())
    assert found["agno in host"]["aim"] == "baseline + 10 ms"


def test_a_framework_that_is_not_measured_is_refused():
    done = subprocess.run(
        [sys.executable, *["-m", "codin", "bench", "agents", "--framework", "nope"]],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0
    assert "nope: choose of langgraph, adk, agno, crewai" in done.stderr


async def test_a_wrong_answer_is_no_figure():
    async def direct(words: str) -> str:
        return SAID

    async def wrong(text: str) -> str:
        return "something else"

    with pytest.raises(SystemExit, match="wrapped: a wrong answer: 'something else'"):
        await turns(SimpleNamespace(agent=wrap(wrong), direct=direct), 1)


async def test_both_ways_are_measured():
    async def right(text: str) -> str:
        return SAID

    found = await turns(SimpleNamespace(agent=wrap(right), direct=right), 3)
    assert set(found) == {"direct", "wrapped"}
    assert all(value > 0 for value in found.values())


def test_a_figure_without_an_aim_shows_none():
    row = {"metric": "m", "value": 1, "unit": "ms", "baseline": "b", "baseline_value": 1}
    assert _short({**row, "ratio": "1", "aim": "", "reached": True})["aim"] == ""
