"""How the texts of a SQLite file's collections get vectors of another embedder."""
# ruff: noqa: S608 - queries are put together from this module's own constants only

from __future__ import annotations

import json
import sqlite3
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from codin.database import Row
from codin.memory._chunk_store import Outdated
from codin.memory._sqlite_writing import (
    Collection,
    next_number,
    overwrite,
    put_in,
    take_out,
)
from codin.memory.embedder import Space, check_space
from codin.security import Scope

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

_NAMED = "name = ? AND ifnull(tenant = ?, 1) AND ifnull(user = ?, 1)"


def switched(db: sqlite3.Connection, scope: Scope | None, name: str, space: Space) -> None:
    """Make the collections that are called ``name`` ones of ``space``, without vectors where they
    were of another one."""
    overwrite(db)
    query = f"SELECT number, embedder, dimension FROM chunk_collection WHERE {_NAMED}"
    for number, embedder, dimension in db.execute(query, _reached(scope, name)).fetchall():
        if (embedder, dimension) == (space.embedder, space.dimension):
            continue
        db.execute(
            "DELETE FROM chunk_vector WHERE seq IN (SELECT seq FROM chunk WHERE collection = ?)",
            (number,),
        )
        db.execute(
            "UPDATE chunk_collection SET embedder = ?, dimension = ?, removed = removed + 1 "
            "WHERE number = ?",
            (space.embedder, space.dimension, number),
        )


def outdated(
    db: sqlite3.Connection, scope: Scope | None, name: str, space: Space, most: int
) -> list[Outdated]:
    """At most so many chunks without a vector.

    Raises:
        EmbeddingError: a collection is of another space.
    """
    query = f"SELECT embedder, dimension FROM chunk_collection WHERE {_NAMED}"
    for embedder, dimension in db.execute(query, _reached(scope, name)):
        check_space(name, Space(embedder or "", dimension or 0), space)
    rows = db.execute(
        "SELECT c.seq, c.text FROM chunk AS c LEFT JOIN chunk_vector AS v ON v.seq = c.seq "
        f"WHERE c.collection IN (SELECT number FROM chunk_collection WHERE {_NAMED}) "
        "AND v.seq IS NULL AND (c.expires IS NULL OR c.expires > ?) ORDER BY c.seq LIMIT ?",
        (*_reached(scope, name), time.time(), most),
    )
    return [Outdated(seq, text) for seq, text in rows]


def place(
    db: sqlite3.Connection, keys: Sequence[int], vectors: NDArray[float32], space: Space
) -> int:
    """Give chunks their vectors, under new numbers: who holds vectors sees by these what is new."""
    overwrite(db)
    rows = db.execute(
        "SELECT seq, collection, agent, session, id, updated, expires, text, metadata FROM chunk "
        "WHERE seq IN (SELECT value FROM json_each(?)) AND collection IN "
        "(SELECT number FROM chunk_collection WHERE embedder = ? AND dimension = ?)",
        (json.dumps(list(keys)), space.embedder, space.dimension),
    ).fetchall()
    by_key = dict(zip(keys, vectors, strict=True))
    take_out(db, [(number, seq, text, metadata) for seq, number, *_, text, metadata in rows])
    by_collection: defaultdict[int, list[tuple[int, Row]]] = defaultdict(list)
    for new, row in enumerate(rows, next_number(db)):
        by_collection[row[1]].append((new, row))
    for number, kept in by_collection.items():
        put_in(db, Collection(number, 0, 0, space), [(new, *row[1:]) for new, row in kept])
        db.executemany(
            "INSERT INTO chunk_vector VALUES (?, ?)",
            ((new, by_key[row[0]].tobytes()) for new, row in kept),
        )
        db.execute(
            "UPDATE chunk_collection SET held = held + ? WHERE number = ?", (len(kept), number)
        )
    return len(rows)


def _reached(scope: Scope | None, name: str) -> tuple[str, str | None, str | None]:
    """The values of ``_NAMED``."""
    return (name, None, None) if scope is None else (name, scope.tenant, scope.user)
