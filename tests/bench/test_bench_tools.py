"""`codin bench tools`: what it prints, and that answers are looked at.

Nothing here is about speed: what a busy machine measures proves nothing.
"""

import json
import subprocess
import sys

import pytest

from codin.bench import BenchError, _tool_calls, _tool_mcp, tools
from codin.bench._pairs import NotHere, Pair, measured, times_baseline
from codin.bench.tools import QUICK, bench_tools
from codin.sandbox.base import Isolation, SandboxSupport
from codin.sandbox.local import LocalSandboxProvider

pytestmark = pytest.mark.slow

METRICS = {"executor overhead", "executor, thread", "mcp stdio call", "find_tools 2000"}


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


async def test_in_each_round_both_take_turns_and_each_is_first_as_often():
    took = []

    def way(name, seconds):
        async def once():
            took.append(name)
            return seconds

        return once

    pair = Pair("x", "s", way("ours", 2.0), "other", way("other", 1.0), times_baseline(2), turns=2)
    [found] = await measured([pair], 2, lambda _: None)
    assert (found.value, found.baseline_value, found.ratio, found.runs) == (2.0, 1.0, 2.0, 4)
    one, two = took[:2], took[2:4]
    assert one == two[::-1]
    assert took[4:] == [*two, *one]


async def test_a_server_that_answers_wrongly_is_no_figure(monkeypatch):
    async with _tool_mcp.mcp_calls(QUICK) as pairs:
        assert [pair.metric for pair in pairs] == ["mcp stdio call"]
        for way in (pairs[0].ours, pairs[0].other):
            assert await way() > 0
    monkeypatch.setattr(_tool_mcp, "_EXPECTED", {"result": "something else"})
    async with _tool_mcp.mcp_calls(QUICK) as pairs:
        with pytest.raises(BenchError, match="a wrong answer"):
            await measured(pairs, 1, lambda _: None)


async def test_where_there_is_no_sandbox_it_says_why(monkeypatch):
    async def probe(self):
        return SandboxSupport(
            Isolation.NAMESPACE, available=False, reason="no user namespaces here"
        )

    monkeypatch.setattr(LocalSandboxProvider, "probe", probe)
    with pytest.raises(NotHere, match="no user namespaces"):
        async with _tool_mcp.mcp_calls(QUICK):
            pass
