from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codin.task.push import (
    PostgresPushConfigStore,
    PushStoreError,
    SqlitePushConfigStore,
    UnknownPushConfig,
)
from codin.testing.push_conformance import ANN, PushStoreSuite, claimed, config, keep


class TestSqlite(PushStoreSuite):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[SqlitePushConfigStore]:
        store = await SqlitePushConfigStore.open(tmp_path / "push.db")
        yield store
        await store.close()


class TestPostgres(PushStoreSuite):
    @pytest.fixture
    async def store(self, database: str) -> AsyncIterator[PostgresPushConfigStore]:
        store = await PostgresPushConfigStore.open(database)
        yield store
        await store.close()

    async def test_two_gateways_share_it(
        self, store: PostgresPushConfigStore, database: str
    ) -> None:
        both = await asyncio.gather(*(PostgresPushConfigStore.open(database) for _ in range(2)))
        for one in (*both, store):
            await keep(one, f"c{id(one)}")
        names = [config.id for config in (await store.list(ANN, "t")).configs]
        claims = await asyncio.gather(claimed(both[0], "w1"), claimed(both[1], "w2"))
        assert sorted(claim.config.id for found in claims for claim in found) == sorted(names)
        for one in both:
            await one.close()

    async def test_a_newer_database_is_refused(
        self, store: PostgresPushConfigStore, database: str
    ) -> None:
        import psycopg

        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("INSERT INTO codin_push.push_version VALUES (99)")
        with pytest.raises(PushStoreError, match="upgrade codin"):
            await PostgresPushConfigStore.open(database)

    async def test_a_name_that_cannot_be_kept_is_unknown(
        self, store: PostgresPushConfigStore
    ) -> None:
        with pytest.raises(UnknownPushConfig):
            await store.get(ANN, "t", "a\0b")
        await store.delete(ANN, "t", "a\0b")


async def test_a_database_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codin.task.push.postgres._OPEN_SECONDS", 0.3)
    with pytest.raises(PushStoreError, match="cannot be opened"):
        await PostgresPushConfigStore.open("this is no connection string")


async def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    store = await SqlitePushConfigStore.open(tmp_path / "push.db")
    await keep(store, "c", after=4)
    await claimed(store, "w1", 0.0)
    await store.close()
    again = await SqlitePushConfigStore.open(tmp_path / "push.db")
    assert await again.get(ANN, "t", "c") == config()
    (claim,) = await claimed(again, "w2", 60.0, "w1")
    assert claim.cursor == 4
    await again.close()


async def test_the_file_is_its_users_own(tmp_path: Path) -> None:
    store = await SqlitePushConfigStore.open(tmp_path / "push.db")
    await keep(store, "c")
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    await store.close()


async def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "push.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(PushStoreError, match="upgrade codin"):
        await SqlitePushConfigStore.open(tmp_path / "push.db")


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "push.db").write_text("this is no database, whatever its name says" * 50)
    with pytest.raises(PushStoreError, match="cannot be opened"):
        await SqlitePushConfigStore.open(tmp_path / "push.db")


def test_secrets_are_not_shown() -> None:
    shown = repr(config(token="tok-1", credentials="cred-1"))
    assert "tok-1" not in shown
    assert "cred-1" not in shown
