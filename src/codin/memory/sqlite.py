"""Memory in an SQLite file."""
# ruff: noqa: S608 - queries are put together from this module's own constants only

from __future__ import annotations

import asyncio
import builtins
import json
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from codin.memory._checks import as_json, checked_key, session_of
from codin.memory.base import History, MemoryFailure, MemoryMessage, MemorySystem, Note, Notes
from codin.private_file import opening
from codin.security import Scope

T = TypeVar("T")

_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE message (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            tenant TEXT NOT NULL, user TEXT NOT NULL, agent TEXT NOT NULL, session TEXT NOT NULL,
            id TEXT NOT NULL, role TEXT NOT NULL, text TEXT NOT NULL, task_id TEXT,
            time REAL NOT NULL, body TEXT,
            UNIQUE (tenant, user, agent, session, id)
        )
        """,
        "CREATE INDEX message_session ON message (tenant, user, session, seq)",
        """
        CREATE TABLE note (
            tenant TEXT NOT NULL, user TEXT NOT NULL, agent TEXT NOT NULL, session TEXT NOT NULL,
            key TEXT NOT NULL, value TEXT NOT NULL, updated REAL NOT NULL,
            PRIMARY KEY (tenant, user, agent, session, key)
        ) WITHOUT ROWID
        """,
    ),
)
_EXACT = "tenant = ? AND user = ? AND agent = ? AND session = ?"
_WITHIN = "tenant = ? AND user = ? AND ifnull(agent = ?, 1) AND ifnull(session = ?, 1)"


class _Store:
    """One connection, used by one thread only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="codin-memory")
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do ``work`` in one transaction, on the store's thread."""
        if self._closed:
            raise MemoryFailure("the memory is closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._transaction, work)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._thread, self._disconnect)
            self._thread.shutdown(wait=False)

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = _connect(self._path)
            with self._connection as connection:
                return work(connection)
        except sqlite3.Error as error:
            raise MemoryFailure(f"the memory in {self._path} cannot be used: {error}") from error

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _History(History):
    def __init__(self, store: _Store) -> None:
        self._store = store

    async def append(self, scope: Scope, message: MemoryMessage) -> None:
        session_of(scope)
        body = None if message.body is None else as_json(message.body)
        row = (
            *_owner(scope),
            message.id,
            message.role,
            message.text,
            message.task_id,
            message.time,
            body,
        )
        insert = (
            "INSERT INTO message "
            "(tenant, user, agent, session, id, role, text, task_id, time, body) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        )
        await self._store.run(lambda connection: connection.execute(insert, row) and None)

    async def list(
        self, scope: Scope, *, limit: int = 1000, before: str | None = None
    ) -> builtins.list[MemoryMessage]:
        older, arguments = "", [*_reach(scope)]
        if before is not None:
            older = f" AND seq < (SELECT min(seq) FROM message WHERE {_WITHIN} AND id = ?)"
            arguments += [*_reach(scope), before]
        query = (
            "SELECT role, text, id, task_id, time, body FROM message "
            f"WHERE {_WITHIN}{older} ORDER BY seq DESC LIMIT ?"
        )
        rows = await self._store.run(
            lambda connection: connection.execute(query, [*arguments, max(limit, 0)]).fetchall()
        )
        return [_message(row) for row in reversed(rows)]


class _Notes(Notes):
    def __init__(self, store: _Store) -> None:
        self._store = store

    async def put(self, scope: Scope, key: str, value: Any) -> Note:
        text, now = as_json(value), time.time()
        row = (*_owner(scope), checked_key(key), text, now)
        insert = "INSERT OR REPLACE INTO note VALUES (?, ?, ?, ?, ?, ?, ?)"
        await self._store.run(lambda connection: connection.execute(insert, row) and None)
        return Note(key, json.loads(text), scope, now)

    async def get(self, scope: Scope, key: str) -> Note | None:
        query = f"SELECT {_COLUMNS} FROM note WHERE {_EXACT} AND key = ?"
        row = await self._store.run(
            lambda connection: connection.execute(query, (*_owner(scope), key)).fetchone()
        )
        return None if row is None else _note(row)

    async def list(
        self, scope: Scope, *, prefix: str = "", limit: int = 1000
    ) -> builtins.list[Note]:
        query = (
            f"SELECT {_COLUMNS} FROM note WHERE {_WITHIN} AND substr(key, 1, ?) = ? "
            "ORDER BY key LIMIT ?"
        )
        arguments = (*_reach(scope), len(prefix), prefix, max(limit, 0))
        rows = await self._store.run(
            lambda connection: connection.execute(query, arguments).fetchall()
        )
        return [_note(row) for row in rows]

    async def delete(self, scope: Scope, key: str) -> bool:
        query = f"DELETE FROM note WHERE {_EXACT} AND key = ?"
        arguments = (*_owner(scope), key)
        count = await self._store.run(
            lambda connection: connection.execute(query, arguments).rowcount
        )
        return count > 0


_COLUMNS = "key, value, tenant, user, agent, session, updated"


class SQLiteMemory(MemorySystem):
    """Memory in the file at ``path``, made when it is missing and readable by its owner only.

    All work is done by one thread of its own. Opened by the first call.

    Raises, for every call: ``MemoryFailure`` when the file cannot be used, or when a newer codin
    has written it.
    """

    def __init__(self, path: Path) -> None:
        self._store = _Store(path)
        self.history = _History(self._store)
        self.notes = _Notes(self._store)

    async def forget(self, scope: Scope) -> int:
        def work(connection: sqlite3.Connection) -> int:
            return sum(
                connection.execute(f"DELETE FROM {table} WHERE {_WITHIN}", _reach(scope)).rowcount
                for table in ("message", "note")
            )

        return await self._store.run(work)

    async def close(self) -> None:
        await self._store.close()


def _connect(path: Path) -> sqlite3.Connection:
    with opening(path):
        connection = sqlite3.connect(path, timeout=10.0)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
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
            raise MemoryFailure(
                f"{path} was written by a newer codin (schema {version}, this one knows "
                f"{len(_MIGRATIONS)}): update codin, or use another file"
            )
        for statements in _MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")


def _owner(scope: Scope) -> tuple[str, str, str, str]:
    # Empty text for what is not given: NULLs are never equal in a unique index.
    return scope.tenant, scope.user, scope.agent or "", scope.session or ""


def _reach(scope: Scope) -> tuple[str, str, str | None, str | None]:
    return scope.tenant, scope.user, scope.agent, scope.session


def _message(row: tuple[Any, ...]) -> MemoryMessage:
    role, text, message_id, task_id, sent, body = row
    kept = None if body is None else json.loads(body)
    return MemoryMessage(role, text, message_id, task_id, sent, kept)


def _note(row: tuple[Any, ...]) -> Note:
    key, value, tenant, user, agent, session, updated = row
    return Note(
        key, json.loads(value), Scope(tenant, user, agent or None, session or None), updated
    )
