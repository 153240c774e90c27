"""What only a server does."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import psycopg
import pytest
from schemas import ALL, FRUIT, INSERT, STONE, FruitError

from codin.database import DatabaseError, PostgresDatabase
from codin.security import AuditEntry, CredentialError, KeyRequest, SecurityStore
from codin.task.errors import LogVersionError
from codin.task.log import EventLog, open_log
from codin.task.log._schema import LOG
from codin.task.push import PushConfig, PushConfigStore, StoredPushConfigs
from codin.testing.log_conformance import ANN, artifact, begin
from codin.testing.push_conformance import claimed
from codin.testing.security import ADMIN, USER


@pytest.fixture
async def database(url: str) -> AsyncIterator[PostgresDatabase]:
    async with PostgresDatabase(url) as database:
        yield database


async def execute(url: str, *statements: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        for statement in statements:
            await connection.execute(statement.encode())


class Gateway:
    """All that a gateway keeps, in one database."""

    log: EventLog
    push: PushConfigStore
    security: SecurityStore

    @classmethod
    async def open(cls, stack: AsyncExitStack, url: str, home: Path) -> "Gateway":
        gateway = cls()
        database = await stack.enter_async_context(PostgresDatabase(url))
        gateway.log = await open_log(database)
        stack.push_async_callback(gateway.log.close)
        gateway.push = await StoredPushConfigs.over(database)
        gateway.security = SecurityStore(home, database=database)
        return gateway


async def test_two_gateways_share_all_that_is_kept(url: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        one, two = await asyncio.gather(
            *(Gateway.open(stack, url, tmp_path / name) for name in ("one", "two"))
        )
        key, text = await one.security.keys.add(ADMIN, KeyRequest("robot", frozenset({"user"})))
        assert (await two.security.keys.principal_of(text)).subject == "robot"
        await two.security.keys.revoke(ADMIN, key.id)
        one.security.keys._fresh.clear()
        with pytest.raises(CredentialError, match="has been revoked"):
            await one.security.keys.resolve(text)

        lease = await begin(one.log)
        with two.log.notifier.subscribe("t") as wakeups:
            await one.log.append(lease, [artifact(1)])
            assert await wakeups.wait(10)
        assert [event.seq for event in await two.log.read(ANN, "t")] == [1, 2]

        await one.push.put(ANN, PushConfig("c", "t", "https://x.example/"), after=0, most=1)
        assert [claim.config.id for claim in await claimed(two.push)] == ["c"]

        await one.security.audit.record(USER, AuditEntry("a", "one", True))
        await two.security.audit.record(USER, AuditEntry("a", "two", True))
        for gateway in (one, two):
            records = await gateway.security.audit.list(ADMIN)
            assert [record.entry.resource for record in records] == ["two", "one"]
    assert not [*tmp_path.rglob("*.db")]


@pytest.mark.parametrize("ahead", [0, 1])
async def test_a_log_of_an_older_codin_is_taken_over(url: str, ahead: int) -> None:
    version = len(LOG.postgres) + ahead
    await execute(
        url,
        "CREATE SCHEMA codin",
        "SET search_path TO codin",
        *(statement for statements in LOG.postgres for statement in statements),
        "CREATE TABLE log_version (version integer NOT NULL)",
        f"INSERT INTO log_version VALUES ({version})",
    )
    async with PostgresDatabase(url) as database:
        if ahead:
            with pytest.raises(LogVersionError, match=rf"schema {version}.*upgrade codin"):
                await open_log(database)
            await execute(url, "SELECT * FROM codin.log_version")
            return
        log = await open_log(database)
        await begin(log)
        await log.close()


async def test_tables_of_another_schema_are_moved(url: str) -> None:
    await execute(
        url,
        "CREATE SCHEMA codin_fruit",
        "SET search_path TO codin_fruit",
        *FRUIT.postgres[0],
        "CREATE TABLE fruit_version (version integer NOT NULL)",
        "INSERT INTO fruit_version VALUES (1)",
        "INSERT INTO fruit VALUES ('apple', 3)",
    )
    async with PostgresDatabase(url) as database:
        assert await database.tables(FRUIT).rows(ALL) == [("apple", 3, "green")]
    with pytest.raises(psycopg.errors.UndefinedTable):
        await execute(url, "SELECT * FROM codin_fruit.fruit")


async def test_who_may_not_make_a_schema_uses_what_is_there(
    database: PostgresDatabase, url: str
) -> None:
    await database.tables(FRUIT).open()
    await execute(
        url,
        "DROP ROLE IF EXISTS codin_worker",
        "CREATE ROLE codin_worker LOGIN",
        "GRANT USAGE ON SCHEMA codin TO codin_worker",
        "GRANT ALL ON ALL TABLES IN SCHEMA codin TO codin_worker",
    )
    try:
        limited = psycopg.conninfo.make_conninfo(url, user="codin_worker")
        async with PostgresDatabase(limited) as worker:
            await worker.tables(FRUIT).change((INSERT, ("apple", 3)))
            with pytest.raises(Exception, match=r"the stone store .*permission denied"):
                await worker.tables(STONE).open()
    finally:
        await execute(url, "DROP OWNED BY codin_worker", "DROP ROLE codin_worker")


async def test_a_lasting_write_lasts_whatever_the_server_does_with_others(url: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    await execute(url, f"ALTER DATABASE {name} SET synchronous_commit TO off")
    fruit = PostgresDatabase(url).tables(FRUIT, owned=True)
    asked = ("SELECT current_setting('synchronous_commit')", ())
    try:
        assert await fruit.change(asked) == [("off",)]
        assert await fruit.change(asked, lasting=True) == [("on",)]
        assert await fruit.change(asked) == [("off",)]
    finally:
        await fruit.close()
        await execute(url, f"ALTER DATABASE {name} RESET synchronous_commit")


async def test_lost_connections_are_made_anew(database: PostgresDatabase, url: str) -> None:
    fruit = await database.tables(FRUIT).open()
    await execute(
        url,
        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()""",
    )
    await asyncio.sleep(0.1)
    await fruit.change((INSERT, ("apple", 3)))


async def test_a_row_that_somebody_keeps_is_passed_over(
    database: PostgresDatabase, url: str
) -> None:
    fruit = await database.tables(FRUIT).open()
    await fruit.change((INSERT, ("a", 1)), (INSERT, ("b", 2)))
    async with await psycopg.AsyncConnection.connect(url) as other:
        await other.execute("UPDATE codin.fruit SET weight = 9 WHERE name = 'a'")
        found = await fruit.rows(f"SELECT name FROM fruit ORDER BY name {fruit.SKIP_LOCKED}")
        assert found == [("b",)]


async def test_text_that_it_cannot_hold_is_an_error_of_the_store(
    database: PostgresDatabase,
) -> None:
    with pytest.raises(FruitError, match=r"cannot be used: .*NUL"):
        await database.tables(FRUIT).change((INSERT, ("a\0b", 1)))


async def test_the_package_does_without_postgres() -> None:
    code = """
import asyncio, sys
sys.modules["psycopg"] = None
from codin.database import DatabaseError, database_at
try:
    database_at("postgresql://localhost/codin")
except DatabaseError as error:
    print(error)
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert "install codin[postgres]" in said.decode()


async def test_closing_lets_go_of_all_connections(url: str) -> None:
    async with PostgresDatabase(url) as database:
        log = await open_log(database)
        await begin(log)
        await log.close()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        query = """SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()"""
        async with asyncio.timeout(10):
            while (await (await connection.execute(query)).fetchone()) != (0,):
                await asyncio.sleep(0.02)
    with pytest.raises(DatabaseError, match="is closed"):
        await database.open()


async def _until(go: asyncio.Event, _: object) -> None:
    await go.wait()


async def test_who_is_cancelled_while_a_connection_comes_free_is(url: str) -> None:
    async with PostgresDatabase(url, connections=1) as database:
        for turns in range(60):
            go = asyncio.Event()
            first = asyncio.create_task(database.run(partial(_until, go)))
            await asyncio.sleep(0.005)
            second = asyncio.create_task(database.run(lambda _: asyncio.sleep(60)))
            await asyncio.sleep(0.005)
            go.set()
            for _ in range(turns):  # until about when it gets the connection
                await asyncio.sleep(0)
            second.cancel()
            done, _ = await asyncio.wait([second], timeout=10)
            assert second in done, f"it went on, cancelled {turns} turns after the release"
            await first


async def test_all_connections_that_a_restart_cut_off_are_made_anew_at_once(url: str) -> None:
    """One after the other they took as long as a call waits at most, and the call failed."""
    async with PostgresDatabase(url, connections=8) as database:

        async def ask(statement: str) -> None:
            await database.run(lambda connection: connection.execute(statement.encode()))

        await asyncio.gather(*(ask("SELECT pg_sleep(0.3)") for _ in range(32)))
        with psycopg.connect(url, autocommit=True) as other:
            other.execute(
                """SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid()"""
            )
        async with asyncio.timeout(10):
            await ask("SELECT 1")
