"""The vectors of a SQLite file's collections, as they are compared in this process."""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from codin.database import Row
from codin.memory._matrix import Matrix, Place, Rows
from codin.memory._sqlite_writing import Collection
from codin.memory.embedder import Space

_PAGE = 4096

Part = tuple[Rows, Mapping[Place, int]]
"""Vectors, and the numbers of the places that they are of."""


@dataclass(slots=True)
class _Held:
    """The matrix of one collection, as of some commit."""

    matrix: Matrix
    lock: threading.Lock = field(default_factory=threading.Lock)
    last: int = 0
    removed: int = 0


class Vectors:
    """Matrices of the collections that were searched last, up to ``most_bytes`` together; one that
    is larger is read anew each time. For several threads at once."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[int, Space], _Held] = OrderedDict()

    @contextmanager
    def at(self, db: sqlite3.Connection, collection: Collection) -> Iterator[Iterable[Part]]:
        """One state of the file, and the collection's vectors in it."""
        held = self._holding(collection)
        if held is None:
            with one_state(db):
                yield _read(db, collection)
            return
        try:
            with held.lock:
                # Whoever has the lock later sees a later state: the matrix never goes back.
                db.execute("BEGIN")
                _refresh(db, collection.number, held)
                part = held.matrix.rows, dict(held.matrix.places)
            yield [part]
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
            self._bound()

    def let_go(self) -> None:
        """Hold none any more: the next searches read them anew."""
        with self._lock:
            self._held.clear()

    def _holding(self, collection: Collection) -> _Held | None:
        space = collection.space
        if space is None or collection.held * space.dimension * 4 > self._most_bytes:
            return None
        with self._lock:
            # By its space too: one that was embedded anew has vectors of another size.
            key = collection.number, space
            held = self._held.get(key)
            if held is None:
                held = self._held[key] = _Held(Matrix(space.dimension))
            self._held.move_to_end(key)
            return held

    def _bound(self) -> None:
        """Let go of what was searched longest ago, until the rest fits."""
        with self._lock:
            total = sum(held.matrix.size_bytes for held in self._held.values())
            while total > self._most_bytes and len(self._held) > 1:
                _, oldest = self._held.popitem(last=False)
                total -= oldest.matrix.size_bytes


@contextmanager
def one_state(db: sqlite3.Connection) -> Iterator[None]:
    """See what is committed by now, and nothing that is committed meanwhile."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("ROLLBACK")


def _refresh(db: sqlite3.Connection, number: int, held: _Held) -> None:
    """Bring a matrix to the state that ``db`` sees."""
    row = db.execute("SELECT removed FROM chunk_collection WHERE number = ?", (number,)).fetchone()
    removed = row[0] if row else held.removed + 1
    if removed != held.removed:
        left = db.execute("SELECT seq FROM chunk WHERE collection = ?", (number,)).fetchall()
        held.matrix.keep([seq for (seq,) in left])
        held.removed = removed
    for page in _pages(db, number, held.last):
        _add(held.matrix, page)
        held.last = page[-1][0]


def _read(db: sqlite3.Connection, collection: Collection) -> Iterator[Part]:
    """Vectors that are too many to be held, page by page."""
    if collection.space is None:
        return
    for page in _pages(db, collection.number, 0):
        matrix = Matrix(collection.space.dimension)
        _add(matrix, page)
        yield matrix.rows, matrix.places


def _pages(db: sqlite3.Connection, number: int, after: int) -> Iterator[list[Row]]:
    """Vectors, with whose they are and when they run out, in the order of their coming."""
    query = (
        "SELECT c.seq, c.agent, c.session, c.expires, v.vector FROM chunk AS c "
        "CROSS JOIN chunk_vector AS v ON v.seq = c.seq "
        "WHERE c.collection = ? AND c.seq > ? ORDER BY c.seq"
    )
    cursor = db.execute(query, (number, after))
    while page := cursor.fetchmany(_PAGE):
        yield page


def _add(matrix: Matrix, page: Sequence[Row]) -> None:
    ids, agents, sessions, expires, vectors = zip(*page, strict=True)
    matrix.add(ids, vectors, list(zip(agents, sessions, strict=True)), expires)
