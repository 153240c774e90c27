"""The file in which keys and the audit log are kept: one connection, one thread."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from codin.private_file import opening
from codin.security.errors import SecurityFailure

T = TypeVar("T")

FILE_NAME = "security.db"

_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE api_key (
            id TEXT PRIMARY KEY, digest BLOB NOT NULL, tenant TEXT NOT NULL, subject TEXT NOT NULL,
            roles TEXT NOT NULL, scopes TEXT NOT NULL, note TEXT NOT NULL, made_by TEXT NOT NULL,
            created REAL NOT NULL, expires REAL, revoked REAL
        ) WITHOUT ROWID
        """,
        "CREATE INDEX api_key_tenant ON api_key (tenant, created)",
        """
        CREATE TABLE audit (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            time REAL NOT NULL, tenant TEXT NOT NULL, subject TEXT NOT NULL,
            behalf TEXT NOT NULL, action TEXT NOT NULL, resource TEXT NOT NULL,
            allowed INTEGER NOT NULL, origin TEXT NOT NULL, detail TEXT NOT NULL
        )
        """,
        "CREATE INDEX audit_tenant ON audit (tenant, seq)",
        """
        CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
        BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END
        """,
        """
        CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
        BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END
        """,
        # REPLACE takes the old row away without asking the trigger above.
        """
        CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit
        WHEN EXISTS (SELECT 1 FROM audit WHERE seq = new.seq)
        BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END
        """,
    ),
)


class SecurityDatabase:
    """The file at ``path``, made when it is missing and readable by its owner only.

    Opened by the first call. All work is done by one thread of its own.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="codin-security")
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    async def run(self, work: Callable[[sqlite3.Connection], T], *, lasting: bool = False) -> T:
        """Do ``work`` in one transaction, which survives the end of the process; ``lasting``: a
        power cut too.

        Raises:
            SecurityFailure: the file cannot be used, or a newer codin has written it.
        """
        if self._closed:
            raise SecurityFailure("the keys and the audit log are closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._transaction, work, lasting)

    async def close(self) -> None:
        """Close the file. Closing twice does nothing."""
        if not self._closed:
            self._closed = True
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._thread, self._disconnect)
            self._thread.shutdown(wait=False)

    def _transaction(self, work: Callable[[sqlite3.Connection], T], lasting: bool) -> T:
        try:
            if self._connection is None:
                self._connection = _connect(self._path)
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if lasting else 'NORMAL'}")
            with self._connection as connection:
                return work(connection)
        except sqlite3.Error as error:
            raise SecurityFailure(f"{self._path} cannot be used: {error}") from error

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _connect(path: Path) -> sqlite3.Connection:
    with opening(path):
        connection = sqlite3.connect(path, timeout=10.0)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            _migrate(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    with connection:
        # Locked before the version is read: another process may be migrating the same file.
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):
            raise SecurityFailure(
                f"{path} was written by a newer codin (schema {version}, this one knows "
                f"{len(_MIGRATIONS)}): update codin, or use another file"
            )
        for statements in _MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")
