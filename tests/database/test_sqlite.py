"""What only a file does."""

import asyncio
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from schemas import ALL, FRUIT, INSERT, STONE, NewerFruit

from codin.database import DatabaseError, DatabaseVersionError, SqliteDatabase, SqliteTables
from codin.security import DEFAULT_ROLES, AuditEntry, RoleAuthorizer, SecurityStore, StoredAudit
from codin.security.keys import KeyRequest
from codin.task.log import SqliteEventLog, open_log
from codin.task.log._schema import LOG
from codin.task.push import PushConfig, StoredPushConfigs
from codin.testing.log_conformance import ANN, artifact, begin
from codin.testing.security import ADMIN, USER


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with SqliteDatabase(tmp_path / "codin.db") as database:
        yield database


class Held:
    """Keeps the writer busy until it is let go, so that what is written meanwhile waits; notes what
    the writer's connection does from then on."""

    def __init__(self, database: SqliteDatabase) -> None:
        self.did: list[str] = []
        self._database = database
        self._go = threading.Event()
        self._busy = threading.Event()

    async def __aenter__(self) -> "Held":
        self._writing = asyncio.create_task(self._database.write(self._wait))
        await asyncio.to_thread(self._busy.wait, 10)
        return self

    async def __aexit__(self, *_: object) -> None:
        for _ in range(5):  # whoever writes has handed it in by then
            await asyncio.sleep(0.01)
        self._go.set()
        await self._writing

    def _wait(self, connection: sqlite3.Connection) -> None:
        self._busy.set()
        self._go.wait(10)
        connection.set_trace_callback(self.did.append)

    def count(self, beginning: str) -> int:
        return sum(statement.startswith(beginning) for statement in self.did)


async def test_what_all_stores_write_at_once_is_one_commit(
    database: SqliteDatabase, tmp_path: Path
) -> None:
    log = await open_log(database)
    security = SecurityStore(tmp_path, database=database)
    await security.audit.record(USER, AuditEntry("begin", "", True))
    push = await StoredPushConfigs.over(database)
    lease = await begin(log)
    async with Held(database) as held:
        writing = asyncio.gather(
            *(log.append(lease, [artifact(number)]) for number in range(20)),
            *(security.audit.record(USER, AuditEntry("a", str(n), True)) for n in range(20)),
            push.put(ANN, PushConfig("c", "t", "https://x.example/"), after=0, most=1),
        )
    await writing
    assert held.count("COMMIT") == 2, "that of who kept the writer, and theirs"
    assert (await log.task(ANN, "t")).last_seq == 21
    assert len(await security.audit.list(ADMIN, limit=100)) == 21


async def test_one_that_fails_is_undone_alone(database: SqliteDatabase) -> None:
    fruit = await database.tables(FRUIT).open()
    async with Held(database) as held:
        writing = asyncio.gather(
            *(fruit.change((INSERT, (name, 1))) for name in ("a", "b", "a", "c")),
            return_exceptions=True,
        )
    assert [type(result).__name__ for result in await writing] == [
        *("list", "list", "FruitError", "list")
    ]
    assert held.count("COMMIT") == 2
    assert [name for name, _, _ in await fruit.rows(ALL)] == ["a", "b", "c"]


async def test_a_lasting_write_waits_for_the_disk(database: SqliteDatabase) -> None:
    fruit = await database.tables(FRUIT).open()
    async with Held(database) as held:
        first = fruit.change((INSERT, ("a", 1)), lasting=True)
        writing = asyncio.gather(first, fruit.change((INSERT, ("b", 1))))
    await writing
    await fruit.change((INSERT, ("c", 1)))
    outside = [did for did in held.did if did.startswith(("PRAGMA", "COMMIT"))]
    assert outside == [
        *("COMMIT", "PRAGMA synchronous = FULL", "COMMIT", "PRAGMA synchronous = NORMAL"),
        "COMMIT",
    ]


async def test_keys_last(database: SqliteDatabase, tmp_path: Path) -> None:
    keys = SecurityStore(tmp_path, database=database).keys
    await keys.list(ADMIN)
    async with Held(database) as held:
        made = asyncio.gather(keys.add(ADMIN, KeyRequest("robot", frozenset({"user"}))))
    ((key, _),) = await made
    await keys.revoke(ADMIN, key.id)
    assert held.count("PRAGMA synchronous = FULL") == 2


async def test_who_waits_is_told_of_what_was_committed(database: SqliteDatabase) -> None:
    heard: list[tuple[set[str], list[int]]] = []

    def told(touched: set[str], results: list[int]) -> None:
        heard.append((touched, results))

    def broken(touched: set[str], results: list[int]) -> None:
        raise RuntimeError("nobody listens")

    def fails(connection: sqlite3.Connection) -> None:
        raise KeyError("x")

    async with Held(database):
        writing = asyncio.gather(
            database.write(lambda _: 1, touches=("a", "b"), told=told),
            database.write(lambda _: 2, touches=("c",), told=told),
            database.write(fails, touches=("d",), told=told),
            database.write(lambda _: 3, touches=("e",), told=broken),
            return_exceptions=True,
        )
    *results, last = await writing
    assert (results[:2], type(results[2]), last) == ([1, 2], KeyError, 3)
    assert heard == [({"a", "b", "c"}, [1, 2])]


async def test_the_file_of_an_older_log_gets_other_stores(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    log = await SqliteEventLog.open(tmp_path / "new.db")
    await log.close()
    with sqlite3.connect(path) as old:
        for statements in LOG.sqlite[:3]:  # the last version of which a file had one store
            for statement in statements:
                old.execute(statement)
        old.execute("PRAGMA user_version = 3")
    old.close()
    async with SqliteDatabase(path) as database:
        push = await StoredPushConfigs.over(database)
        await push.put(ANN, PushConfig("c", "t", "https://x.example/"), after=0, most=1)
        audit = StoredAudit(database, RoleAuthorizer(DEFAULT_ROLES))
        await audit.record(USER, AuditEntry("a", "b", True))
        await begin(await open_log(database))
        versions = await database.read(
            lambda connection: dict(connection.execute("SELECT * FROM schema_version").fetchall())
        )
    assert versions == {"": 3, "log": len(LOG.sqlite), "push": 2, "audit": 1}


async def test_a_codin_that_knows_one_store_a_file_leaves_it_alone(
    database: SqliteDatabase,
) -> None:
    await database.tables(FRUIT).open()
    found = await database.read(lambda connection: connection.execute("PRAGMA user_version"))
    assert found.fetchone()[0] > len(LOG.sqlite), "it refuses what is ahead of its own"


@pytest.mark.parametrize("version", [4, 99, 1001])
async def test_a_file_of_another_form_is_refused(tmp_path: Path, version: int) -> None:
    path = tmp_path / "codin.db"
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    with pytest.raises(DatabaseVersionError, match=rf"schema {version}.*upgrade codin"):
        await SqliteDatabase(path).open()
    with pytest.raises(NewerFruit, match="the fruit store in "):
        await SqliteDatabase(path).tables(FRUIT).open()


async def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "codin.db"
    path.write_text("not a database, but long enough to be looked at as one" * 40)
    with pytest.raises(DatabaseError, match=r"codin\.db cannot be opened"):
        await SqliteDatabase(path).open()


async def test_the_file_is_its_users_own(tmp_path: Path) -> None:
    async with SqliteDatabase(tmp_path / "home" / "codin.db") as database:
        await database.tables(FRUIT).change((INSERT, ("apple", 3)))
        for file in (tmp_path / "home").iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


async def test_readers_do_not_write(database: SqliteDatabase) -> None:
    fruit = database.tables(FRUIT)
    with pytest.raises(Exception, match="readonly"):
        await fruit.rows("DELETE FROM fruit")


async def test_a_reader_does_not_wait_for_the_writer(database: SqliteDatabase) -> None:
    fruit: SqliteTables = await database.tables(FRUIT).open()
    async with Held(database):
        writing = asyncio.create_task(fruit.change((INSERT, ("apple", 3))))
        assert await asyncio.wait_for(fruit.rows(ALL), 5) == []
    await writing


async def test_closing_leaves_no_thread(tmp_path: Path) -> None:
    async with SqliteDatabase(tmp_path / "codin.db") as database:
        await database.tables(STONE).rows("SELECT * FROM stone")
    assert not [t.name for t in threading.enumerate() if t.name.startswith("codin-database")]
    assert [file.name for file in tmp_path.iterdir()] == ["codin.db"], "the log is folded in"


def test_loops_may_follow_each_other(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "codin.db")
    fruit = database.tables(FRUIT)
    for number in range(3):
        asyncio.run(fruit.change((INSERT, (str(number), number))))
    assert len(asyncio.run(fruit.rows(ALL))) == 3
    asyncio.run(database.close())


async def test_closed_before_it_was_opened(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "codin.db")
    await database.close()
    with pytest.raises(DatabaseError, match="is closed"):
        await database.write(lambda _: None)
    assert not [*tmp_path.iterdir()]
