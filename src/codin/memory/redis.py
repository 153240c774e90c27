"""Memory in Redis or Valkey: plain keys, so that any server of either kind will do."""

from __future__ import annotations

import builtins
import json
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

from codin.ids import new_id
from codin.memory._checks import as_json, checked_key, checked_text, expiry, note_json, session_of
from codin.memory._exported import exported_message, exported_note
from codin.memory._redis_chunks import CACHE_BYTES, RedisChunks
from codin.memory._redis_scripts import APPEND, CONTENTS, DROP, FORGET, MESSAGES, NOTES, PUT
from codin.memory._redis_server import RedisServer, base_of, narrowed
from codin.memory.base import Contents, Embedder, History, MemoryMessage, MemorySystem, Note, Notes
from codin.security import Scope

CONNECTIONS = 8
"""How many commands run at once."""

_PAGE = 500


class _History(History):
    def __init__(self, server: RedisServer) -> None:
        self._server = server

    async def append(self, scope: Scope, *messages: MemoryMessage) -> None:
        session_of(scope)
        base, rows = base_of(scope), list[str]()
        for message in messages:
            text = as_json(asdict(message))
            rows += [checked_key(message.id, "a message's id"), checked_text(text, "a message")]
        if rows:
            agent, session = narrowed(scope)
            place = json.dumps([agent, session], ensure_ascii=False)
            await self._server.run(APPEND, base, agent, session, place, *rows)

    async def list(
        self, scope: Scope, *, limit: int = 1000, before: str | None = None
    ) -> builtins.list[MemoryMessage]:
        older = () if before is None else (checked_text(before, "a message's id"),)
        bounds = ("-inf", "+inf", max(limit, 0), 1)
        rows = await self._server.run(MESSAGES, base_of(scope), *narrowed(scope), *bounds, *older)
        return [MemoryMessage(**json.loads(message)) for _, _, message in reversed(rows)]


class _Notes(Notes):
    def __init__(self, server: RedisServer) -> None:
        self._server = server

    async def put(self, scope: Scope, key: str, value: Any, *, ttl: float | None = None) -> Note:
        text, now = note_json(value), time.time()
        expires = expiry(ttl, now)
        kept = as_json([text, now, expires])
        field = _field(scope, checked_key(key))
        end = "" if expires is None else expires
        await self._server.run(PUT, base_of(scope), *narrowed(scope), field, kept, now, end)
        return Note(key, json.loads(text), scope, now, expires)

    async def get(self, scope: Scope, key: str) -> Note | None:
        field = _field(scope, checked_text(key, "a note's key"))
        kept = await self._server.call("HGET", f"{base_of(scope)}notes", field)
        return None if kept is None else _there(_note(scope, field.encode(), kept), time.time())

    async def list(
        self, scope: Scope, *, prefix: str = "", limit: int = 1000
    ) -> builtins.list[Note]:
        found = self.found(scope, checked_text(prefix, "a key's beginning"), max(limit, 0))
        return [note async for note in found]

    async def found(self, scope: Scope, prefix: str, limit: int | None) -> AsyncIterator[Note]:
        """The first ``limit`` notes within ``scope`` whose keys begin with ``prefix``, by key."""
        base, now = base_of(scope), time.time()
        fields = await self._server.run(NOTES, base, *narrowed(scope), prefix, now)
        fields = fields[:limit]
        for at in range(0, len(fields), _PAGE):
            page = fields[at : at + _PAGE]
            kept = await self._server.call("HMGET", f"{base}notes", *page)
            for field, text in zip(page, kept, strict=True):
                note = None if text is None else _there(_note(scope, field, text), now)
                if note is not None:
                    yield note

    async def delete(self, scope: Scope, key: str) -> bool:
        field = _field(scope, checked_text(key, "a note's key"))
        now = time.time()
        kept = await self._server.run(DROP, base_of(scope), field)
        return kept is not None and _there(_note(scope, field.encode(), kept), now) is not None


class RedisMemory(MemorySystem):
    """Memory in the Redis or Valkey server at ``url`` (``redis://user:password@host:6379/0``,
    ``rediss://`` for TLS, ``unix:///path``), under keys that begin with ``codin:memory:``.

    Each write is one step of the server's, so that nothing is half there; what survives the
    server's end is the server's to say (``appendonly``). Chunks are searched in this process, which
    holds the collections that were searched last, up to ``cache_bytes``; before each search it
    reads what any process has changed. It belongs to the event loop that uses it first.

    Raises, for every call: ``MemoryFailure`` when the server cannot be used, or drops keys as it
    likes when it is full; ``InvalidInputError`` when a name of the scope or a text is none.
    ``chunks.search`` raises ``MemoryFailure`` for a collection that is larger than ``cache_bytes``.
    """

    def __init__(
        self,
        url: str,
        *,
        embedder: Embedder | None = None,
        connections: int = CONNECTIONS,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._server = RedisServer(url, connections=connections)
        self._notes = _Notes(self._server)
        self._chunks = RedisChunks(self._server, embedder, cache_bytes=cache_bytes)
        self.history = _History(self._server)
        self.notes = self._notes
        self.chunks = self._chunks

    async def forget(self, scope: Scope) -> Contents:
        base = base_of(scope)
        counts = await self._server.run(FORGET, base, *narrowed(scope), new_id())
        self._chunks.let_go(base)
        return Contents(*counts)

    async def contents(self, scope: Scope) -> Contents:
        return Contents(*await self._server.run(CONTENTS, base_of(scope), *narrowed(scope)))

    async def export(self, scope: Scope) -> AsyncIterator[dict[str, Any]]:
        base, now, after = base_of(scope), time.time(), "-inf"
        bounds = ("+inf", _PAGE, 0)
        while rows := await self._server.run(MESSAGES, base, *narrowed(scope), after, *bounds):
            for number, place, message in rows:
                agent, session = json.loads(place)
                owner = Scope(scope.tenant, scope.user, agent or None, session or None)
                yield exported_message(owner, MemoryMessage(**json.loads(message)))
                after = f"({number.decode()}"
        async for note in self._notes.found(scope, "", None):
            yield exported_note(note)
        async for chunk in self._chunks.exported(scope, now):
            yield chunk

    async def close(self) -> None:
        self._chunks.let_go()
        await self._server.close()


def _field(scope: Scope, key: str) -> str:
    return json.dumps([scope.agent or "", scope.session or "", key], ensure_ascii=False)


def _note(scope: Scope, field: bytes, kept: bytes) -> Note:
    agent, session, key = json.loads(field)
    text, updated, expires = json.loads(kept)
    owner = Scope(scope.tenant, scope.user, agent or None, session or None)
    return Note(key, json.loads(text), owner, updated, expires)


def _there(note: Note, now: float) -> Note | None:
    return note if note.expires is None or note.expires > now else None
