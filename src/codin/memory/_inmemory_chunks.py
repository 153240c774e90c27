"""Chunks that last as long as the process."""

from __future__ import annotations

import json
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from codin.memory._checks import covers
from codin.memory._chunk_store import ChunkStore, Outdated, Question, Writing, tags_of
from codin.memory._exported import exported_chunk
from codin.memory._words import TOKENIZER, marked_text, phrases
from codin.memory.chunks import FoundChunk
from codin.memory.embedder import Space, check_space, numpy
from codin.security import Scope

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class _Kept:
    number: int
    owner: Scope
    id: str
    text: str
    metadata: str
    vector: NDArray[float32] | None
    updated: float
    expires: float | None

    def there(self, now: float) -> bool:
        return self.expires is None or self.expires > now

    def found(self, score: float) -> FoundChunk:
        return FoundChunk(
            *(self.id, self.text, json.loads(self.metadata), self.owner, score, self.updated),
            self.expires,
        )


class _Words:
    """Full text, in SQLite: it is there wherever Python is."""

    def __init__(self) -> None:
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._db.close)
        self._db.execute(f"CREATE VIRTUAL TABLE word USING fts5(words, {TOKENIZER})")

    def add(self, number: int, text: str) -> None:
        insert = "INSERT INTO word (rowid, words) VALUES (?, ?)"
        self._db.execute(insert, (number, marked_text(text)))

    def remove(self, number: int) -> None:
        self._db.execute("DELETE FROM word WHERE rowid = ?", (number,))

    def ranked(self, query: str) -> list[tuple[int, float]]:
        """The numbers of texts with words of ``query`` and their BM25, the best first."""
        words = phrases(query)
        if not words:
            return []
        found = "SELECT rowid, -rank FROM word WHERE word MATCH ? ORDER BY rank"
        return self._db.execute(found, (" OR ".join(words),)).fetchall()


@dataclass(slots=True)
class _Collection:
    space: Space | None = None
    kept: dict[tuple[Scope, str], _Kept] = field(default_factory=dict)
    words: _Words = field(default_factory=_Words)
    last: int = 0

    def put(self, scope: Scope, writing: Writing) -> None:
        for chunk, metadata, vector in zip(
            writing.chunks, writing.metadata, writing.vectors, strict=True
        ):
            self.remove((scope, chunk.id))
            self.last += 1
            self.kept[(scope, chunk.id)] = _Kept(
                *(self.last, scope, chunk.id, chunk.text, metadata, vector, writing.now),
                writing.expires,
            )
            self.words.add(self.last, chunk.text)

    def remove(self, key: tuple[Scope, str]) -> _Kept | None:
        kept = self.kept.pop(key, None)
        if kept is not None:
            self.words.remove(kept.number)
        return kept

    def remove_all(self, gone: Callable[[_Kept], bool]) -> int:
        keys = [key for key, kept in self.kept.items() if gone(kept)]
        for key in keys:
            self.remove(key)
        return len(keys)


class InMemoryChunks(ChunkStore):
    """Chunks in dictionaries; every search by meaning compares all of a collection."""

    _collections: dict[tuple[str, str, str], _Collection]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._collections = {}

    def forget(self, scope: Scope) -> int:
        """Delete all within ``scope``, and collections of which nothing is left."""
        count = sum(
            collection.remove_all(lambda kept: covers(scope, kept.owner))
            for _, collection in self._of(scope)
        )
        for name, collection in list(self._of(scope)):
            if not collection.kept:
                del self._collections[(scope.tenant, scope.user, name)]
        return count

    def count(self, scope: Scope) -> int:
        """How many there are within ``scope``."""
        return sum(
            covers(scope, kept.owner)
            for _, collection in self._of(scope)
            for kept in collection.kept.values()
        )

    def exported(self, scope: Scope, now: float) -> Iterator[dict[str, Any]]:
        """Those within ``scope``, as JSON objects."""
        for name, collection in self._of(scope):
            embedder = collection.space.embedder if collection.space else None
            for kept in collection.kept.values():
                if covers(scope, kept.owner) and kept.there(now):
                    yield exported_chunk(kept.found(0.0), name, embedder)

    async def _outdated(
        self, scope: Scope | None, collection: str, space: Space, *, most: int, switch: bool
    ) -> list[Outdated]:
        outdated: list[Outdated] = []
        now = time.time()
        for place, found in self._collections.items():
            if place[2] != collection or not _is_of(place, scope):
                continue
            if switch and found.space != space:
                found.space = space
                found.kept = {key: replace(one, vector=None) for key, one in found.kept.items()}
            check_space(collection, found.space, space)
            outdated += [
                Outdated((place, key, one.number), one.text)
                for key, one in found.kept.items()
                if one.vector is None and one.there(now)
            ]
        return outdated[:most]

    async def _place(self, keys: Sequence[Any], vectors: NDArray[float32], space: Space) -> int:
        placed = 0
        for (place, key, number), vector in zip(keys, vectors, strict=True):
            found = self._collections.get(place)
            kept = found.kept.get(key) if found is not None and found.space == space else None
            if found is not None and kept is not None and kept.number == number:
                found.kept[key] = replace(kept, vector=vector)
                placed += 1
        return placed

    async def _write(self, scope: Scope, collection: str, writing: Writing) -> None:
        place = (scope.tenant, scope.user, collection)
        found = self._collections.get(place)
        if found is not None:
            found.remove_all(lambda kept: not kept.there(writing.now))
        if found is None or not found.kept:
            found = self._collections[place] = _Collection()
        check_space(collection, found.space, writing.space)
        found.space = found.space or writing.space
        found.put(scope, writing)

    async def _remove(self, scope: Scope, collection: str, ids: Sequence[str], now: float) -> int:
        found = self._collections.get((scope.tenant, scope.user, collection))
        if found is None:
            return 0
        gone = [found.remove((scope, one)) for one in ids]
        return sum(kept is not None and kept.there(now) for kept in gone)

    async def _find(self, scope: Scope, collection: str, question: Question) -> list[FoundChunk]:
        found = self._collections.get((scope.tenant, scope.user, collection))
        if found is None:
            return []
        check_space(collection, found.space, question.space)
        wanted = {
            kept.number: kept
            for kept in found.kept.values()
            if covers(scope, kept.owner) and kept.there(question.now) and _fits(kept, question)
        }
        near = _nearest(list(wanted.values()), question)
        said = found.words.ranked(question.words) if question.words is not None else []
        mentioned = [one for one in said if one[0] in wanted][: question.depth]
        return [wanted[number].found(score) for number, score in question.best(near, mentioned)]

    def _of(self, scope: Scope) -> Iterator[tuple[str, _Collection]]:
        """The collections of the user of ``scope``, with what that user calls each."""
        for (tenant, user, name), collection in list(self._collections.items()):
            if (tenant, user) == (scope.tenant, scope.user):
                yield name, collection


def _is_of(place: tuple[str, str, str], scope: Scope | None) -> bool:
    return scope is None or place[:2] == (scope.tenant, scope.user)


def _fits(kept: _Kept, question: Question) -> bool:
    has = dict(tags_of(kept.metadata))
    return all(has.get(key) in values for key, values in question.tags.items())


def _nearest(kept: Sequence[_Kept], question: Question) -> list[tuple[int, float]]:
    """The numbers of the nearest and their cosines, the nearest first."""
    there = [(one.number, one.vector) for one in kept if one.vector is not None]
    if question.vector is None or not there:
        return []
    np = numpy()
    cosines = np.clip(np.stack([vector for _, vector in there]) @ question.vector, -1.0, 1.0)
    numbers = [number for number, _ in there]
    scored = sorted(zip(numbers, cosines.tolist(), strict=True), key=lambda one: (-one[1], one[0]))
    return scored[: question.depth]
