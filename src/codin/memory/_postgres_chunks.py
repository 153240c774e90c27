"""Chunks in Postgres: words by its full text search, vectors by pgvector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from psycopg import AsyncConnection

from codin.database.postgres import PostgresTables
from codin.memory._chunk_store import ChunkStore, Outdated, Question, Writing
from codin.memory._postgres_indexing import Indexing
from codin.memory._postgres_nearest import MANY
from codin.memory._postgres_reembedding import outdated, place, switched
from codin.memory._postgres_searching import Search
from codin.memory._postgres_tables import HOME, reach
from codin.memory._postgres_writing import collection_of, remove, write
from codin.memory.chunks import FoundChunk
from codin.memory.embedder import Embedder, Space, check_space
from codin.memory.errors import MemoryFailure
from codin.security import Scope

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

# In a search sorting is the last resort: without figures of a table that was just filled the
# planner takes comparing all for faster than the index.
_SETTINGS = (
    "SET LOCAL hnsw.ef_search = 140",
    "SET LOCAL hnsw.iterative_scan = relaxed_order",
    "SET LOCAL enable_sort = off",
    "SET LOCAL jit = off",
)


class PostgresChunks(ChunkStore):
    """Chunks in the memory's tables."""

    def __init__(self, tables: PostgresTables, embedder: Embedder | None) -> None:
        super().__init__(embedder)
        self._tables = tables
        self._home: str | None = None
        self._indexing = Indexing(tables, self._path)

    async def _write(self, scope: Scope, collection: str, writing: Writing) -> None:
        async def work(connection: AsyncConnection) -> int:
            async with connection.transaction():
                await connection.execute(await self._path(connection))
                return await write(connection, scope, collection, writing)

        with self._indexing.coming(len(writing.chunks)):
            vectors = await self._tables.run(work)
        if writing.space is not None and vectors >= MANY:
            self._indexing.begin(writing.space.dimension)

    async def _outdated(
        self, scope: Scope | None, collection: str, space: Space, *, most: int, switch: bool
    ) -> list[Outdated]:
        async def work(connection: AsyncConnection) -> list[Outdated]:
            async with connection.transaction():
                await connection.execute(await self._path(connection))
                if switch:
                    await switched(connection, scope, collection, space)
                return await outdated(connection, scope, collection, space, most)

        return await self._tables.run(work)

    async def _place(self, keys: Sequence[Any], vectors: NDArray[float32], space: Space) -> int:
        async def work(connection: AsyncConnection) -> tuple[int, int]:
            async with connection.transaction():
                await connection.execute(await self._path(connection))
                return await place(connection, keys, vectors, space)

        placed, largest = await self._tables.run(work)
        if largest >= MANY:
            self._indexing.begin(space.dimension)
        return placed

    async def _remove(self, scope: Scope, collection: str, ids: Sequence[str], now: float) -> int:
        async def work(connection: AsyncConnection) -> int:
            async with connection.transaction():
                await connection.execute(await self._path(connection))
                return await remove(connection, scope, collection, ids, now)

        return await self._tables.run(work)

    async def _find(self, scope: Scope, collection: str, question: Question) -> list[FoundChunk]:
        reach(scope)

        async def work(connection: AsyncConnection) -> list[FoundChunk]:
            path = await self._path(connection)
            # Both rankings and what is given of them are of one state.
            begin = ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", path.decode(), *_SETTINGS)
            await connection.execute("; ".join(begin).encode())
            found = await collection_of(connection, scope, collection)
            if found is None or not found.held:
                return []
            check_space(collection, found.space, question.space)
            return await Search(connection, scope, found, question).found()

        return await self._tables.run(work)

    async def finish(self) -> None:
        """Wait for the indexes that are being made."""
        await self._indexing.finish()

    async def _path(self, connection: AsyncConnection) -> bytes:
        """The statement that has names found where the extension is, too."""
        if self._home is None:
            cursor = await connection.execute(HOME)
            row = await cursor.fetchone()
            if row is None:
                raise MemoryFailure(
                    "the extension vector (pgvector) is not in the memory's database any more: "
                    "have its administrator say CREATE EXTENSION vector, and restore what went "
                    "with it"
                )
            self._home = str(row[0])
        return f"SET LOCAL search_path = codin, {self._home}".encode()
