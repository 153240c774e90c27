"""How chunks are found in a SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from codin.memory._chunk_store import Question
from codin.memory._found import chunk_of
from codin.memory._matrix import Place
from codin.memory._sqlite_vectors import Part
from codin.memory._sqlite_writing import Collection
from codin.memory._words import phrases
from codin.memory.chunks import FoundChunk
from codin.security import Scope

_WORD_ROWS = 10_000
"""So many matches are ranked: of a question's words the rarest ones, all while there are few."""

Ranking = list[tuple[int, float]]
"""Numbers of chunks and what they are worth, the best first."""


@dataclass(frozen=True)
class Search:
    """One question to one collection, in one state of the file."""

    db: sqlite3.Connection
    scope: Scope
    collection: Collection
    question: Question

    def found(self, vectors: Iterable[Part]) -> list[FoundChunk]:
        """What fits best; ``vectors`` are those of the collection."""
        return self._fetched(self.question.best(self._near(vectors), self._said()))

    def _near(self, vectors: Iterable[Part]) -> Ranking:
        """The nearest, with their cosines."""
        question, best = self.question, list[tuple[int, float]]()
        if question.vector is None:
            return best
        for rows, places in vectors:
            best += rows.nearest(
                question.vector,
                question.depth,
                now=question.now,
                places=self._reached(places),
                among=None if self._tagged is None else list(self._tagged),
            )
            best = sorted(best, key=lambda one: (-one[1], one[0]))[: question.depth]
        return best

    def _said(self) -> Ranking:
        """Those with words of the question, with their BM25."""
        question, scope = self.question, self.scope
        words = self._rarest(phrases(question.words or "", self.collection.mark))
        if not words:
            return []
        # Beside the mark of its words a chunk is asked whose it is: the index decides nothing.
        rows = self.db.execute(
            "SELECT w.rowid, w.rank FROM chunk_word AS w CROSS JOIN chunk AS c ON c.seq = w.rowid "
            "WHERE w.chunk_word MATCH ? AND c.collection = ? "
            "AND ifnull(c.agent = ?, 1) AND ifnull(c.session = ?, 1) "
            "AND (c.expires IS NULL OR c.expires > ?) ORDER BY w.rank",
            (
                *(" OR ".join(words), self.collection.number),
                *(scope.agent, scope.session, question.now),
            ),
        )
        tagged = self._tagged
        best = ((seq, -rank) for seq, rank in rows if tagged is None or seq in tagged)
        return list(islice(best, question.depth))

    def _rarest(self, words: Sequence[str]) -> list[str]:
        """Those of ``words`` that are in the fewest chunks: as many as can be ranked in time, and
        one at least."""
        query = "SELECT count(*) FROM (SELECT 1 FROM chunk_word WHERE chunk_word MATCH ? LIMIT ?)"
        counted = [
            (self.db.execute(query, (word, _WORD_ROWS)).fetchone()[0], word) for word in words
        ]
        taken, total = list[str](), 0
        for count, word in sorted(counted):
            total += count
            if taken and total > _WORD_ROWS:
                break
            if count:
                taken.append(word)
        return taken

    @cached_property
    def _tagged(self) -> frozenset[int] | None:
        """Those whose metadata is as the question has it; ``None`` when it does not matter."""
        tagged: frozenset[int] | None = None
        for key, values in self.question.tags.items():
            rows = self.db.execute(
                "SELECT seq FROM chunk_tag WHERE collection = ? AND key = ? "
                "AND value IN (SELECT value FROM json_each(?))",
                (self.collection.number, key, json.dumps(values)),
            )
            these = frozenset(seq for (seq,) in rows)
            tagged = these if tagged is None else tagged & these
        return tagged

    def _reached(self, places: Mapping[Place, int]) -> list[int] | None:
        """The places within the scope; ``None`` when all are."""
        scope = self.scope
        if scope.agent is None and scope.session is None:
            return None
        return [
            number
            for (agent, session), number in places.items()
            if scope.agent in (None, agent) and scope.session in (None, session)
        ]

    def _fetched(self, scored: Ranking) -> list[FoundChunk]:
        rows = self.db.execute(
            "SELECT seq, id, text, metadata, agent, session, updated, expires FROM chunk "
            "WHERE seq IN (SELECT value FROM json_each(?))",
            (json.dumps([seq for seq, _ in scored]),),
        )
        by_seq = {row[0]: row[1:] for row in rows}
        return [chunk_of(self.scope, by_seq[seq], score) for seq, score in scored]
