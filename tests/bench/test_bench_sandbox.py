"""`codin bench sandbox`: what it prints, that answers are looked at, and what is not here.

Nothing here is about speed: what a busy machine measures proves nothing.
"""

import json
import subprocess
import sys
from contextlib import asynccontextmanager

import pytest

from codin.bench import BenchError, _engine, _local, sandbox
from codin.bench._pairs import (
    NotHere,
    Pair,
    at_least,
    at_most,
    first_output,
    measured,
    over_baseline,
    rate,
    timed,
    times_baseline,
    whole_run,
)
from codin.bench._warm import Many, descendants, resident
from codin.bench.sandbox import QUICK, Effort, bench_sandbox
from codin.cli.bench import _show

pytestmark = pytest.mark.slow

METRICS = {
    "local cold",
    "local warm call",
    "local warm rate",
    "local warm rate of one",
    "local fork call",
    "local one-shot call",
    "docker warm call",
    "docker cold",
    "e2b create",
    "e2b create in a row",
    "e2b run command",
    "rss per warm sandbox",
    "warm sandboxes at once",
    "cpu of idle sandboxes",
}


@pytest.mark.slow
def test_it_measures_and_prints_what_programs_read(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "codin", "bench", "sandbox", "--quick", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["bench"] == "sandbox"
    rows = {row["metric"]: row for row in report["results"]}
    missing = {one["metric"]: one["reason"] for one in report.get("unavailable", [])}
    assert rows.keys() | missing.keys() == METRICS
    assert not rows.keys() & missing.keys()
    assert all(missing.values())
    assert {name for name in METRICS if name.startswith(("local", "rss", "warm"))} <= rows.keys()
    for row in rows.values():
        assert row["baseline_value"] > 0
        assert row["aim"]
        assert isinstance(row["reached"], bool)
    assert rows["warm sandboxes at once"]["value"] == QUICK.sandboxes


def _pair(ours, other, aim):
    async def first():
        return ours

    async def second():
        return other

    return Pair("speed", "ms", first, "plain", second, aim)


@pytest.mark.parametrize(
    ("aim", "ours", "other", "reached"),
    [
        (at_most(5, "ms"), 5, 1, True),
        (at_most(5, "ms"), 5.1, 1, False),
        (at_least(5, "/s"), 5, 1, True),
        (at_least(5, "/s"), 4.9, 9, False),
        (over_baseline(10, "ms"), 12, 2, True),
        (over_baseline(10, "ms"), 13, 2, False),
        (times_baseline(1.1), 110, 100, True),
        (times_baseline(1.1), 111, 100, False),
    ],
)
async def test_an_aim_is_reached_or_not(aim, ours, other, reached):
    (found,) = await measured([_pair(ours, other, aim)], 3, lambda _: None)
    assert (found.reached, found.runs, found.aim) == (reached, 3, aim.text)


async def test_who_comes_first_changes():
    order = []

    def way(name):
        async def once():
            order.append(name)
            return 1.0

        return once

    pair = Pair("speed", "ms", way("codin"), "plain", way("plain"), at_most(1, "ms"))
    await measured([pair], 2, lambda _: None)
    assert order == ["codin", "plain", "plain", "codin"]


async def test_what_cannot_be_had_is_told_with_its_reason(monkeypatch, capsys):
    @asynccontextmanager
    async def here(_):
        yield [_pair(1.0, 2.0, at_most(1, "ms"))]

    @asynccontextmanager
    async def not_here(_):
        raise NotHere("no engine: make system installs it")
        yield

    monkeypatch.setattr(sandbox, "_GROUPS", {here: ("speed",), not_here: ("a", "b")})
    report = await bench_sandbox(Effort(rounds=1), lambda _: None)
    assert [row.metric for row in report.results] == ["speed"]
    assert {one.metric: one.reason for one in report.unavailable} == dict.fromkeys(
        ("a", "b"), "no engine: make system installs it"
    )
    _show(report, as_json=False)
    said = capsys.readouterr().out
    assert "at most 1 ms: yes" in said
    assert "b: unavailable: no engine" in said


async def test_without_a_docker_command_there_are_no_containers(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NotHere, match="make system"):
        async with _engine.engine():
            pass


async def test_a_wrong_answer_is_no_result(monkeypatch, provider):
    async def wrong():
        return 41

    with pytest.raises(BenchError, match="41, not 42"):
        await timed(wrong, 42)
    with pytest.raises(BenchError, match="no output"):
        await first_output("true")
    with pytest.raises(BenchError, match="failed"):
        await whole_run("false")
    monkeypatch.setattr(_local, "SOURCE", "def double(x):\n    return x\n")
    async with await provider.create(sandbox_spec()) as place:
        worker = await place.worker()
        with pytest.raises(BenchError, match="21, not 42"):
            await timed(lambda: _local.called(worker), 42)


def sandbox_spec():
    from codin.sandbox import SandboxSpec

    return SandboxSpec()


async def test_a_rate_counts_what_was_done():
    done = 0

    async def work():
        nonlocal done
        done += 1

    assert await rate(0.02, work, work) > 0
    assert done


async def test_memory_and_processes_of_many(provider):
    import os

    many = Many(provider, 2, 0.1)
    assert await many.answering() == 2
    assert 1 < await many.memory() < 60
    assert await many.idle_percent() >= 0
    assert 1 < await many.plain_memory() < 60
    assert resident(os.getpid()) > 5
    assert resident(2**22 + 5) == 0
    process = subprocess.Popen(["sleep", "9"])
    try:
        assert process.pid in descendants()
    finally:
        process.kill()
        process.wait()


@pytest.fixture
async def provider():
    from codin.sandbox import LocalSandboxProvider

    provider = LocalSandboxProvider()
    yield provider
    await provider.close()
