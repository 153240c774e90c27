"""What a search in a memory in a file takes, among as many chunks as are kept."""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from codin.bench._memory_corpus import Corpus, corpus
from codin.bench._memory_plain import FOUND, Plain
from codin.bench._pairs import MS, NO_AIM, Pair, Way, at_least, at_most
from codin.bench.base import BenchError

if TYPE_CHECKING:
    from codin.bench.memory import Effort
    from codin.memory.base import MemorySystem
    from codin.memory.chunks import Mode
    from codin.security import Scope

_VECTOR_MS, _HYBRID_MS = 10, 15
_RECALL = 0.99
_GROUP = 1000


@asynccontextmanager
async def sqlite(effort: Effort) -> AsyncIterator[list[Pair]]:
    """Searches of each mode, how much of what is nearest they find, and keeping."""
    from codin.memory import SQLiteMemory
    from codin.security import Scope

    data = corpus(effort.chunks, effort.questions)
    with tempfile.TemporaryDirectory() as name:
        folder, scope = Path(name), Scope("bench", "bench")
        plain = Plain(folder, data)
        try:
            async with SQLiteMemory(folder / "memory.db") as memory:
                rate = await _filled(memory, scope, data)
                began = time.perf_counter()
                plain.fill()
                plain_rate = len(data.texts) / (time.perf_counter() - began)
                ours = _Ours(memory, scope, data)
                yield [
                    Pair(
                        *("vector sqlite", "ms"),
                        *(_typical(data, partial(ours.find, "vector")), "numpy"),
                        *(_typical(data, _near(plain, data)), at_most(_VECTOR_MS, "ms")),
                    ),
                    Pair(
                        *("text sqlite", "ms"),
                        *(_typical(data, partial(ours.find, "text")), "fts5"),
                        *(_typical(data, _said(plain, data)), NO_AIM),
                    ),
                    Pair(
                        *("hybrid sqlite", "ms"),
                        *(_typical(data, partial(ours.find, "hybrid")), "numpy and fts5"),
                        *(_typical(data, _both(plain, data)), at_most(_HYBRID_MS, "ms")),
                    ),
                    Pair(
                        *("recall sqlite", ""),
                        *(partial(_recall, ours, plain, data), "comparing all"),
                        *(_given(1.0), at_least(_RECALL, "")),
                        once=True,
                    ),
                    Pair(
                        *("inserts sqlite", "/s", _given(rate), "one table and fts5"),
                        *(_given(plain_rate), NO_AIM),
                        once=True,
                    ),
                ]
        finally:
            plain.close()


class _Ours:
    """Searches in the memory, by the numbers of questions."""

    def __init__(self, memory: MemorySystem, scope: Scope, data: Corpus) -> None:
        self._memory, self._scope, self._data = memory, scope, data

    async def find(self, mode: Mode, number: int) -> list[str]:
        """The texts that fit the question best."""
        return [text for text, _ in await self.found(mode, number)]

    async def found(self, mode: Mode, number: int) -> list[tuple[str, int]]:
        """The same, each with its number."""
        found = await self._memory.chunks.search(
            self._scope,
            self._data.queries[number],
            vector=self._data.wanted[number],
            mode=mode,
            limit=FOUND,
        )
        return [(one.text, int(one.id)) for one in found]


async def _filled(memory: MemorySystem, scope: Scope, data: Corpus) -> float:
    """Keep all; how many in a second."""
    from codin.memory import Chunk

    began = time.perf_counter()
    for begin in range(0, len(data.texts), _GROUP):
        numbers = range(begin, min(begin + _GROUP, len(data.texts)))
        await memory.chunks.upsert(
            scope, *(Chunk(data.texts[n], str(n), vector=data.vectors[n]) for n in numbers)
        )
    return len(data.texts) / (time.perf_counter() - began)


async def _recall(ours: _Ours, plain: Plain, data: Corpus) -> float:
    """How much of what is nearest is found."""
    shares = []
    for number, wanted in enumerate(data.wanted):
        nearest = set(plain.near(wanted))
        found = {one for _, one in await ours.found("vector", number)}
        shares.append(len(found & nearest) / len(nearest))
    return sum(shares) / len(shares)


def _typical(data: Corpus, find: Callable[[int], Awaitable[Sequence[str]]]) -> Way:
    """The median of all questions, asked once before: what is read from the file is read then."""

    async def way() -> float:
        await _timed(find, 0)
        return median([await _timed(find, number) for number in range(len(data.queries))]) * MS

    return way


async def _timed(find: Callable[[int], Awaitable[Sequence[str]]], number: int) -> float:
    began = time.perf_counter()
    found = await find(number)
    took = time.perf_counter() - began
    if len(set(found)) != FOUND:
        raise BenchError(f"a wrong answer: {len(set(found))} texts, not {FOUND}")
    return took


def _near(plain: Plain, data: Corpus) -> Callable[[int], Awaitable[Sequence[str]]]:
    async def find(number: int) -> list[str]:
        return plain.texts(plain.near(data.wanted[number]))

    return find


def _said(plain: Plain, data: Corpus) -> Callable[[int], Awaitable[Sequence[str]]]:
    async def find(number: int) -> list[str]:
        return plain.texts(plain.said(data.queries[number]))

    return find


def _both(plain: Plain, data: Corpus) -> Callable[[int], Awaitable[Sequence[str]]]:
    async def find(number: int) -> list[str]:
        return plain.texts(plain.both(data.queries[number], data.wanted[number]))

    return find


def _given(value: float) -> Way:
    async def way() -> float:
        return value

    return way
