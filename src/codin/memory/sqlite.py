"""Memory in an SQLite file."""
# ruff: noqa: S608 - queries are put together from this module's own constants only

from __future__ import annotations

import builtins
import json
import sqlite3
import time
from pathlib import Path
from typing import Any

from codin.database import Migrations, Row, Schema, SqliteDatabase, SqliteTables
from codin.memory._checks import as_json, checked_key, session_of
from codin.memory.base import History, MemoryFailure, MemoryMessage, MemorySystem, Note, Notes
from codin.security import Scope

_MIGRATIONS: Migrations = (
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
_MEMORY = Schema("memory", "the memory", MemoryFailure, sqlite=_MIGRATIONS, was_sqlite="message")
_EXACT = "tenant = ? AND user = ? AND agent = ? AND session = ?"
_WITHIN = "tenant = ? AND user = ? AND ifnull(agent = ?, 1) AND ifnull(session = ?, 1)"


class _History(History):
    def __init__(self, tables: SqliteTables) -> None:
        self._tables = tables

    async def append(self, scope: Scope, *messages: MemoryMessage) -> None:
        session_of(scope)
        insert = (
            "INSERT INTO message "
            "(tenant, user, agent, session, id, role, text, task_id, time, body) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        )
        await self._tables.change(*((insert, _values(scope, one)) for one in messages))

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
        rows = await self._tables.rows(query, [*arguments, max(limit, 0)])
        return [_message(row) for row in reversed(rows)]


class _Notes(Notes):
    def __init__(self, tables: SqliteTables) -> None:
        self._tables = tables

    async def put(self, scope: Scope, key: str, value: Any) -> Note:
        text, now = as_json(value), time.time()
        row = (*_owner(scope), checked_key(key), text, now)
        insert = "INSERT OR REPLACE INTO note VALUES (?, ?, ?, ?, ?, ?, ?)"
        await self._tables.change((insert, row))
        return Note(key, json.loads(text), scope, now)

    async def get(self, scope: Scope, key: str) -> Note | None:
        query = f"SELECT {_COLUMNS} FROM note WHERE {_EXACT} AND key = ?"
        rows = await self._tables.rows(query, (*_owner(scope), key))
        return _note(rows[0]) if rows else None

    async def list(
        self, scope: Scope, *, prefix: str = "", limit: int = 1000
    ) -> builtins.list[Note]:
        query = (
            f"SELECT {_COLUMNS} FROM note WHERE {_WITHIN} AND substr(key, 1, ?) = ? "
            "ORDER BY key LIMIT ?"
        )
        arguments = (*_reach(scope), len(prefix), prefix, max(limit, 0))
        return [_note(row) for row in await self._tables.rows(query, arguments)]

    async def delete(self, scope: Scope, key: str) -> bool:
        statement = f"DELETE FROM note WHERE {_EXACT} AND key = ? RETURNING key"
        return bool(await self._tables.change((statement, (*_owner(scope), key))))


_COLUMNS = "key, value, tenant, user, agent, session, updated"


class SQLiteMemory(MemorySystem):
    """Memory in the file at ``path``, made when it is missing and readable by its owner only.

    Opened by the first call.

    Raises, for every call: ``MemoryFailure`` when the file cannot be used, or when a newer codin
    has written it.
    """

    def __init__(self, path: Path) -> None:
        self._tables = SqliteDatabase(path).tables(_MEMORY, owned=True)
        self.history = _History(self._tables)
        self.notes = _Notes(self._tables)

    async def forget(self, scope: Scope) -> int:
        def work(connection: sqlite3.Connection) -> int:
            return sum(
                connection.execute(f"DELETE FROM {table} WHERE {_WITHIN}", _reach(scope)).rowcount
                for table in ("message", "note")
            )

        return await self._tables.write(work)

    async def close(self) -> None:
        await self._tables.close()


def _owner(scope: Scope) -> tuple[str, str, str, str]:
    # Empty text for what is not given: NULLs are never equal in a unique index.
    return scope.tenant, scope.user, scope.agent or "", scope.session or ""


def _reach(scope: Scope) -> tuple[str, str, str | None, str | None]:
    return scope.tenant, scope.user, scope.agent, scope.session


def _values(scope: Scope, message: MemoryMessage) -> tuple[Any, ...]:
    body = None if message.body is None else as_json(message.body)
    said = (message.id, message.role, message.text, message.task_id, message.time)
    return (*_owner(scope), *said, body)


def _message(row: Row) -> MemoryMessage:
    role, text, message_id, task_id, sent, body = row
    kept = None if body is None else json.loads(body)
    return MemoryMessage(role, text, message_id, task_id, sent, kept)


def _note(row: Row) -> Note:
    key, value, tenant, user, agent, session, updated = row
    return Note(
        key, json.loads(value), Scope(tenant, user, agent or None, session or None), updated
    )
