"""When the indexes of vectors in Postgres are made."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from psycopg import AsyncConnection

from codin.database.postgres import PostgresTables
from codin.memory._postgres_nearest import COUNT, MADE, can_be_indexed, index_name, make_index
from codin.memory.errors import MemoryFailure

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 10.0
_MANY = 1_000
"""New vectors in that time, from all processes. Into an index some hundreds can be put in a second,
at best: where many come, it is made when they have come."""


class Indexing:
    """Makes the indexes that ``tables`` lack, beside what else is done there. A large load is
    waited for: to make an index of what is there takes a tenth of putting it in one by one.

    ``path`` gives the statement by which names are found where the extension is.
    """

    def __init__(
        self, tables: PostgresTables, path: Callable[[AsyncConnection], Awaitable[bytes]]
    ) -> None:
        self._tables = tables
        self._path = path
        self._made: set[int] = set()
        self._making: dict[int, asyncio.Task[None]] = {}
        self._hurry = asyncio.Event()
        self._coming = 0

    @contextmanager
    def coming(self, vectors: int) -> Iterator[None]:
        """So many are about to be kept, as long as the block lasts."""
        self._coming += vectors
        try:
            yield
        finally:
            self._coming -= vectors

    def begin(self, dimension: int) -> None:
        """Have the index of vectors of that size made, when there is none. What was kept is kept:
        without one it is found more slowly, and who says so again has it tried again."""
        if dimension in self._made or dimension in self._making or not can_be_indexed(dimension):
            return
        self._making[dimension] = asyncio.create_task(self._make(dimension))

    async def finish(self) -> None:
        """Wait for what was begun, which waits for nothing more."""
        self._hurry.set()
        try:
            await asyncio.gather(*self._making.values())
        finally:
            self._hurry.clear()

    async def _make(self, dimension: int) -> None:
        try:
            if await self._is_made(dimension) or await self._made_in_rest(dimension):
                self._made.add(dimension)
        except MemoryFailure as error:
            _log.warning(
                "vectors of %d numbers are searched without an index: %s", dimension, error
            )
        finally:
            del self._making[dimension]

    async def _made_in_rest(self, dimension: int) -> bool:
        while not self._hurry.is_set():
            before = await self._count(dimension)
            try:
                await asyncio.wait_for(self._hurry.wait(), _LOOK_SECONDS)
            except TimeoutError:
                if await self._count(dimension) + self._coming - before < _MANY:
                    break

        async def work(connection: AsyncConnection) -> bool:
            path = (await self._path(connection)).replace(b"SET LOCAL", b"SET")
            try:
                await connection.execute(path)
                return await make_index(connection, dimension)
            finally:
                # The connection is for others next.
                await connection.execute("SET search_path = codin")

        return await self._tables.run(work)

    async def _is_made(self, dimension: int) -> bool:
        return await self._tables.rows(MADE, (index_name(dimension),)) == [(True,)]

    async def _count(self, dimension: int) -> int:
        [(count,)] = await self._tables.rows(COUNT, (dimension,))
        return int(count)
