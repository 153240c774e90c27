"""Memory in Postgres, with pgvector: for gateways on many machines."""
# ruff: noqa: S608 - queries are put together from this package's own constants only

from __future__ import annotations

import builtins
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from psycopg import AsyncConnection

from codin.database import Row
from codin.database.postgres import CONNECTIONS, PostgresDatabase, PostgresTables
from codin.memory import _postgres_writing as chunk_rows
from codin.memory._checks import as_json, checked_key, checked_text, expiry, note_json, session_of
from codin.memory._exported import exported_chunk, exported_message, exported_note
from codin.memory._found import chunk_of
from codin.memory._postgres_chunks import PostgresChunks
from codin.memory._postgres_searching import CHUNK
from codin.memory._postgres_tables import EXACT, MEMORY, THERE, WITHIN, owner, reach
from codin.memory.base import Contents, Embedder, History, MemoryMessage, MemorySystem, Note, Notes
from codin.security import Scope

_MESSAGE = "role, text, id, task_id, time, body"
_NOTE = "key, value, agent, session, updated, expires"
_PAGE = 500

_APPEND = """
INSERT INTO memory_message (tenant, holder, agent, session, id, role, text, task_id, time, body)
SELECT %(tenant)s, %(holder)s, %(agent)s, %(session)s, id, role, text, task_id, time, body
FROM unnest(
    %(ids)s::text[], %(roles)s::text[], %(texts)s::text[], %(task_ids)s::text[],
    %(times)s::float8[], %(bodies)s::text[]
) WITH ORDINALITY AS given (id, role, text, task_id, time, body, place)
ORDER BY place ON CONFLICT DO NOTHING
"""
_PUT = """
INSERT INTO memory_note (tenant, holder, agent, session, key, value, updated, expires)
VALUES (%(tenant)s, %(holder)s, %(agent)s, %(session)s, %(key)s, %(value)s, %(now)s, %(expires)s)
ON CONFLICT (tenant, holder, agent, session, key) DO UPDATE
SET value = excluded.value, updated = excluded.updated, expires = excluded.expires
"""
# Those that are being changed just now are left to the next one.
_PURGE = """
DELETE FROM memory_note WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM memory_note WHERE expires <= %(now)s LIMIT 1000 FOR UPDATE SKIP LOCKED
))
"""


class _History(History):
    def __init__(self, tables: PostgresTables) -> None:
        self._tables = tables

    async def append(self, scope: Scope, *messages: MemoryMessage) -> None:
        session_of(scope)
        values = {
            **owner(scope),
            "ids": [checked_key(one.id, "a message's id") for one in messages],
            "roles": [one.role for one in messages],
            "texts": [checked_text(one.text, "a message's text") for one in messages],
            "task_ids": [
                one.task_id and checked_text(one.task_id, "a task's id") for one in messages
            ],
            "times": [one.time for one in messages],
            "bodies": [
                None if one.body is None else checked_text(as_json(one.body), "a message's body")
                for one in messages
            ],
        }
        await _done(self._tables, _APPEND, values)

    async def list(
        self, scope: Scope, *, limit: int = 1000, before: str | None = None
    ) -> builtins.list[MemoryMessage]:
        older, values = "", {**reach(scope), "limit": max(limit, 0), "before": before}
        if before is not None:
            checked_text(before, "a message's id")
            older = (
                " AND seq < "
                f"(SELECT min(seq) FROM memory_message WHERE {WITHIN} AND id = %(before)s)"
            )
        query = (
            f"SELECT {_MESSAGE} FROM memory_message WHERE {WITHIN}{older} "
            "ORDER BY seq DESC LIMIT %(limit)s"
        )
        return [_message(row) for row in reversed(await _done(self._tables, query, values))]


class _Notes(Notes):
    def __init__(self, tables: PostgresTables) -> None:
        self._tables = tables

    async def put(self, scope: Scope, key: str, value: Any, *, ttl: float | None = None) -> Note:
        text, now = note_json(value), time.time()
        expires = expiry(ttl, now)
        values = {
            **owner(scope),
            "key": checked_key(key),
            "value": text,
            "now": now,
            "expires": expires,
        }

        async def work(connection: AsyncConnection) -> None:
            async with connection.transaction():
                await connection.execute(_PUT, values)
                await connection.execute(_PURGE, {"now": now})

        await self._tables.run(work)
        return Note(key, json.loads(text), scope, now, expires)

    async def get(self, scope: Scope, key: str) -> Note | None:
        query = f"SELECT {_NOTE} FROM memory_note WHERE {EXACT} AND key = %(key)s AND {THERE}"
        values = {**owner(scope), "key": checked_text(key, "a note's key"), "now": time.time()}
        rows = await _done(self._tables, query, values)
        return _note(scope, rows[0]) if rows else None

    async def list(
        self, scope: Scope, *, prefix: str = "", limit: int = 1000
    ) -> builtins.list[Note]:
        query = (
            f"SELECT {_NOTE} FROM memory_note WHERE {WITHIN} AND starts_with(key, %(prefix)s) "
            f"AND {THERE} ORDER BY key LIMIT %(limit)s"
        )
        values = {
            **reach(scope),
            "prefix": checked_text(prefix, "a key's beginning"),
            "now": time.time(),
            "limit": max(limit, 0),
        }
        return [_note(scope, row) for row in await _done(self._tables, query, values)]

    async def delete(self, scope: Scope, key: str) -> bool:
        statement = f"DELETE FROM memory_note WHERE {EXACT} AND key = %(key)s RETURNING expires"
        values = {**owner(scope), "key": checked_text(key, "a note's key")}
        now = time.time()
        gone = await _done(self._tables, statement, values)
        return any(expires is None or expires > now for (expires,) in gone)


class PostgresMemory(MemorySystem):
    """Memory in the database ``url`` (``postgresql://user:password@host/name``, or any other libpq
    connection string), in its schema ``codin``, which is made by the first call. The server needs
    the extension ``vector`` (pgvector 0.8 or newer).

    It belongs to the event loop that uses it first. Any number of processes share a database: each
    sees at once what the others write. What is deleted stays in the server's files until its vacuum
    comes by.

    Raises, for every call: ``MemoryFailure`` when the database cannot be used, has no such
    extension, or was written by a newer codin; ``InvalidInputError`` when a name of the scope or a
    text is nothing that Postgres can hold.
    """

    def __init__(
        self, url: str, *, embedder: Embedder | None = None, connections: int = CONNECTIONS
    ) -> None:
        self._tables = PostgresDatabase(url, connections=connections).tables(MEMORY, owned=True)
        self.history = _History(self._tables)
        self.notes = _Notes(self._tables)
        self.chunks = self._chunks = PostgresChunks(self._tables, embedder)

    async def forget(self, scope: Scope) -> Contents:
        values = reach(scope)

        async def work(connection: AsyncConnection) -> Contents:
            async with connection.transaction():
                messages, notes = [
                    (await connection.execute(statement.encode(), values)).rowcount
                    for statement in (
                        f"DELETE FROM {table} WHERE {WITHIN}"
                        for table in ("memory_message", "memory_note")
                    )
                ]
                return Contents(messages, notes, await chunk_rows.forget(connection, scope))

        return await self._tables.run(work)

    async def contents(self, scope: Scope) -> Contents:
        counts = ", ".join(
            f"(SELECT count(*) FROM {table} WHERE {WITHIN})"
            for table in ("memory_message", "memory_note", _CHUNKS)
        )
        rows = await _done(self._tables, f"SELECT {counts}", reach(scope))
        return Contents(*rows[0])

    async def export(self, scope: Scope) -> AsyncIterator[dict[str, Any]]:
        values = {**reach(scope), "now": time.time()}
        async for row in self._pages(_EXPORTED_MESSAGES, values, (0,)):
            yield exported_message(_scope(scope, *row[1:3]), _message(row[3:]))
        async for row in self._pages(_EXPORTED_NOTES, values, ("", "", "")):
            yield exported_note(_note(scope, row[3:]))
        async for row in self._pages(_EXPORTED_CHUNKS, values, (0,)):
            yield exported_chunk(chunk_of(scope, row[1:8]), *row[8:])

    async def close(self) -> None:
        await self._chunks.finish()
        await self._tables.close()

    async def _pages(self, query: str, values: Mapping[str, Any], after: Row) -> AsyncIterator[Row]:
        """What ``query`` finds, page by page: its first columns say what the next page is after."""
        while rows := await _done(self._tables, query, {**values, **_numbered(after)}):
            for row in rows:
                yield row
            after = rows[-1][: len(after)]


_CHUNKS = "memory_chunk JOIN memory_collection ON number = collection"
_EXPORTED_MESSAGES = (
    f"SELECT seq, agent, session, {_MESSAGE} FROM memory_message "
    f"WHERE {WITHIN} AND seq > %(after0)s ORDER BY seq LIMIT {_PAGE}"
)
_EXPORTED_NOTES = (
    f"SELECT agent, session, key, {_NOTE} FROM memory_note WHERE {WITHIN} AND {THERE} "
    "AND (agent, session, key) > (%(after0)s, %(after1)s, %(after2)s) "
    f"ORDER BY agent, session, key LIMIT {_PAGE}"
)
_EXPORTED_CHUNKS = (
    f"SELECT seq, {CHUNK}, name, embedder FROM {_CHUNKS} "
    f"WHERE {WITHIN} AND {THERE} AND seq > %(after0)s ORDER BY seq LIMIT {_PAGE}"
)


async def _done(tables: PostgresTables, statement: str, values: Mapping[str, Any]) -> list[Row]:
    """What ``statement`` returns, with its values by their names."""

    async def work(connection: AsyncConnection) -> list[Row]:
        cursor = await connection.execute(statement.encode(), values)
        return await cursor.fetchall() if cursor.description else []

    return await tables.run(work)


def _numbered(after: Row) -> dict[str, Any]:
    return {f"after{number}": value for number, value in enumerate(after)}


def _scope(scope: Scope, agent: str, session: str) -> Scope:
    return Scope(scope.tenant, scope.user, agent or None, session or None)


def _message(row: Row) -> MemoryMessage:
    role, text, message_id, task_id, sent, body = row
    kept = None if body is None else json.loads(body)
    return MemoryMessage(role, text, message_id, task_id, sent, kept)


def _note(scope: Scope, row: Row) -> Note:
    key, value, agent, session, updated, expires = row
    return Note(key, json.loads(value), _scope(scope, agent, session), updated, expires)
