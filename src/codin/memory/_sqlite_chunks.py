"""Chunks in a SQLite file: words by FTS5, vectors compared in this process."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from codin.database import SqliteTables
from codin.memory._chunk_store import ChunkStore, Outdated, Question, Writing
from codin.memory._sqlite_reembedding import outdated, place, switched
from codin.memory._sqlite_searching import Search
from codin.memory._sqlite_vectors import Vectors, one_state
from codin.memory._sqlite_writing import collection_of, remove, write
from codin.memory.chunks import FoundChunk
from codin.memory.embedder import Embedder, Space, check_space
from codin.security import Scope

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

CACHE_BYTES = 512 * 1024**2


class SQLiteChunks(ChunkStore):
    """Chunks in the memory's tables. Vectors of the collections that were searched last are held in
    this process, up to ``cache_bytes``; those of a collection that is larger are read by every
    search."""

    def __init__(
        self, tables: SqliteTables, embedder: Embedder | None, *, cache_bytes: int = CACHE_BYTES
    ) -> None:
        super().__init__(embedder)
        self._tables = tables
        self._held = Vectors(cache_bytes)

    def let_go(self) -> None:
        """Hold no vectors any more."""
        self._held.let_go()

    async def _write(self, scope: Scope, collection: str, writing: Writing) -> None:
        await self._tables.write(lambda db: write(db, scope, collection, writing))

    async def _outdated(
        self, scope: Scope | None, collection: str, space: Space, *, most: int, switch: bool
    ) -> list[Outdated]:
        if switch:
            await self._tables.write(lambda db: switched(db, scope, collection, space))
        return await self._tables.read(lambda db: outdated(db, scope, collection, space, most))

    async def _place(self, keys: Sequence[Any], vectors: NDArray[float32], space: Space) -> int:
        return await self._tables.write(lambda db: place(db, keys, vectors, space))

    async def _remove(self, scope: Scope, collection: str, ids: Sequence[str], now: float) -> int:
        return await self._tables.write(lambda db: remove(db, scope, collection, ids, now))

    async def _find(self, scope: Scope, collection: str, question: Question) -> list[FoundChunk]:
        def work(db: sqlite3.Connection) -> list[FoundChunk]:
            found = collection_of(db, scope, collection)
            if found is None:
                return []
            check_space(collection, found.space, question.space)
            search = Search(db, scope, found, question)
            if question.vector is None or found.space is None:
                with one_state(db):
                    return search.found(())
            with self._held.at(db, found) as vectors:
                return search.found(vectors)

        return await self._tables.read(work)
