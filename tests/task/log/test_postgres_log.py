from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import psycopg
import pytest

from codin.task.errors import LogError, LogVersionError, TaskRepeated
from codin.task.log import Adopt, Lease, LogEvent, PostgresEventLog
from codin.task.log._pg_wakes import _payloads
from codin.task.log._schema import LOG
from codin.task.log.base import WAITING
from codin.task.log.follow import follow
from codin.testing.log_conformance import ANN, EventLogSuite, artifact, begin, status
from codin.testing.postgres import PostgresServer

pytestmark = pytest.mark.slow


class TestPostgres(EventLogSuite):
    @pytest.fixture
    async def log(self, database: str) -> AsyncIterator[PostgresEventLog]:
        log = await PostgresEventLog.open(database)
        yield log
        await log.close()


@asynccontextmanager
async def two_logs(database: str) -> AsyncIterator[tuple[PostgresEventLog, PostgresEventLog]]:
    """Two gateways' logs over one database."""
    async with AsyncExitStack() as stack:
        one, two = await asyncio.gather(
            PostgresEventLog.open(database), PostgresEventLog.open(database)
        )
        stack.push_async_callback(one.close)
        stack.push_async_callback(two.close)
        yield one, two


async def execute(database: str, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute(statement.encode())


async def test_a_commit_wakes_a_reader_elsewhere(database: str) -> None:
    async with two_logs(database) as (one, two):
        lease = await begin(one)
        seen: list[LogEvent] = []

        async def read() -> None:
            # Without wake-ups this reader would look once, and then only after a minute.
            seen.extend([event async for event in follow(two, ANN, "t", poll=60)])

        reading = asyncio.create_task(read())
        for number in range(20):
            await one.append(lease, [artifact(number)])
            await asyncio.sleep(0.01)
        await one.append(lease, [status("COMPLETED")])
        await asyncio.wait_for(reading, 10)
        assert [event.seq for event in seen] == list(range(1, 23))


async def test_what_waits_wakes_who_may_have_room_elsewhere(database: str) -> None:
    async with two_logs(database) as (here, there):
        with there.notifier.subscribe(WAITING) as waiting:
            held = await begin(here, "held")
            await here.release(held)
            assert not await waiting.wait(0.3), "it is not for others"
            await begin(here, "waits", owner=None)
            assert await waiting.wait(5)
            lease = await here.claim(ANN, "held", owner="w1", ttl=30)
            assert lease is not None
            await here.release(lease, handed_over=True)
            assert await waiting.wait(5)
            await here.request_pause(ANN, "waits", paused=True)
            assert not await waiting.wait(0.3)
            await here.request_pause(ANN, "waits", paused=False)
            assert await waiting.wait(5)


async def test_two_gateways_serve_any_task(database: str) -> None:
    async with two_logs(database) as (one, two):
        lease = await begin(one, dedupe="m")
        with pytest.raises(TaskRepeated):
            await begin(two, "t2", dedupe="m")
        await two.request_cancel(ANN, "t")
        assert (await one.pulse("w1", 30)).cancel == {"t"}
        assert await two.claim(ANN, "t", owner="w2", ttl=30) is None
        await one.append(lease, [status("INPUT_REQUIRED")])
        await one.release(lease)
        taken = await two.claim(ANN, "t", owner="w2", ttl=30)
        assert taken is not None
        assert await two.append(taken, [status("WORKING")]) == 3
        assert [event.seq for event in await one.read(ANN, "t")] == [1, 2, 3]


async def test_writers_of_two_gateways_leave_no_gap(database: str) -> None:
    async with two_logs(database) as (one, two):
        goal, child = await begin(one, "goal"), await begin(two, "child", parent="goal")
        await asyncio.gather(
            *(two.append(child, [artifact(n)] * 3) for n in range(30)),
            *(one.append(goal, [artifact(n), Adopt("child", "s", "a")]) for n in range(30)),
        )
        await one.append(goal, [Adopt("child", "s", "a")])
        events = await two.read(ANN, "goal", limit=10_000)
        assert [event.seq for event in events] == list(range(1, 1 + 30 + 91 + 1))
        taken = [event.body["seq"] for event in events if event.kind == "child"]
        assert taken == list(range(1, 92))


async def test_many_gateways_start_at_once_on_an_empty_database(database: str) -> None:
    logs = await asyncio.gather(*(PostgresEventLog.open(database) for _ in range(5)))
    await begin(logs[0])
    assert (await logs[4].task(ANN, "t")).last_seq == 1
    await asyncio.gather(*(log.close() for log in logs))
    again = await PostgresEventLog.open(database)
    assert (await again.task(ANN, "t")).last_seq == 1
    await again.close()


async def test_a_newer_database_is_refused(database: str) -> None:
    await (await PostgresEventLog.open(database)).close()
    newer = len(LOG.postgres) + 1
    await execute(database, f"UPDATE codin.schema_version SET version = {newer}")
    with pytest.raises(LogVersionError, match=f"schema {newer}.*upgrade codin"):
        await PostgresEventLog.open(database)


async def test_a_failed_migration_leaves_nothing(database: str) -> None:
    await execute(database, "CREATE SCHEMA codin CREATE TABLE task_event (x int)")
    with pytest.raises(LogError, match=r"cannot be opened.*task_event"):
        await PostgresEventLog.open(database)
    await execute(database, "DROP TABLE codin.task_event")
    log = await PostgresEventLog.open(database)
    await begin(log)
    await log.close()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:hunter2@127.0.0.1:1/nowhere",
        "postgresql://ann:hunter2@127.0.0.1:1/nowhere?what=this",
        "no url at all",
    ],
)
async def test_a_server_that_is_not_there_is_said_without_its_password(url: str) -> None:
    with pytest.raises(LogError, match="cannot be opened") as raised:
        await PostgresEventLog.open(url)
    assert "hunter2" not in str(raised.value)


async def test_a_closed_log_says_so(database: str) -> None:
    log = await PostgresEventLog.open(database)
    await log.close()
    with pytest.raises(LogError, match="closed"):
        await log.task(ANN, "t")
    with pytest.raises(LogError, match="closed"):
        await begin(log)


async def test_closing_waits_for_what_was_handed_in(
    database: str, postgres: PostgresServer
) -> None:
    log = await PostgresEventLog.open(database)
    lease = await begin(log)
    writing = [asyncio.create_task(log.append(lease, [artifact(n)])) for n in range(50)]
    await asyncio.sleep(0)
    await log.close()
    assert sorted(await asyncio.gather(*writing)) == list(range(2, 52))
    assert _connected(postgres, database) == 0


def _connected(postgres: PostgresServer, database: str) -> int:
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    found = postgres.execute(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'")
    return int(found[0][0])


async def test_lost_connections_are_made_anew(database: str) -> None:
    async with two_logs(database) as (one, two):
        lease = await begin(one)
        await execute(
            database,
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()""",
        )
        await asyncio.sleep(0.1)
        assert await one.append(lease, [artifact(1)]) == 2, "idle connections were lost, no call"
        assert (await two.task(ANN, "t")).last_seq == 2
        async with asyncio.timeout(20):
            with two.notifier.subscribe("t") as wakeups:
                while not await wakeups.wait(0.2):
                    await one.append(lease, [artifact(2)])


async def test_a_cancelled_write_is_whole_and_the_next_goes_on(database: str) -> None:
    log = await PostgresEventLog.open(database, connections=2)
    lease = await begin(log)
    for number in range(40):
        writing = asyncio.create_task(log.append(lease, [artifact(number)] * 2))
        await asyncio.sleep(number / 10_000)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    last = await log.append(lease, [artifact(40)])
    events = await log.read(ANN, "t")
    assert [event.seq for event in events] == list(range(1, last + 1))
    assert last % 2 == 0, "first one, then twos, then one"
    await log.close()


async def test_a_claim_waits_for_who_writes_the_row(database: str) -> None:
    log = await PostgresEventLog.open(database)
    await log.release(await begin(log))
    async with await psycopg.AsyncConnection.connect(database) as other:
        await other.execute("UPDATE codin.task SET cancel_requested = true")
        claiming = asyncio.create_task(log.claim(ANN, "t", owner="w2", ttl=30))
        assert await log.claim_lost(owner="w3", ttl=30) == [], "passes over what is locked"
        await asyncio.sleep(0.05)
        assert not claiming.done()
        await other.commit()
        assert isinstance(await claiming, Lease)
    await log.close()


async def test_a_message_may_be_repeated_after_a_day(database: str) -> None:
    log = await PostgresEventLog.open(database)
    await begin(log, "t1", dedupe="m")
    aged = "UPDATE codin.task_key SET created = created - {}"
    await execute(database, aged.format(24 * 3600 - 60))
    with pytest.raises(TaskRepeated):
        await begin(log, "t2", dedupe="m")
    await execute(database, aged.format(60))
    results = await asyncio.gather(
        *(begin(log, f"t{number}", dedupe="m") for number in range(2, 8)), return_exceptions=True
    )
    (lease,) = [result for result in results if isinstance(result, Lease)]
    with pytest.raises(TaskRepeated) as raised:
        await begin(log, "t9", dedupe="m")
    assert raised.value.task_id == lease.task_id
    await log.close()


async def test_what_others_notify_is_not_trusted(database: str) -> None:
    async with two_logs(database) as (one, two):
        await begin(one)
        for payload in ("", "x", "\n" * 5000, "x\nt2", "[" * 5000, "\U0001f600" * 1000):
            await execute(database, f"SELECT pg_notify('codin_task', '{payload}')")
        with two.notifier.subscribe("t") as wakeups:
            await execute(database, "SELECT pg_notify('codin_task', E'x\\nt')")
            assert await wakeups.wait(5)


def test_wake_ups_fit_into_a_notification() -> None:
    ids = [f"{number:032x}" for number in range(2000)] + [
        "ä" * 3000,
        "two\nlines",
        "\ud800",
        "i" * 99_999,
    ]
    payloads = list(_payloads("o" * 32, ids))
    assert all(len(payload.encode()) < 8000 for payload in payloads)
    assert all(any(one in payload for payload in payloads) for one in ids[:2001])


async def test_appends_of_many_tasks_go_side_by_side(database: str) -> None:
    log = await PostgresEventLog.open(database)
    leases = [await begin(log, f"t{number}") for number in range(50)]

    async def write(lease: Lease) -> None:
        for number in range(10):
            await log.append(lease, [artifact(number)])

    started = time.perf_counter()
    await asyncio.gather(*(write(lease) for lease in leases))
    rate = 500 / (time.perf_counter() - started)
    # A round trip a statement gives a thousand and more; a busy machine must not fail the test.
    assert rate > 150, f"{rate:.0f} events a second"
    await log.close()


async def test_the_package_does_without_postgres() -> None:
    code = """
import sys
sys.modules["psycopg"] = None
import codin.task.log
from codin.task.errors import LogError
try:
    codin.task.log.PostgresEventLog
except LogError as error:
    print(error)
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert "install codin[postgres]" in said.decode()
