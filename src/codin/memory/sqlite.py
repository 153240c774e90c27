"""Memory in an SQLite file."""
# ruff: noqa: S608 - queries are put together from this module's own constants only

from __future__ import annotations

import builtins
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from codin.database import Row, SqliteDatabase, SqliteTables
from codin.memory import _sqlite_writing as chunk_rows
from codin.memory._checks import (
    as_json,
    checked_key,
    checked_scope,
    expiry,
    note_json,
    session_of,
)
from codin.memory._exported import exported_chunk, exported_message, exported_note
from codin.memory._found import chunk_of
from codin.memory._sqlite_chunks import CACHE_BYTES, SQLiteChunks
from codin.memory._sqlite_tables import EXACT, MEMORY, WITHIN, owner, reach
from codin.memory.base import Contents, Embedder, History, MemoryMessage, MemorySystem, Note, Notes
from codin.security import Scope

_MESSAGE = "role, text, id, task_id, time, body"
_NOTE = "key, value, tenant, user, agent, session, updated, expires"
_THERE = "(expires IS NULL OR expires > ?)"
_PAGE = 500


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
        older, arguments = "", [*reach(checked_scope(scope))]
        if before is not None:
            older = f" AND seq < (SELECT min(seq) FROM message WHERE {WITHIN} AND id = ?)"
            arguments += [*reach(scope), before]
        query = f"SELECT {_MESSAGE} FROM message WHERE {WITHIN}{older} ORDER BY seq DESC LIMIT ?"
        rows = await self._tables.rows(query, [*arguments, max(limit, 0)])
        return [_message(row) for row in reversed(rows)]


class _Notes(Notes):
    def __init__(self, tables: SqliteTables) -> None:
        self._tables = tables

    async def put(self, scope: Scope, key: str, value: Any, *, ttl: float | None = None) -> Note:
        text, now = note_json(value), time.time()
        expires = expiry(ttl, now)
        row = (*owner(checked_scope(scope)), checked_key(key), text, now, expires)
        insert = "INSERT OR REPLACE INTO note VALUES (?, ?, ?, ?, ?, ?, ?, ?)"

        def work(db: sqlite3.Connection) -> None:
            chunk_rows.overwrite(db)
            db.execute("DELETE FROM note WHERE expires <= ?", (now,))
            db.execute(insert, row)

        await self._tables.write(work)
        return Note(key, json.loads(text), scope, now, expires)

    async def get(self, scope: Scope, key: str) -> Note | None:
        query = f"SELECT {_NOTE} FROM note WHERE {EXACT} AND key = ? AND {_THERE}"
        rows = await self._tables.rows(query, (*owner(checked_scope(scope)), key, time.time()))
        return _note(rows[0]) if rows else None

    async def list(
        self, scope: Scope, *, prefix: str = "", limit: int = 1000
    ) -> builtins.list[Note]:
        query = (
            f"SELECT {_NOTE} FROM note WHERE {WITHIN} AND substr(key, 1, ?) = ? AND {_THERE} "
            "ORDER BY key LIMIT ?"
        )
        within = reach(checked_scope(scope))
        arguments = (*within, len(prefix), prefix, time.time(), max(limit, 0))
        return [_note(row) for row in await self._tables.rows(query, arguments)]

    async def delete(self, scope: Scope, key: str) -> bool:
        values = (*owner(checked_scope(scope)), key)
        statement = f"DELETE FROM note WHERE {EXACT} AND key = ? RETURNING expires"

        def work(db: sqlite3.Connection) -> builtins.list[Row]:
            chunk_rows.overwrite(db)
            return db.execute(statement, values).fetchall()

        now = time.time()
        return any(
            expires is None or expires > now for (expires,) in await self._tables.write(work)
        )


class SQLiteMemory(MemorySystem):
    """Memory in the file at ``path``, made when it is missing and readable by its owner only.

    Opened by the first call. ``cache_bytes`` bound the vectors that this process holds.

    What is deleted or forgotten is overwritten in the file, and in the file's log once nobody reads
    an older state.

    Raises, for every call: ``MemoryFailure`` when the file cannot be used, or when a newer codin
    has written it.
    """

    def __init__(
        self, path: Path, *, embedder: Embedder | None = None, cache_bytes: int = CACHE_BYTES
    ) -> None:
        self._tables = SqliteDatabase(path).tables(MEMORY, owned=True)
        self.history = _History(self._tables)
        self.notes = _Notes(self._tables)
        self._chunks = SQLiteChunks(self._tables, embedder, cache_bytes=cache_bytes)
        self.chunks = self._chunks

    async def forget(self, scope: Scope) -> Contents:
        within = reach(checked_scope(scope))

        def work(db: sqlite3.Connection) -> Contents:
            chunk_rows.overwrite(db)
            messages, notes = (
                db.execute(f"DELETE FROM {table} WHERE {WITHIN}", within).rowcount
                for table in ("message", "note")
            )
            return Contents(messages, notes, chunk_rows.forget(db, scope))

        forgotten = await self._tables.write(work)
        self._chunks.let_go()
        await self._tables.read(_shorten)
        return forgotten

    async def contents(self, scope: Scope) -> Contents:
        within = reach(checked_scope(scope))

        def work(db: sqlite3.Connection) -> Contents:
            messages, notes = (
                db.execute(f"SELECT count(*) FROM {table} WHERE {WITHIN}", within).fetchone()[0]
                for table in ("message", "note")
            )
            return Contents(messages, notes, chunk_rows.count(db, scope))

        return await self._tables.read(work)

    async def export(self, scope: Scope) -> AsyncIterator[dict[str, Any]]:
        checked_scope(scope)
        async for row in self._pages(_EXPORTED_MESSAGES, reach(scope), (0,)):
            yield exported_message(_scope(scope, *row[1:3]), _message(row[3:]))
        values = (*reach(scope), time.time())
        async for row in self._pages(_EXPORTED_NOTES, values, ("", "", "")):
            yield exported_note(_note(row[3:]))
        async for row in self._pages(_EXPORTED_CHUNKS, values, (0,)):
            yield exported_chunk(chunk_of(scope, row[1:8]), *row[8:])

    async def close(self) -> None:
        self._chunks.let_go()
        await self._tables.close()

    async def _pages(
        self, query: str, values: Sequence[Any], after: Sequence[Any]
    ) -> AsyncIterator[Row]:
        """What ``query`` finds, page by page: its first columns say what the next page is after."""
        while rows := await self._tables.rows(query, (*values, *after)):
            for row in rows:
                yield row
            after = rows[-1][: len(after)]


_EXPORTED_MESSAGES = (
    f"SELECT seq, agent, session, {_MESSAGE} FROM message WHERE {WITHIN} AND seq > ? "
    f"ORDER BY seq LIMIT {_PAGE}"
)
_EXPORTED_NOTES = (
    f"SELECT agent, session, key, {_NOTE} FROM note WHERE {WITHIN} AND {_THERE} "
    f"AND (agent, session, key) > (?, ?, ?) ORDER BY agent, session, key LIMIT {_PAGE}"
)
_EXPORTED_CHUNKS = (
    "SELECT seq, id, text, metadata, agent, session, updated, expires, name, embedder FROM chunk "
    f"JOIN chunk_collection ON number = collection WHERE {WITHIN} AND {_THERE} AND seq > ? "
    f"ORDER BY seq LIMIT {_PAGE}"
)


def _shorten(db: sqlite3.Connection) -> None:
    """Bring what is in the file's log into the file, as far as nobody reads an older state."""
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _scope(scope: Scope, agent: str, session: str) -> Scope:
    return Scope(scope.tenant, scope.user, agent or None, session or None)


def _values(scope: Scope, message: MemoryMessage) -> tuple[Any, ...]:
    body = None if message.body is None else as_json(message.body)
    said = (message.id, message.role, message.text, message.task_id, message.time)
    return (*owner(scope), *said, body)


def _message(row: Row) -> MemoryMessage:
    role, text, message_id, task_id, sent, body = row
    kept = None if body is None else json.loads(body)
    return MemoryMessage(role, text, message_id, task_id, sent, kept)


def _note(row: Row) -> Note:
    key, value, tenant, user, agent, session, updated, expires = row
    scope = Scope(tenant, user, agent or None, session or None)
    return Note(key, json.loads(value), scope, updated, expires)
