"""How chunks come into a SQLite file, and out of it."""
# ruff: noqa: S608 - queries are put together from this module's own constants only

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from codin.database import Row
from codin.memory._chunk_store import Writing, tags_of
from codin.memory._words import marked_text
from codin.memory.embedder import Space, check_space
from codin.security import Scope

_PAGE = 1000
_COLLECTION = "SELECT number, held, removed, embedder, dimension FROM chunk_collection"
_WITHIN = (
    "collection IN (SELECT number FROM chunk_collection WHERE tenant = ? AND user = ?) "
    "AND ifnull(agent = ?, 1) AND ifnull(session = ?, 1)"
)

Kept = tuple[int, int, str, str]
"""A chunk's collection, its own number, its text and its metadata."""


@dataclass(frozen=True, slots=True)
class Collection:
    """One that is there. ``held`` chunks are in it, ``removed`` were taken out of it."""

    number: int
    held: int
    removed: int
    space: Space | None

    @property
    def mark(self) -> str:
        """What its words have before them in the index: they are nobody else's words so."""
        return f"{self.number}x"


def collection_of(db: sqlite3.Connection, scope: Scope, name: str) -> Collection | None:
    """The collection that the user of ``scope`` calls ``name``."""
    query = f"{_COLLECTION} WHERE tenant = ? AND user = ? AND name = ?"
    row = db.execute(query, (scope.tenant, scope.user, name)).fetchone()
    if row is None:
        return None
    number, held, removed, embedder, dimension = row
    space = None if embedder is None else Space(embedder, dimension)
    return Collection(number, held, removed, space)


def write(db: sqlite3.Connection, scope: Scope, name: str, writing: Writing) -> None:
    """Keep chunks, in place of those with their ids.

    Raises:
        EmbeddingError: the collection has vectors of another space.
    """
    overwrite(db)
    _purge(db, writing.now)
    collection = _collection_for(db, scope, name, writing.space)
    owner = (collection.number, scope.agent or "", scope.session or "")
    take_out(db, _exactly(db, owner, [chunk.id for chunk in writing.chunks]))
    numbered = list(enumerate(writing.chunks, next_number(db)))
    put_in(
        db,
        collection,
        [
            (seq, *owner, chunk.id, writing.now, writing.expires, chunk.text, metadata)
            for (seq, chunk), metadata in zip(numbered, writing.metadata, strict=True)
        ],
    )
    db.executemany(
        "INSERT INTO chunk_vector VALUES (?, ?)",
        (
            (seq, vector.tobytes())
            for (seq, _), vector in zip(numbered, writing.vectors, strict=True)
            if vector is not None
        ),
    )
    db.execute(
        "UPDATE chunk_collection SET held = held + ? WHERE number = ?",
        (len(numbered), collection.number),
    )


def next_number(db: sqlite3.Connection) -> int:
    """The number of the next chunk: one that none had before."""
    last = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'chunk'").fetchone()
    return int(last[0] if last else 0) + 1


def put_in(db: sqlite3.Connection, collection: Collection, rows: Sequence[Row]) -> None:
    """Put chunks in, as rows of their table, with what they are found by except vectors."""
    db.executemany("INSERT INTO chunk VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    db.executemany(
        "INSERT INTO chunk_tag VALUES (?, ?, ?, ?)",
        (
            (collection.number, key, value, seq)
            for seq, *_, metadata in rows
            for key, value in tags_of(metadata)
        ),
    )
    db.executemany(
        "INSERT INTO chunk_word (rowid, words) VALUES (?, ?)",
        ((seq, marked_text(text, collection.mark)) for seq, *_, text, _ in rows),
    )


def remove(db: sqlite3.Connection, scope: Scope, name: str, ids: Sequence[str], now: float) -> int:
    """Take out those of ``ids`` that exactly ``scope`` has; how many had not run out."""
    overwrite(db)
    _purge(db, now)
    collection = collection_of(db, scope, name)
    if collection is None:
        return 0
    owner = (collection.number, scope.agent or "", scope.session or "")
    kept = _exactly(db, owner, ids, "AND (expires IS NULL OR expires > ?)", now)
    take_out(db, kept)
    return len(kept)


def forget(db: sqlite3.Connection, scope: Scope) -> int:
    """Take out all within ``scope``, and collections of which nothing is left; how many chunks
    there were."""
    overwrite(db)
    query = f"SELECT collection, seq, text, metadata FROM chunk WHERE {_WITHIN} LIMIT {_PAGE}"
    count = 0
    while page := db.execute(query, within(scope)).fetchall():
        take_out(db, page)
        count += len(page)
    if count:
        # Words that were taken out stay in the index until its parts are merged.
        db.execute("INSERT INTO chunk_word (chunk_word) VALUES ('optimize')")
    db.execute(
        "DELETE FROM chunk_collection WHERE tenant = ? AND user = ? AND held = 0",
        (scope.tenant, scope.user),
    )
    return count


def count(db: sqlite3.Connection, scope: Scope) -> int:
    """How many chunks there are within ``scope``."""
    query = f"SELECT count(*) FROM chunk WHERE {_WITHIN}"
    return int(db.execute(query, within(scope)).fetchone()[0])


def within(scope: Scope) -> tuple[str, str, str | None, str | None]:
    """The values for what is within ``scope``."""
    return scope.tenant, scope.user, scope.agent, scope.session


def _collection_for(
    db: sqlite3.Connection, scope: Scope, name: str, space: Space | None
) -> Collection:
    """The collection for chunks of ``space``, which is recorded as its own when it has none."""
    found = collection_of(db, scope, name)
    if found is not None and not found.held and found.space != space:
        # Anew, with a number that nobody holds vectors of another size under.
        db.execute("DELETE FROM chunk_collection WHERE number = ?", (found.number,))
        found = None
    if found is None:
        db.execute(
            "INSERT INTO chunk_collection (tenant, user, name) VALUES (?, ?, ?)",
            (scope.tenant, scope.user, name),
        )
        found = collection_of(db, scope, name)
        assert found is not None
    check_space(name, found.space, space)
    if found.space is None and space is not None:
        db.execute(
            "UPDATE chunk_collection SET embedder = ?, dimension = ? WHERE number = ?",
            (space.embedder, space.dimension, found.number),
        )
    return found


def _exactly(
    db: sqlite3.Connection,
    owner: tuple[int, str, str],
    ids: Sequence[str],
    condition: str = "",
    *values: float,
) -> list[Kept]:
    query = (
        "SELECT collection, seq, text, metadata FROM chunk WHERE collection = ? AND agent = ? "
        f"AND session = ? AND id IN (SELECT value FROM json_each(?)) {condition}"
    )
    return db.execute(query, (*owner, json.dumps(list(ids)), *values)).fetchall()


def _purge(db: sqlite3.Connection, now: float) -> None:
    """Take out what has run out, some of it with each write."""
    query = f"SELECT collection, seq, text, metadata FROM chunk WHERE expires <= ? LIMIT {_PAGE}"
    take_out(db, db.execute(query, (now,)).fetchall())


def take_out(db: sqlite3.Connection, kept: Iterable[Kept]) -> None:
    """Take chunks out, with what they are found by."""
    for number, group in groupby(sorted(kept), key=lambda one: one[0]):
        rows = list(group)
        mark = Collection(number, 0, 0, None).mark
        db.executemany(
            "INSERT INTO chunk_word (chunk_word, rowid, words) VALUES ('delete', ?, ?)",
            ((seq, marked_text(text, mark)) for _, seq, text, _ in rows),
        )
        db.executemany(
            "DELETE FROM chunk_tag WHERE collection = ? AND key = ? AND value = ? AND seq = ?",
            (
                (number, key, value, seq)
                for _, seq, _, metadata in rows
                for key, value in tags_of(metadata)
            ),
        )
        for table in ("chunk_vector", "chunk"):
            db.executemany(f"DELETE FROM {table} WHERE seq = ?", ((row[1],) for row in rows))
        db.execute(
            "UPDATE chunk_collection SET held = held - ?, removed = removed + ? WHERE number = ?",
            (len(rows), len(rows), number),
        )


def overwrite(db: sqlite3.Connection) -> None:
    """Have what is taken out overwritten with zeros."""
    db.execute("PRAGMA secure_delete = ON")
