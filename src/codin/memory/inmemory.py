"""Memory that lasts as long as the process."""

from __future__ import annotations

import builtins
import json
import time
from typing import Any

from codin.memory._checks import as_json, checked_key, covers, session_of
from codin.memory.base import History, MemoryMessage, MemorySystem, Note, Notes
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
        found = [message for owner, message in self.entries if covers(scope, owner)]
        if before is not None:
            ids = [message.id for message in found]
            found = found[: ids.index(before)] if before in ids else []
        return found[-limit:] if limit > 0 else []


class _Notes(Notes):
    def __init__(self) -> None:
        self.entries: dict[tuple[Scope, str], Note] = {}

    async def put(self, scope: Scope, key: str, value: Any) -> Note:
        # By way of JSON, so that nobody keeps a hand on what is kept.
        kept = json.loads(as_json(value))
        note = Note(checked_key(key), kept, scope, time.time())
        self.entries[(scope, key)] = note
        return note

    async def get(self, scope: Scope, key: str) -> Note | None:
        return self.entries.get((scope, key))

    async def list(
        self, scope: Scope, *, prefix: str = "", limit: int = 1000
    ) -> builtins.list[Note]:
        found = [
            note
            for (owner, key), note in self.entries.items()
            if covers(scope, owner) and key.startswith(prefix)
        ]
        return sorted(found, key=lambda note: note.key)[:limit]

    async def delete(self, scope: Scope, key: str) -> bool:
        return self.entries.pop((scope, key), None) is not None


class InMemoryMemory(MemorySystem):
    """For tests, and for runs that leave nothing behind."""

    def __init__(self) -> None:
        self._history = _History()
        self._notes = _Notes()
        self.history = self._history
        self.notes = self._notes

    async def forget(self, scope: Scope) -> int:
        before = len(self._history.entries) + len(self._notes.entries)
        self._history.entries = [e for e in self._history.entries if not covers(scope, e[0])]
        self._notes.entries = {
            key: note for key, note in self._notes.entries.items() if not covers(scope, key[0])
        }
        return before - len(self._history.entries) - len(self._notes.entries)

    async def close(self) -> None:
        """Nothing is held."""
