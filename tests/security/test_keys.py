"""API keys: shown once, of one tenant, and over when they are over."""

import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from security_people import ADMIN, Clock

from codin.database import FILE_NAME, Database
from codin.security import KeyStore, SecurityStore, StoredKeys
from codin.security.errors import SecurityFailure
from codin.testing.key_conformance import REQUEST, KeyStoreSuite


class TestStored(KeyStoreSuite):
    @pytest.fixture
    def open_keys(self, database: Database, clock: Clock) -> Callable[[], KeyStore]:
        return lambda: StoredKeys(database, clock=clock)


async def test_its_secret_is_kept_nowhere(store: SecurityStore, tmp_path: Path) -> None:
    key, text = await store.keys.add(ADMIN, REQUEST)
    secret = text.removeprefix(f"codin_{key.id}_")
    assert len(secret) == 43
    assert secret not in repr(key)
    await store.close()
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or secret.encode() not in file.read_bytes()
    assert stat.S_IMODE((tmp_path / "home" / FILE_NAME).stat().st_mode) == 0o600


async def test_a_file_of_a_newer_codin_is_left_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with sqlite3.connect(home / FILE_NAME) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    store = SecurityStore(home)
    with pytest.raises(SecurityFailure, match="newer codin"):
        await store.keys.list(ADMIN)
    await store.close()
    with pytest.raises(SecurityFailure, match="closed"):
        await store.keys.list(ADMIN)
