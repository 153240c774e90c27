from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from codin.task.push import (
    PushStoreError,
    StoredPushConfigs,
)
from codin.task.push._schema import PUSH
from codin.testing.push_conformance import (
    ANN,
    PushStoreSuite,
    claimed,
    config,
    keep,
    letter,
)


class TestSqlite(PushStoreSuite):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[StoredPushConfigs]:
        store = await StoredPushConfigs.open(tmp_path / "push.db")
        yield store
        await store.close()


class TestPostgres(PushStoreSuite):
    @pytest.fixture
    async def store(self, database: str) -> AsyncIterator[StoredPushConfigs]:
        store = await StoredPushConfigs.open(database)
        yield store
        await store.close()

    async def test_two_gateways_share_it(self, store: StoredPushConfigs, database: str) -> None:
        both = await asyncio.gather(*(StoredPushConfigs.open(database) for _ in range(2)))
        for one in (*both, store):
            await keep(one, f"c{id(one)}")
        names = [config.id for config in (await store.list(ANN, "t")).configs]
        claims = await asyncio.gather(claimed(both[0], "w1"), claimed(both[1], "w2"))
        assert sorted(claim.config.id for found in claims for claim in found) == sorted(names)
        for one in both:
            await one.close()

    async def test_a_newer_database_is_refused(
        self, store: StoredPushConfigs, database: str
    ) -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("UPDATE codin.schema_version SET version = 99")
        with pytest.raises(PushStoreError, match=r"schema 99.*upgrade codin"):
            await StoredPushConfigs.open(database)


OLD = """
CREATE SCHEMA codin_push;
SET search_path TO codin_push;
CREATE TABLE push_version (version integer NOT NULL);
INSERT INTO push_version VALUES ({version});
{tables};
INSERT INTO push_config
    (tenant, subject, task_id, config_id, url, token, scheme, credentials, cursor)
    VALUES ('acme', 'ann', 't', 'c', 'https://x.example/c', 'token', 'Bearer', 'secret', 7);
"""


async def test_a_database_of_an_older_codin_is_taken_over(database: str) -> None:
    old = OLD.format(version=1, tables=";".join(PUSH.postgres[0]))
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(old.encode())
    stores = await asyncio.gather(*(StoredPushConfigs.open(database) for _ in range(3)))
    assert await stores[0].get(ANN, "t", "c") == config()
    await keep(stores[1], "d")
    (first, second) = await claimed(stores[2])
    assert (first.cursor, second.number) == (7, first.number + 1)
    for store in stores:
        await store.close()
    with psycopg.connect(database) as connection:
        query = "SELECT count(*) FROM pg_namespace WHERE nspname = 'codin_push'"
        assert connection.execute(query).fetchone() == (0,)


async def test_a_newer_database_of_the_old_form_is_left_as_it_is(database: str) -> None:
    old = OLD.format(version=99, tables=";".join(PUSH.postgres[0]))
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(old.encode())
    with pytest.raises(PushStoreError, match=r"schema 99.*upgrade codin"):
        await StoredPushConfigs.open(database)
    with psycopg.connect(database) as connection:
        kept = connection.execute("SELECT version FROM codin_push.push_version").fetchone()
        assert kept == (99,)


async def test_a_file_of_an_older_codin_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "push.db"
    with sqlite3.connect(path) as old:
        for statement in PUSH.sqlite[0]:
            old.execute(statement)
        old.execute("PRAGMA user_version = 1")
        old.execute(
            """INSERT INTO dead_letter VALUES (1, 'acme', 'ann', 't', 'c', 5,
                'https://x.example/c', 'no answer', 503, 4, 1.5, 2.5)"""
        )
    old.close()
    store = await StoredPushConfigs.open(path)
    assert (await store.dead_letters(ANN)).letters == (letter(5),)
    await store.close()


async def test_a_database_that_is_not_there() -> None:
    with pytest.raises(PushStoreError, match="cannot be opened") as raised:
        await StoredPushConfigs.open("postgresql://ann:hunter2@127.0.0.1:1/nowhere")
    assert "hunter2" not in str(raised.value)


async def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    store = await StoredPushConfigs.open(tmp_path / "push.db")
    await keep(store, "c", after=4)
    await claimed(store, "w1", 0.0)
    await store.close()
    again = await StoredPushConfigs.open(tmp_path / "push.db")
    assert await again.get(ANN, "t", "c") == config()
    (claim,) = await claimed(again, "w2", 60.0, "w1")
    assert claim.cursor == 4
    await again.close()


async def test_the_file_is_its_users_own(tmp_path: Path) -> None:
    store = await StoredPushConfigs.open(tmp_path / "push.db")
    await keep(store, "c")
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    await store.close()


async def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "push.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(PushStoreError, match="upgrade codin"):
        await StoredPushConfigs.open(tmp_path / "push.db")


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "push.db").write_text("this is no database, whatever its name says" * 50)
    with pytest.raises(PushStoreError, match="cannot be opened"):
        await StoredPushConfigs.open(tmp_path / "push.db")


def test_secrets_are_not_shown() -> None:
    shown = repr(config(token="tok-1", credentials="cred-1"))
    assert "tok-1" not in shown
    assert "cred-1" not in shown
