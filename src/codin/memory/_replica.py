"""A collection of another place as it is searched in this process."""

from __future__ import annotations

import json
import sqlite3
import weakref
from collections.abc import Sequence
from dataclasses import dataclass

from codin.memory._chunk_store import Question
from codin.memory._matrix import Matrix
from codin.memory._sqlite_searching import Search
from codin.memory._sqlite_tables import MEMORY
from codin.memory._sqlite_vectors import Part
from codin.memory._sqlite_writing import Collection, put_in, take_out
from codin.memory.chunks import FoundChunk
from codin.memory.embedder import Space
from codin.security import Scope


@dataclass(frozen=True, slots=True)
class Arrived:
    """A chunk that came to the collection, and the bytes of its float32 vector, if it has one."""

    number: int
    agent: str
    session: str
    id: str
    updated: float
    expires: float | None
    text: str
    metadata: str
    vector: bytes


class Replica:
    """A collection's chunks in tables as those of the memory in a file, but in this process, and
    its vectors in a matrix. Not for several threads at once."""

    def __init__(self) -> None:
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._db.close)
        for statements in MEMORY.sqlite:
            for statement in statements:
                self._db.execute(statement)
        self._collection = Collection(1, 0, 0, None)
        self._matrix: Matrix | None = None

    @property
    def size_bytes(self) -> int:
        """What it takes of memory."""
        pages, size = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
        )
        return int(pages * size) + (self._matrix.size_bytes if self._matrix else 0)

    def change(self, gone: Sequence[int], arrived: Sequence[Arrived], space: Space | None) -> None:
        """Take out those that are gone, and put in those that arrived, whose numbers are above all
        that were put in before."""
        if gone:
            kept = "SELECT collection, seq, text, metadata FROM chunk WHERE seq IN "
            listed = "(SELECT value FROM json_each(?))"
            take_out(self._db, self._db.execute(kept + listed, (json.dumps(gone),)).fetchall())
            if self._matrix is not None:
                self._matrix.leave_out(gone)
        if not arrived:
            return
        self._db.execute("BEGIN")
        put_in(
            self._db,
            self._collection,
            [
                (
                    *(one.number, self._collection.number, one.agent, one.session, one.id),
                    *(one.updated, one.expires, one.text, one.metadata),
                )
                for one in arrived
            ],
        )
        self._db.execute("COMMIT")
        placed = [one for one in arrived if one.vector]
        if placed and space is not None:
            if self._matrix is None:
                self._matrix = Matrix(space.dimension)
            self._matrix.add(
                [one.number for one in placed],
                [one.vector for one in placed],
                [(one.agent, one.session) for one in placed],
                [one.expires for one in placed],
            )

    def found(self, scope: Scope, question: Question) -> list[FoundChunk]:
        """What fits the question best."""
        parts: list[Part] = []
        if self._matrix is not None:
            parts.append((self._matrix.rows, self._matrix.places))
        return Search(self._db, scope, self._collection, question).found(parts)
