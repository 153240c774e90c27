"""How chunks are found in Postgres."""
# ruff: noqa: S608 - queries are put together from this package's own constants only

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection

from codin.database import Row
from codin.memory._chunk_store import Question
from codin.memory._found import chunk_of
from codin.memory._postgres_nearest import indexed
from codin.memory._postgres_tables import NARROWED, THERE, reach
from codin.memory._postgres_vectors import Numbers
from codin.memory._postgres_writing import Collection
from codin.memory._words import asked_words, plain_words
from codin.memory.chunks import FoundChunk
from codin.security import Scope

CHUNK = "id, text, metadata, agent, session, updated, expires"
"""The columns of ``chunk_of``."""

_WORD_ROWS = 3_000
"""So many matches are ranked: of a question's words the rarest ones, all while there are few."""
_SATURATION, _LENGTH = 1.2, 0.75
"""BM25's k1 and b."""
_HOPS = 8
"""Walking to one more vector in the index takes as long as comparing so many in a row."""
_LEAST_WALKED = 100

Ranking = list[tuple[int, float]]
"""Numbers of chunks and what they are worth, the best first."""


@dataclass(frozen=True)
class Search:
    """One question to one collection, in one state of the database."""

    connection: AsyncConnection
    scope: Scope
    collection: Collection
    question: Question

    async def found(self) -> list[FoundChunk]:
        """What fits best."""
        near, said = await self._near(), await self._said()
        return await self._fetched(self.question.best(near, said))

    async def _near(self) -> Ranking:
        """The nearest, with their cosines."""
        question, space = self.question, self.collection.space
        if question.vector is None or space is None:
            return []
        values = {
            **self._values(),
            "vector": Numbers([question.vector]),
            "limit": question.depth,
        }
        if self.collection.indexed:
            total = max(self.collection.indexed, self.collection.vectors)
            # Beyond so many the index is walked through faster than all are compared.
            walked = max(question.depth, _LEAST_WALKED)
            bound = math.isqrt(_HOPS * walked * total)
            there = await self._count(values, max(bound, question.depth) + 1)
            if there > bound:
                kind = indexed(space.dimension)
                rows = await self._ranked(
                    f"""WITH near AS MATERIALIZED (
                            SELECT seq, vector <=> %(vector)s::float4[]::vector AS distance
                            FROM memory_vector
                            WHERE dimension = {space.dimension} AND {self._wanted}
                            ORDER BY vector::{kind} <=> %(vector)s::float4[]::{kind} LIMIT %(limit)s
                        ) SELECT seq, distance FROM near ORDER BY distance, seq""",
                    values,
                )
                # An index gives up after so many that are not wanted.
                if len(rows) >= min(question.depth, there):
                    return [(seq, _cosine(distance)) for seq, distance in rows]
        rows = await self._ranked(
            f"""SELECT seq, vector <=> %(vector)s::float4[]::vector AS distance FROM memory_vector
                WHERE {self._wanted} ORDER BY distance, seq LIMIT %(limit)s""",
            values,
        )
        return [(seq, _cosine(distance)) for seq, distance in rows]

    async def _count(self, values: dict[str, Any], most: int) -> int:
        """How many vectors the question is about, up to ``most``."""
        scope = self.scope
        if scope.agent is None and scope.session is None and not self.question.tags:
            return min(self.collection.vectors, most)
        rows = await self._ranked(
            f"""SELECT count(*) FROM (
                    SELECT FROM memory_vector WHERE {self._wanted} LIMIT %(most)s
                ) AS several""",
            {**values, "most": most},
        )
        return int(rows[0][0])

    async def _said(self) -> Ranking:
        """Those with words of the question, with their BM25."""
        words = plain_words(" ".join(asked_words(self.question.words or "")))
        if not words:
            return []
        values = self._values()
        asked = await self._rows(
            """SELECT lexeme, chunks FROM unnest(to_tsvector('memory_words', %(words)s))
                JOIN memory_word ON collection = %(collection)s AND word = lexeme
                ORDER BY chunks, lexeme""",
            {**values, "words": self.collection.marked(words)},
        )
        if not asked:
            return []
        score = " + ".join(
            f"%(weight{number})s * {_term(f'%(word{number})s::tsquery')}"
            for number in range(len(asked))
        )
        for number, (word, chunks) in enumerate(asked):
            rare = (self.collection.held - chunks + 0.5) / (chunks + 0.5)
            values[f"weight{number}"] = math.log1p(rare) * (_SATURATION + 1)
            values[f"word{number}"] = f"'{word}'"
        # Too common words count only for those that have another one.
        sought = " | ".join(f"'{word}'" for word in _rarest(asked))
        rows = await self._ranked(
            f"""SELECT seq, {score} AS score FROM memory_chunk
                WHERE words @@ %(sought)s::tsquery AND {self._wanted}
                ORDER BY score DESC, seq LIMIT %(limit)s""",
            {
                **values,
                "sought": sought,
                "usual": self.collection.length / self.collection.held,
                "limit": self.question.depth,
            },
        )
        return [(seq, float(score)) for seq, score in rows]

    @property
    def _wanted(self) -> str:
        """The condition of what the question is about."""
        tagged = "".join(
            f" AND tags && %(tag{number})s::uuid[]" for number in range(len(self.question.tags))
        )
        return f"collection = %(collection)s AND {NARROWED} AND {THERE}{tagged}"

    def _values(self) -> dict[str, Any]:
        values: dict[str, Any] = {
            **reach(self.scope),
            "collection": self.collection.number,
            "now": self.question.now,
        }
        for number, (key, wanted) in enumerate(self.question.tags.items()):
            values[f"tag{number}"] = self.collection.tag_ids(key, wanted)
        return values

    async def _fetched(self, scored: Ranking) -> list[FoundChunk]:
        rows = await self._rows(
            f"SELECT seq, {CHUNK} FROM memory_chunk "
            "WHERE collection = %(collection)s AND seq = ANY(%(seqs)s)",
            {"collection": self.collection.number, "seqs": [seq for seq, _ in scored]},
        )
        by_seq = {row[0]: row[1:] for row in rows}
        return [chunk_of(self.scope, by_seq[seq], score) for seq, score in scored]

    async def _rows(
        self, query: str, values: dict[str, Any], *, prepare: bool | None = None
    ) -> list[Row]:
        cursor = await self.connection.execute(query.encode(), values, prepare=prepare)
        return await cursor.fetchall()

    async def _ranked(self, query: str, values: dict[str, Any]) -> list[Row]:
        """Rows of a query that is planned for these very values: which way is the best depends on
        how narrow they make it."""
        return await self._rows(query, values, prepare=False)


def _rarest(asked: Sequence[Row]) -> list[str]:
    """Those of the words that are in the fewest chunks: as many as can be ranked in time, and one
    at least."""
    taken, total = list[str](), 0
    for word, chunks in asked:
        total += chunks
        if taken and total > _WORD_ROWS:
            break
        taken.append(word)
    return taken


_WITHOUT_END = math.pi**2 / 6


def _term(word: str) -> str:
    """What the times that ``word`` is in a text count for, by BM25 without its factors."""
    # Of a single word ``ts_rank`` is 1 + 1/4 + 1/9 + ... for as many times as it is there, as a
    # part of what that comes to without end: the one number that is to be had of a word and a text
    # without unpacking all of the text's words.
    rank = f"ts_rank('{{1,1,1,1}}', words, {word})"
    times = f"round(1 / ({_WITHOUT_END} * (1 - {rank})) - 0.5)"
    long = f"{_SATURATION} * ({1 - _LENGTH} + {_LENGTH} * length / %(usual)s)"
    return f"({times} / ({times} + {long}))"


def _cosine(distance: float) -> float:
    return min(max(1.0 - distance, -1.0), 1.0)
