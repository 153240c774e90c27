"""Vectors of chunks in Postgres made anew, by another embedder."""
# ruff: noqa: S608 - queries are put together from this package's own constants only

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from psycopg import AsyncConnection

from codin.memory._chunk_store import Outdated
from codin.memory._postgres_tables import reach
from codin.memory._postgres_vectors import Numbers, nth_vector
from codin.memory.embedder import Space, check_space
from codin.security import Scope

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

_NAMED = """
SELECT number, embedder, dimension FROM memory_collection WHERE name = %(name)s
    AND (%(tenant)s::text IS NULL OR (tenant = %(tenant)s AND holder = %(holder)s))
ORDER BY number
"""
_OUTDATED = """
SELECT c.seq, c.text FROM memory_chunk AS c LEFT JOIN memory_vector AS v USING (seq)
WHERE c.collection = ANY(%(numbers)s) AND v.seq IS NULL
    AND (c.expires IS NULL OR c.expires > %(now)s)
ORDER BY c.seq LIMIT %(most)s
"""
# Whoever writes to a collection holds its row: so nobody's chunk is taken out meanwhile.
_LOCKED = """
SELECT number FROM memory_collection
WHERE number IN (SELECT collection FROM memory_chunk WHERE seq = ANY(%(seqs)s))
    AND embedder = %(embedder)s AND dimension = %(dimension)s
ORDER BY number FOR UPDATE
"""
_PLACE = f"""
WITH placed AS (
    INSERT INTO memory_vector (seq, collection, agent, session, expires, tags, dimension, vector)
    SELECT c.seq, c.collection, c.agent, c.session, c.expires, c.tags, %(dimension)s,
        {nth_vector("given.place - 1")}
    FROM unnest(%(seqs)s::bigint[]) WITH ORDINALITY AS given (seq, place)
    JOIN memory_chunk AS c USING (seq) WHERE c.collection = ANY(%(numbers)s)
    ON CONFLICT (seq) DO NOTHING RETURNING collection
), counted AS (
    UPDATE memory_collection SET vectors = vectors + added.count
    FROM (SELECT collection, count(*) AS count FROM placed GROUP BY collection) AS added
    WHERE number = added.collection RETURNING vectors
)
SELECT (SELECT count(*) FROM placed), coalesce((SELECT max(vectors) FROM counted), 0)
"""


async def switched(
    connection: AsyncConnection, scope: Scope | None, name: str, space: Space
) -> None:
    """Make the collections that are called ``name`` ones of ``space``, without vectors where they
    were of another one."""
    for number, found in await _named(connection, scope, name, lock=True):
        if found == space:
            continue
        await connection.execute("DELETE FROM memory_vector WHERE collection = %s", (number,))
        await connection.execute(
            """UPDATE memory_collection SET embedder = %s, dimension = %s, vectors = 0
                WHERE number = %s""",
            (space.embedder, space.dimension, number),
        )


async def outdated(
    connection: AsyncConnection, scope: Scope | None, name: str, space: Space, most: int
) -> list[Outdated]:
    """At most so many chunks without a vector.

    Raises:
        EmbeddingError: a collection is of another space.
    """
    numbers = []
    for number, found in await _named(connection, scope, name):
        check_space(name, found or Space("", 0), space)
        numbers.append(number)
    cursor = await connection.execute(
        _OUTDATED, {"numbers": numbers, "now": time.time(), "most": most}
    )
    return [Outdated(seq, text) for seq, text in await cursor.fetchall()]


async def place(
    connection: AsyncConnection, keys: Sequence[Any], vectors: NDArray[float32], space: Space
) -> tuple[int, int]:
    """Give chunks their vectors, where they are still there and of ``space``: how many that are,
    and how many vectors the largest of their collections has now."""
    given = {
        "seqs": list(keys),
        "vectors": Numbers(vectors),
        "embedder": space.embedder,
        "dimension": space.dimension,
    }
    cursor = await connection.execute(_LOCKED, given)
    numbers = [number for (number,) in await cursor.fetchall()]
    cursor = await connection.execute(_PLACE, {**given, "numbers": numbers})
    placed, largest = await cursor.fetchone() or (0, 0)
    return int(placed), int(largest)


async def _named(
    connection: AsyncConnection, scope: Scope | None, name: str, *, lock: bool = False
) -> list[tuple[int, Space | None]]:
    whose = {"tenant": None, "holder": None} if scope is None else reach(scope)
    query = f"{_NAMED} FOR UPDATE" if lock else _NAMED
    cursor = await connection.execute(query.encode(), {**whose, "name": name})
    return [
        (number, None if embedder is None else Space(embedder, dimension))
        for number, embedder, dimension in await cursor.fetchall()
    ]
