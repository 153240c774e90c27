"""Memory that lasts as long as the process."""

from __future__ import annotations

import builtins
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from codin.memory._checks import (
    as_json,
    checked_key,
    checked_scope,
    covers,
    expiry,
    note_json,
    session_of,
)
from codin.memory._exported import exported_message, exported_note
from codin.memory._inmemory_chunks import InMemoryChunks
from codin.memory.base import Contents, Embedder, History, MemoryMessage, MemorySystem, Note, Notes
from codin.security import Scope


class _History(History):
    def __init__(self) -> None:
        self.entries: list[tuple[Scope, MemoryMessage]] = []

    async def append(self, scope: Scope, *messages: MemoryMessage) -> None:
        session_of(scope)
        for message in messages:
            if message.body is not None:
                as_json(message.body)
        for message in messages:
            if not any(known == scope and kept.id == message.id for known, kept in self.entries):
                self.entries.append((scope, message))

    async def list(
        self, scope: Scope, *, limit: int = 1000, before: str | None = None
    ) -> builtins.list[MemoryMessage]:
        checked_scope(scope)
        found = [message for owner, message in self.entries if covers(scope, owner)]
        if before is not None:
            ids = [message.id for message in found]
            found = found[: ids.index(before)] if before in ids else []
        return found[-limit:] if limit > 0 else []


class _Notes(Notes):
    def __init__(self) -> None:
        self.entries: dict[tuple[Scope, str], Note] = {}

    async def put(self, scope: Scope, key: str, value: Any, *, ttl: float | None = None) -> Note:
        # By way of JSON, so that nobody keeps a hand on what is kept.
        text, now = note_json(value), time.time()
        note = Note(checked_key(key), json.loads(text), checked_scope(scope), now, expiry(ttl, now))
        self.entries = {at: kept for at, kept in self.entries.items() if _there(kept, now)}
        self.entries[(scope, key)] = note
        return _copy(note)

    async def get(self, scope: Scope, key: str) -> Note | None:
        note = self.entries.get((checked_scope(scope), key))
        return _copy(note) if note is not None and _there(note, time.time()) else None

    async def list(
        self, scope: Scope, *, prefix: str = "", limit: int = 1000
    ) -> builtins.list[Note]:
        checked_scope(scope)
        now = time.time()
        found = [
            note
            for (owner, key), note in self.entries.items()
            if covers(scope, owner) and key.startswith(prefix) and _there(note, now)
        ]
        found.sort(key=lambda note: note.key)
        return [_copy(note) for note in found[: max(limit, 0)]]

    async def delete(self, scope: Scope, key: str) -> bool:
        note = self.entries.pop((checked_scope(scope), key), None)
        return note is not None and _there(note, time.time())


class InMemoryMemory(MemorySystem):
    """For tests, and for runs that leave nothing behind."""

    def __init__(self, *, embedder: Embedder | None = None) -> None:
        self._history = _History()
        self._notes = _Notes()
        self._chunks = InMemoryChunks(embedder)
        self.history = self._history
        self.notes = self._notes
        self.chunks = self._chunks

    async def forget(self, scope: Scope) -> Contents:
        forgotten = await self.contents(scope)
        self._history.entries = [e for e in self._history.entries if not covers(scope, e[0])]
        self._notes.entries = {
            key: note for key, note in self._notes.entries.items() if not covers(scope, key[0])
        }
        self._chunks.forget(scope)
        return forgotten

    async def contents(self, scope: Scope) -> Contents:
        checked_scope(scope)
        return Contents(
            messages=sum(covers(scope, owner) for owner, _ in self._history.entries),
            notes=sum(covers(scope, owner) for owner, _ in self._notes.entries),
            chunks=self._chunks.count(scope),
        )

    async def export(self, scope: Scope) -> AsyncIterator[dict[str, Any]]:
        checked_scope(scope)
        now = time.time()
        for owner, message in list(self._history.entries):
            if covers(scope, owner):
                yield exported_message(owner, message)
        for note in list(self._notes.entries.values()):
            if covers(scope, note.scope) and _there(note, now):
                yield exported_note(note)
        for chunk in list(self._chunks.exported(scope, now)):
            yield chunk

    async def close(self) -> None:
        """Nothing is held."""


def _there(note: Note, now: float) -> bool:
    return note.expires is None or note.expires > now


def _copy(note: Note) -> Note:
    """``note`` with a value of its own, as any other store gives it."""
    value = json.loads(json.dumps(note.value))
    return Note(note.key, value, note.scope, note.updated, note.expires)
