from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codin.task.errors import LogError, LogVersionError, TaskRepeated
from codin.task.log import Adopt, Durability, Entry, SqliteEventLog, StepRow, _queries, _statements
from codin.task.log._schema import LOG
from codin.task.notify import LocalNotifier
from codin.testing.log_conformance import ANN, EventLogSuite, artifact, begin, status


class TestSqlite(EventLogSuite):
    @pytest.fixture
    async def log(self, tmp_path: Path) -> AsyncIterator[SqliteEventLog]:
        log = await SqliteEventLog.open(tmp_path / "data" / "codin.db")
        yield log
        await log.close()


@pytest.mark.slow
class TestSqliteFull(EventLogSuite):
    @pytest.fixture
    async def log(self, tmp_path: Path) -> AsyncIterator[SqliteEventLog]:
        log = await SqliteEventLog.open(tmp_path / "codin.db", durability="full")
        yield log
        await log.close()


async def test_it_is_still_there_after_a_new_start(tmp_path: Path) -> None:
    log = await SqliteEventLog.open(tmp_path / "codin.db")
    lease = await begin(log)
    await log.append(lease, [status("WORKING")])
    await log.close()
    again = await SqliteEventLog.open(tmp_path / "codin.db")
    assert [event.seq for event in await again.read(ANN, "t")] == [1, 2]
    await again.close()


async def test_looking_for_lost_tasks_does_not_read_those_that_are_over(tmp_path: Path) -> None:
    path = tmp_path / "codin.db"
    await (await SqliteEventLog.open(path)).close()
    with sqlite3.connect(path) as connection:
        read: list[str] = []
        connection.set_trace_callback(read.append)
        _statements.claim_lost(connection, "w", 1.0, 100, None)
        _queries.unfinished(connection, 100)
        connection.set_trace_callback(None)
        plans = [
            str(connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall())
            for query in read
            if "FROM task" in query
        ]
    connection.close()
    assert len(plans) == 3
    assert all("task_unfinished" in plan for plan in plans), plans


@pytest.mark.parametrize("version", range(1, len(LOG.sqlite)))
async def test_an_older_database_is_brought_forward(tmp_path: Path, version: int) -> None:
    path = tmp_path / "codin.db"
    old = sqlite3.connect(path)
    for statements in LOG.sqlite[:version]:
        for statement in statements:
            old.execute(statement)
    if version > 3:  # until then the version was the file's own
        old.execute("CREATE TABLE schema_version (name TEXT PRIMARY KEY, version INTEGER NOT NULL)")
        old.execute("INSERT INTO schema_version VALUES ('log', ?)", (version,))
    old.execute(f"PRAGMA user_version = {version if version <= 3 else 1000}")
    old.execute(
        """INSERT INTO step (task_id, step_id, position, agent, instruction, needs, state, attempt)
            VALUES ('old', 's', 0, 'a', 'do', '[]', 'waiting', 0)"""
    )
    old.execute(
        """INSERT INTO task (task_id, tenant, subject, context_id, agent_id, goal_id, state, status,
            last_seq, created, updated, fence, lease_expires) VALUES ('old', 'acme', 'ann', 'c',
            'a', 'old', 'TASK_STATE_WORKING', '{}', 0, 1, 1, 1, 1)"""
    )
    old.commit()
    old.close()
    log = await SqliteEventLog.open(path)
    assert (await log.task(ANN, "old")).state == "TASK_STATE_WORKING"
    assert await log.steps(ANN, "old") == [StepRow("s", "a", "do")]
    await begin(log, dedupe="m")
    with pytest.raises(TaskRepeated):
        await begin(log, "t2", dedupe="m")
    await log.close()


async def test_a_message_may_be_repeated_after_a_day(tmp_path: Path) -> None:
    log = await SqliteEventLog.open(tmp_path / "codin.db")
    await begin(log, "t1", dedupe="m")
    await log._tables.write(lambda connection: _age(connection, 24 * 3600 - 60))
    with pytest.raises(TaskRepeated):
        await begin(log, "t2", dedupe="m")
    await log._tables.write(lambda connection: _age(connection, 60))
    await begin(log, "t2", dedupe="m")
    with pytest.raises(TaskRepeated) as raised:
        await begin(log, "t3", dedupe="m")
    assert raised.value.task_id == "t2"
    await log.close()


def _age(connection: sqlite3.Connection, seconds: float) -> None:
    connection.execute("UPDATE task_key SET created = created - ?", (seconds,))


@pytest.mark.parametrize(("durability", "level"), [("process", 1), ("full", 2)])
async def test_durability_is_the_databases_own(
    tmp_path: Path, durability: Durability, level: int
) -> None:
    log = await SqliteEventLog.open(tmp_path / "codin.db", durability=durability)
    assert await log._tables.write(
        lambda connection: connection.execute("PRAGMA synchronous").fetchone()
    ) == (level,)
    assert await log._tables.write(
        lambda connection: connection.execute("PRAGMA journal_mode").fetchone()
    ) == ("wal",)
    await log.close()


async def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "codin.db"
    await (await SqliteEventLog.open(path)).close()
    newer = len(LOG.sqlite) + 1
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE schema_version SET version = ? WHERE name = 'log'", (newer,))
    connection.close()
    with pytest.raises(LogVersionError, match=f"schema {newer}.*upgrade codin"):
        await SqliteEventLog.open(path)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "codin.db"
    path.write_text("not a database, but long enough to be looked at as one" * 40)
    with pytest.raises(LogError, match=r"codin\.db cannot be opened"):
        await SqliteEventLog.open(path)


async def test_a_closed_log_says_so(tmp_path: Path) -> None:
    log = await SqliteEventLog.open(tmp_path / "codin.db")
    await log.close()
    with pytest.raises(LogError, match="closed"):
        await log.task(ANN, "t")
    with pytest.raises(LogError, match="closed"):
        await begin(log)


async def test_only_its_user_reads_the_file(tmp_path: Path) -> None:
    log = await SqliteEventLog.open(tmp_path / "home" / "codin.db")
    assert (tmp_path / "home" / "codin.db").stat().st_mode & 0o077 == 0
    assert (tmp_path / "home").stat().st_mode & 0o077 == 0
    await log.close()


async def test_another_process_reads_and_writes_beside(tmp_path: Path) -> None:
    one = await SqliteEventLog.open(tmp_path / "codin.db")
    two = await SqliteEventLog.open(tmp_path / "codin.db")
    lease = await begin(one)
    other = await begin(two, "t2")
    await asyncio.gather(
        *(one.append(lease, [artifact(n)]) for n in range(50)),
        *(two.append(other, [artifact(n)]) for n in range(50)),
    )
    assert (await two.task(ANN, "t")).last_seq == 51
    assert (await one.task(ANN, "t2")).last_seq == 51
    await one.close()
    await two.close()


async def test_closing_leaves_no_thread(tmp_path: Path) -> None:
    log = await SqliteEventLog.open(tmp_path / "codin.db")
    await begin(log)
    await log.read(ANN, "t")
    await log.close()
    assert not [t.name for t in threading.enumerate() if t.name.startswith("codin-database")]


_MOVES = st.lists(
    st.tuples(
        st.sampled_from(["parent", "child", "adopt", "stale"]),
        st.integers(min_value=1, max_value=4),
    ),
    max_size=30,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(moves=_MOVES)
def test_whatever_is_written_at_once_leaves_no_gap_and_no_repeat(
    moves: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def check() -> None:
        log = await SqliteEventLog.open(tmp_path_factory.mktemp("log") / "codin.db")
        old = await begin(log, "goal")
        await log.release(old)
        goal = await log.claim(ANN, "goal", owner="w2", ttl=30)
        assert goal is not None
        child = await begin(log, "child", parent="goal")
        take = Adopt("child", "s", "a")
        writes = {
            "parent": lambda n: log.append(goal, [artifact(n)] * n),
            "child": lambda n: log.append(child, [artifact(n)] * n),
            "adopt": lambda n: log.append(goal, [take] * n),
            "stale": lambda n: log.append(old, [artifact(n)] * n),
        }
        await asyncio.gather(*(writes[kind](n) for kind, n in moves), return_exceptions=True)
        await log.append(goal, [take])
        for task_id in ("goal", "child"):
            events = await log.read(ANN, task_id)
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            assert (await log.task(ANN, task_id)).last_seq == len(events)
        taken = [e.body["seq"] for e in await log.read(ANN, "goal") if e.kind == "child"]
        assert taken == list(range(1, (await log.task(ANN, "child")).last_seq + 1))
        own = sum(n for kind, n in moves if kind == "parent")
        assert len(await log.read(ANN, "goal", kinds=["artifact"])) == own
        await log.close()

    asyncio.run(check())


_WRITER = """
import asyncio, sys
from codin.task.log import Entry, SqliteEventLog
from codin.testing.log_conformance import artifact, begin

async def main():
    log = await SqliteEventLog.open(sys.argv[1])
    lease = await begin(log, owner="victim")
    number = 0
    while True:
        number += 1
        seq = await log.append(lease, [artifact(number)])
        print(seq, flush=True)

asyncio.run(main())
"""


async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "codin.db"
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(200):
        process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    said = [int(line) for line in process.stdout.read().split("\n")[:-1] if line.strip()]
    process.wait()
    log = await SqliteEventLog.open(path)
    events = await log.read(ANN, "t", limit=1_000_000)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert len(events) >= max(said, default=201)
    (left,) = await log.unfinished()
    assert left.owner == "victim"
    lease = await log.claim(ANN, "t", owner="next", ttl=30, dead="victim")
    assert lease is not None
    assert await log.append(lease, [status("FAILED")]) == len(events) + 1
    await log.close()


async def test_appends_from_many_tasks_share_commits(tmp_path: Path) -> None:
    log = await SqliteEventLog.open(tmp_path / "codin.db")
    leases = [await begin(log, f"t{number}") for number in range(50)]
    body = json.loads(json.dumps({"text": "x" * 200}))

    async def write(number: int) -> None:
        for _ in range(40):
            await log.append(leases[number], [Entry("artifact", body)])

    started = time.perf_counter()
    await asyncio.gather(*(write(number) for number in range(50)))
    rate = 2000 / (time.perf_counter() - started)
    # One commit an event gives some hundred a second; a busy machine must not fail the test.
    assert rate > 1500, f"{rate:.0f} events a second"
    await log.close()


async def test_a_full_disk_is_said_and_undone(tmp_path: Path) -> None:
    log = await SqliteEventLog.open(tmp_path / "codin.db")
    lease = await begin(log)
    await log._tables.write(lambda connection: _bound(connection, 8))
    big = Entry("artifact", {"text": "x" * 1_000_000})
    with pytest.raises(LogError, match="cannot be used: database or disk is full"):
        await log.append(lease, [artifact(1), big])
    assert [event.seq for event in await log.read(ANN, "t")] == [1]
    await log._tables.write(lambda connection: _bound(connection, 100_000))
    assert await log.append(lease, [artifact(1), big]) == 3
    await log.close()


def _bound(connection: sqlite3.Connection, pages: int) -> None:
    connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()


async def test_readers_that_cannot_be_woken_stop_nobody(tmp_path: Path) -> None:
    class Broken(LocalNotifier):
        def notify(self, task_ids: object) -> None:
            raise RuntimeError("broken")

    log = await SqliteEventLog.open(tmp_path / "codin.db", notifier=Broken())
    lease = await begin(log)
    assert await log.append(lease, [artifact(1)]) == 2
    await log.close()
