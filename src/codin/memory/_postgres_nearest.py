"""The indexes of vectors in Postgres: one for each size of which there are many."""

from __future__ import annotations

from psycopg import AsyncConnection

MANY = 5_000
"""While a collection has fewer vectors, comparing all of them takes no longer than three
milliseconds; an index would make keeping each a hundred times slower."""
_MOST_EXACT = 2_000
_MOST = 4_000
_BUILD = "m = 16, ef_construction = 128"
"""By the extension's own settings (64) one in ten of the nearest is missed among 100,000."""
_LOCK = "codin memory nearest"


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
    somebody else about to make it."""
    kind = indexed(dimension)
    alone = "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))"
    cursor = await connection.execute(alone, (_LOCK,))
    if await cursor.fetchone() == (False,):
        return False
    statement = (
        f"CREATE INDEX IF NOT EXISTS {index_name(dimension)} ON memory_vector "
        f"USING hnsw ((vector::{kind}) {kind.partition('(')[0]}_cosine_ops) "
        f"WITH ({_BUILD}) WHERE dimension = {dimension}"
    )
    await connection.execute(statement.encode())
    # The server's own look at what is in the tables comes by a minute later.
    await connection.execute("ANALYZE memory_vector, memory_chunk, memory_word")
    return True
