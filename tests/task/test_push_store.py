from __future__ import annotations

import sqlite3
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codin.task.push import PushStoreError, SqlitePushConfigStore
from codin.testing.push_conformance import ANN, PushStoreSuite, claimed, config, keep


class TestSqlite(PushStoreSuite):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[SqlitePushConfigStore]:
        store = await SqlitePushConfigStore.open(tmp_path / "push.db")
        yield store
        await store.close()


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
