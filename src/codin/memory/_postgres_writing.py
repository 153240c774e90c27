"""How chunks come into Postgres, and out of it."""
# ruff: noqa: S608 - queries are put together from this package's own constants only

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

from psycopg import AsyncConnection

from codin.memory._chunk_store import Writing, tags_of
from codin.memory._postgres_tables import NARROWED, THERE, owner, reach
from codin.memory._postgres_vectors import Numbers, nth_vector
from codin.memory._words import plain_words
from codin.memory.embedder import Space, check_space
from codin.memory.errors import EmbeddingError
from codin.security import Scope

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

_PAGE = 1000
_PURGED = 1000
_MOST_NUMBERS = 16_000
_MOST_WORD_BYTES = 500_000
"""Of a text's marked words: Postgres holds a megabyte of them, with where they are."""

_COLLECTION = """
SELECT number, held, vectors, length, embedder, dimension, coalesce((
    SELECT reltuples::bigint FROM pg_class JOIN pg_index ON indexrelid = oid AND indisvalid
    WHERE oid = to_regclass('memory_nearest_' || dimension)
), 0) FROM memory_collection
WHERE tenant = %(tenant)s AND holder = %(holder)s AND name = %(name)s
"""
_MAKE = """
INSERT INTO memory_collection (tenant, holder, name) VALUES (%(tenant)s, %(holder)s, %(name)s)
ON CONFLICT DO NOTHING
"""
_RUN_OUT = "SELECT collection, seq FROM memory_chunk WHERE expires <= %(now)s LIMIT %(most)s"
_FREE = """
SELECT number FROM memory_collection WHERE number = ANY(%(numbers)s) FOR UPDATE SKIP LOCKED
"""
_INSERT = f"""
WITH given AS (
    SELECT * FROM unnest(
        %(ids)s::text[], %(texts)s::text[], %(metadata)s::text[], %(tags)s::text[],
        %(words)s::text[], %(lengths)s::int[], %(placed)s::int[]
    ) WITH ORDINALITY AS given (id, text, metadata, tags, words, length, placed, place)
), made AS (
    INSERT INTO memory_chunk (
        collection, agent, session, id, updated, expires, text, metadata, tags, words, length
    )
    SELECT %(collection)s, %(agent)s, %(session)s, id, %(now)s, %(expires)s, text, metadata,
        tags::uuid[], to_tsvector('memory_words', words), length
    FROM given ORDER BY place
    RETURNING seq, id, tags, words, length
), placed AS (
    INSERT INTO memory_vector (seq, collection, agent, session, expires, tags, dimension, vector)
    SELECT made.seq, %(collection)s, %(agent)s, %(session)s, %(expires)s, made.tags,
        %(dimension)s, {nth_vector("given.placed")}
    FROM made JOIN given USING (id) WHERE given.placed IS NOT NULL
    RETURNING seq
), counted AS (
    INSERT INTO memory_word (collection, word, chunks)
    SELECT %(collection)s, word, count(*)
    FROM made, unnest(tsvector_to_array(words)) AS word GROUP BY word
    ON CONFLICT (collection, word) DO UPDATE SET chunks = memory_word.chunks + excluded.chunks
)
UPDATE memory_collection SET
    held = held + (SELECT count(*) FROM made),
    vectors = vectors + (SELECT count(*) FROM placed),
    length = memory_collection.length + (SELECT sum(length) FROM made)
WHERE number = %(collection)s
RETURNING vectors
"""
_TAKE_OUT = """
WITH gone AS (
    DELETE FROM memory_chunk
    WHERE collection = %(collection)s AND seq = ANY(%(seqs)s)
    RETURNING words, length
), lost AS (
    DELETE FROM memory_vector
    WHERE collection = %(collection)s AND seq = ANY(%(seqs)s)
    RETURNING seq
), counted AS MATERIALIZED (
    SELECT word, count(*) AS times
    FROM gone, unnest(tsvector_to_array(words)) AS word GROUP BY word
), emptied AS (
    DELETE FROM memory_word AS kept USING counted
    WHERE kept.collection = %(collection)s AND kept.word = counted.word
        AND kept.chunks <= counted.times
), fewer AS (
    UPDATE memory_word AS kept SET chunks = kept.chunks - counted.times FROM counted
    WHERE kept.collection = %(collection)s AND kept.word = counted.word
        AND kept.chunks > counted.times
)
UPDATE memory_collection SET
    held = held - (SELECT count(*) FROM gone),
    vectors = vectors - (SELECT count(*) FROM lost),
    length = memory_collection.length - coalesce((SELECT sum(length) FROM gone), 0)
WHERE number = %(collection)s
"""


@dataclass(frozen=True, slots=True)
class Collection:
    """One that is there: so many chunks are ``held`` in it, with so many ``vectors``, and with so
    many words together as ``length`` says. An index has about as many vectors of their size, from
    all collections, as ``indexed`` says; 0: there is none."""

    number: int
    held: int
    vectors: int
    length: int
    space: Space | None
    indexed: int

    def marked(self, words: Iterable[str]) -> str:
        """``words`` as they are nobody else's, so that the index leads with whose they are."""
        # Digits and a consonant leave the stem of a word as it is.
        return " ".join(f"{self.number}x{word}" for word in words)

    def tag_ids(self, key: str, values: Iterable[str]) -> list[UUID]:
        """What stands for ``key`` with each of ``values`` in this collection alone."""
        # Short ones: an index holds no values of thousands of bytes.
        parts = (json.dumps([self.number, key, value]).encode() for value in values)
        return [UUID(bytes=blake2b(part, digest_size=16).digest()) for part in parts]


async def collection_of(
    connection: AsyncConnection, scope: Scope, name: str, *, lock: bool = False
) -> Collection | None:
    """The collection that the user of ``scope`` calls ``name``; nobody else writes to it until the
    end of the transaction where it is locked."""
    query = f"{_COLLECTION} FOR UPDATE" if lock else _COLLECTION
    cursor = await connection.execute(query.encode(), {**reach(scope), "name": name})
    row = await cursor.fetchone()
    if row is None:
        return None
    number, held, vectors, length, embedder, dimension, indexed = row
    space = None if embedder is None else Space(embedder, dimension)
    return Collection(number, held, vectors, length, space, indexed)


async def write(connection: AsyncConnection, scope: Scope, name: str, writing: Writing) -> int:
    """Keep chunks, in place of those with their ids; how many vectors there are now.

    Raises:
        EmbeddingError: the collection has vectors of another space, or they are too large.
    """
    if writing.space is not None and writing.space.dimension > _MOST_NUMBERS:
        raise EmbeddingError(
            f"Postgres keeps vectors of at most {_MOST_NUMBERS:,} numbers, and not of "
            f"{writing.space.dimension:,}"
        )
    collection = await _collection_for(connection, scope, name, writing.space)
    await _purge(connection, collection.number, writing.now)
    whose = {**owner(scope), "collection": collection.number}
    ids = [chunk.id for chunk in writing.chunks]
    await _take_out(connection, collection.number, await _exactly(connection, whose, ids))
    whole = {
        **whose,
        "now": writing.now,
        "expires": writing.expires,
        "dimension": writing.space and writing.space.dimension,
    }
    vectors = collection.vectors
    for page in _pages(collection, writing):
        cursor = await connection.execute(_INSERT, {**whole, **page})
        (vectors,) = await cursor.fetchone() or (0,)
    return int(vectors)


async def remove(
    connection: AsyncConnection, scope: Scope, name: str, ids: Sequence[str], now: float
) -> int:
    """Take out those of ``ids`` that exactly ``scope`` has; how many had not run out."""
    collection = await collection_of(connection, scope, name, lock=True)
    if collection is None:
        return 0
    await _purge(connection, collection.number, now)
    whose = {**owner(scope), "collection": collection.number}
    kept = await _exactly(connection, whose, ids, now)
    await _take_out(connection, collection.number, kept)
    return len(kept)


async def forget(connection: AsyncConnection, scope: Scope) -> int:
    """Take out all within ``scope``, and collections of which nothing is left; how many chunks
    there were."""
    values = reach(scope)
    cursor = await connection.execute(
        """SELECT number FROM memory_collection
            WHERE tenant = %(tenant)s AND holder = %(holder)s ORDER BY number FOR UPDATE""",
        values,
    )
    numbers = [number for (number,) in await cursor.fetchall()]
    count = 0
    for number in numbers:
        if scope.agent is None and scope.session is None:
            count += await _take_all(connection, number)
            continue
        cursor = await connection.execute(
            f"SELECT seq FROM memory_chunk WHERE collection = %(number)s AND {NARROWED}".encode(),
            {**values, "number": number},
        )
        seqs = [seq for (seq,) in await cursor.fetchall()]
        await _take_out(connection, number, seqs)
        count += len(seqs)
    await connection.execute(
        "DELETE FROM memory_collection WHERE number = ANY(%s) AND held = 0", (numbers,)
    )
    return count


async def _take_all(connection: AsyncConnection, number: int) -> int:
    for table in ("memory_vector", "memory_word"):
        query = f"DELETE FROM {table} WHERE collection = %s"
        await connection.execute(query.encode(), (number,))
    cursor = await connection.execute("DELETE FROM memory_chunk WHERE collection = %s", (number,))
    await connection.execute(
        "UPDATE memory_collection SET held = 0, vectors = 0, length = 0 WHERE number = %s",
        (number,),
    )
    return cursor.rowcount


async def _collection_for(
    connection: AsyncConnection, scope: Scope, name: str, space: Space | None
) -> Collection:
    """The collection for chunks of ``space``, locked; it is recorded as its own when it has none,
    or nothing is left in it."""
    found = await collection_of(connection, scope, name, lock=True)
    while found is None:
        await connection.execute(_MAKE, {**reach(scope), "name": name})
        # Whoever forgets may have taken it away again.
        found = await collection_of(connection, scope, name, lock=True)
    recorded = found.space if found.held else None
    check_space(name, recorded, space)
    kept = recorded or space
    if kept != found.space:
        await connection.execute(
            "UPDATE memory_collection SET embedder = %s, dimension = %s WHERE number = %s",
            (kept and kept.embedder, kept and kept.dimension, found.number),
        )
    return found


async def _exactly(
    connection: AsyncConnection, whose: Mapping[str, Any], ids: Sequence[str], now: float = 0
) -> list[int]:
    cursor = await connection.execute(
        f"""SELECT seq FROM memory_chunk WHERE collection = %(collection)s
            AND agent = %(agent)s AND session = %(session)s AND id = ANY(%(ids)s)
            AND {THERE}""".encode(),
        {**whose, "ids": list(ids), "now": now},
    )
    return [seq for (seq,) in await cursor.fetchall()]


async def _purge(connection: AsyncConnection, number: int, now: float) -> None:
    """Take out what has run out, some of it with each write: of this collection, which is locked,
    and of others that nobody is writing to."""
    cursor = await connection.execute(_RUN_OUT, {"now": now, "most": _PURGED})
    over: defaultdict[int, list[int]] = defaultdict(list)
    for each, seq in await cursor.fetchall():
        over[each].append(seq)
    if not over:
        return
    cursor = await connection.execute(_FREE, {"numbers": list(over)})
    for each in {number, *(free for (free,) in await cursor.fetchall())}:
        await _take_out(connection, each, over[each])


async def _take_out(connection: AsyncConnection, number: int, seqs: Sequence[int]) -> None:
    if seqs:
        await connection.execute(_TAKE_OUT, {"collection": number, "seqs": list(seqs)})


def _pages(collection: Collection, writing: Writing) -> Iterator[dict[str, Any]]:
    """The values of ``_INSERT``, so many chunks at a time."""
    rows = zip(writing.chunks, writing.metadata, writing.vectors, strict=True)
    while page := list(islice(rows, _PAGE)):
        columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
        vectors: list[NDArray[float32]] = []
        for chunk, metadata, vector in page:
            words = _held(plain_words(chunk.text))
            tags = [
                str(one)
                for key, value in tags_of(metadata)
                for one in collection.tag_ids(key, [value])
            ]
            row = (chunk.id, chunk.text, metadata, f"{{{','.join(tags)}}}")
            placed = None if vector is None else len(vectors)
            if vector is not None:
                vectors.append(vector)
            for name, value in zip(
                _COLUMNS, (*row, collection.marked(words), len(words), placed), strict=True
            ):
                columns[name].append(value)
        yield {**columns, "vectors": Numbers(vectors)}


_COLUMNS = ("ids", "texts", "metadata", "tags", "words", "lengths", "placed")


def _held(words: list[str]) -> list[str]:
    """As many of a text's words as Postgres can hold of one text."""
    left = _MOST_WORD_BYTES
    for at, word in enumerate(words):
        left -= len(word.encode()) + 8
        if left < 0:
            return words[:at]
    return words
