"""The indexes of vectors in Postgres: one for each size of which there are many."""

from __future__ import annotations

import psycopg
from psycopg import AsyncConnection

MANY = 5_000
"""While a collection has fewer vectors, comparing all of them takes no longer than three
milliseconds; an index would make keeping each a hundred times slower."""
_MOST_EXACT = 2_000
_MOST = 4_000
_BUILD = "m = 16, ef_construction = 128"
"""By the extension's own settings (64) one in ten of the nearest is missed among 100,000."""
_BYTES_BESIDE = 1_200
"""Of each vector in an index that is being made, besides its numbers."""
_MOST_KB = 1024**2
_LOCK = "hashtextextended('codin memory nearest', 0)"

MADE = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"
"""Whether an index of that name is made."""
COUNT = "SELECT coalesce(sum(vectors), 0) FROM memory_collection WHERE dimension = %s"
"""How many vectors of that size there are."""

# What does not fit into this is put in one by one, which takes ten times as long.
_ROOM = """
SELECT set_config('maintenance_work_mem', greatest(
    pg_size_bytes(current_setting('maintenance_work_mem')) / 1024,
    least(%(most)s, sum(vectors) * %(size)s / 1024)
)::bigint || 'kB', false) FROM memory_collection WHERE dimension = %(dimension)s
"""


def index_name(dimension: int) -> str:
    """What the index of vectors of that size is called."""
    return f"memory_nearest_{dimension}"


def can_be_indexed(dimension: int) -> bool:
    """Whether there can be an index of vectors of that size."""
    return dimension <= _MOST


def indexed(dimension: int) -> str:
    """The type that vectors of that size have in their index: numbers of half the size where those
    of whole size are too many."""
    return f"vector({dimension})" if dimension <= _MOST_EXACT else f"halfvec({dimension})"


async def make_index(connection: AsyncConnection, dimension: int) -> bool:
    """Make the index of vectors of that size, unless it is there; whether there is one now, and not
    somebody else about to make it. Nobody's writes wait for it; ``connection`` commits each
    statement by itself."""
    cursor = await connection.execute(f"SELECT pg_try_advisory_lock({_LOCK})".encode())
    if await cursor.fetchone() == (False,):
        return False
    try:
        cursor = await connection.execute(MADE, (index_name(dimension),))
        found = await cursor.fetchone()
        if found is None or not found[0]:
            await _make(connection, dimension)
    finally:
        await connection.execute(f"SELECT pg_advisory_unlock({_LOCK})".encode())
    return True


async def _make(connection: AsyncConnection, dimension: int) -> None:
    name, kind = index_name(dimension), indexed(dimension)
    build = (
        f"CREATE INDEX CONCURRENTLY {name} ON memory_vector "
        f"USING hnsw ((vector::{kind}) {kind.partition('(')[0]}_cosine_ops) "
        f"WITH ({_BUILD}) WHERE dimension = {dimension}"
    )
    size = 4 * dimension + _BYTES_BESIDE
    room = {"most": _MOST_KB, "size": size, "dimension": dimension}
    try:
        await connection.execute(_ROOM, room)
        try:
            await _anew(connection, name, build)
        except psycopg.errors.DiskFull:
            # Of memory that processes share: of a container's there may be little.
            await connection.execute("SET max_parallel_maintenance_workers = 0")
            await _anew(connection, name, build)
        # The server's own look at what is in the tables comes by a minute later.
        await connection.execute("ANALYZE memory_vector, memory_chunk, memory_word")
    finally:
        await connection.execute("RESET maintenance_work_mem")
        await connection.execute("RESET max_parallel_maintenance_workers")


async def _anew(connection: AsyncConnection, name: str, build: str) -> None:
    # One that was begun and not finished is in the way.
    await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}".encode())
    await connection.execute(build.encode())
