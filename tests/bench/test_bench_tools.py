"""`codin bench tools`: what it prints, and that answers are looked at.

Nothing here is about speed: what a busy machine measures proves nothing.
"""

import json
import subprocess
import sys

import pytest

from codin.bench import BenchError, _tool_calls, tools
from codin.bench.tools import QUICK, bench_tools

pytestmark = pytest.mark.slow

METRICS = {"executor overhead", "executor, thread", "find_tools 2000"}


def test_it_measures_and_prints_what_programs_read(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "codin", "bench", "tools", "--quick", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["bench"] == "tools"
    rows = {row["metric"]: row for row in report["results"]}
    missing = {one["metric"]: one["reason"] for one in report.get("unavailable", [])}
    assert rows.keys() >= METRICS
    assert not rows.keys() & missing.keys()
    for row in rows.values():
        assert row["baseline_value"] > 0
        assert row["aim"]
        assert isinstance(row["reached"], bool)
    overhead = rows["executor overhead"]
    assert overhead["unit"] == "us"
    assert overhead["value"] > overhead["baseline_value"]


async def test_each_metric_is_named_where_it_could_be_missing():
    report = await bench_tools(QUICK, lambda _: None)
    named = {name for names in tools._GROUPS.values() for name in names}
    missing = {one.metric for one in report.unavailable}
    assert {row.metric for row in report.results} | missing == named
    assert not {row.metric for row in report.results} & missing


async def test_a_wrong_answer_is_no_figure(monkeypatch):
    monkeypatch.setattr(_tool_calls, "_EXPECTED", "something else")
    with pytest.raises(BenchError, match="a wrong answer"):
        await bench_tools(QUICK, lambda _: None)
