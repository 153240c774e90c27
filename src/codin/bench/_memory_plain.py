"""What people would write instead of a memory: numpy over one matrix, and FTS5 over one table."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

from codin.bench._memory_corpus import Corpus
from codin.memory.ranking import fused

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

FOUND = 10
_DEEP = 40
_GROUP = 1000


class Plain:
    """The corpus in a SQLite file and in a matrix, without owners, filters or an end."""

    def __init__(self, folder: Path, corpus: Corpus) -> None:
        self._corpus = corpus
        self._db = sqlite3.connect(folder / "plain.db", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("CREATE TABLE chunk (text TEXT, vector BLOB)")
        self._db.execute(
            "CREATE VIRTUAL TABLE word USING fts5(text, content='', tokenize='porter unicode61')"
        )

    def fill(self) -> float:
        """Keep all of it; how many in a second."""
        began = time.perf_counter()
        texts, vectors = self._corpus.texts, self._corpus.vectors
        for begin in range(0, len(texts), _GROUP):
            numbers = range(begin, min(begin + _GROUP, len(texts)))
            self._db.execute("BEGIN")
            self._db.executemany(
                "INSERT INTO chunk (rowid, text, vector) VALUES (?, ?, ?)",
                ((number, texts[number], vectors[number].tobytes()) for number in numbers),
            )
            self._db.executemany(
                "INSERT INTO word (rowid, text) VALUES (?, ?)",
                ((number, texts[number]) for number in numbers),
            )
            self._db.execute("COMMIT")
        return len(texts) / (time.perf_counter() - began)

    def near(self, wanted: NDArray[float32], count: int = FOUND) -> list[int]:
        """The numbers of the nearest, the nearest first."""
        import numpy as np

        cosines = self._corpus.vectors @ wanted
        best = np.argpartition(cosines, len(cosines) - count)[len(cosines) - count :]
        found: list[int] = best[np.argsort(-cosines[best])].tolist()
        return found

    def said(self, query: str, count: int = FOUND) -> list[int]:
        """The numbers of those with words of ``query``, the best first."""
        rows = self._db.execute(
            "SELECT rowid FROM word WHERE word MATCH ? ORDER BY rank LIMIT ?",
            (" OR ".join(query.split()), count),
        )
        return [number for (number,) in rows]

    def both(self, query: str, wanted: NDArray[float32]) -> list[int]:
        """The numbers that fit best by both."""
        scored = fused([self.near(wanted, _DEEP), self.said(query, _DEEP)])
        return [number for number, _ in scored[:FOUND]]

    def texts(self, numbers: list[int]) -> list[str]:
        """The texts with those numbers."""
        query = "SELECT text FROM chunk WHERE rowid = ?"
        return [self._db.execute(query, (number,)).fetchone()[0] for number in numbers]

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()
