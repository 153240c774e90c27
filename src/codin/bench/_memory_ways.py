"""The ways to find something that are timed: in a memory, and without one."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median
from typing import TYPE_CHECKING

from codin.bench._memory_corpus import Corpus
from codin.bench._memory_plain import FOUND, Plain
from codin.bench._pairs import MS, Way
from codin.bench.base import BenchError
from codin.security import Scope

if TYPE_CHECKING:
    from codin.memory.base import MemorySystem
    from codin.memory.chunks import Mode

SCOPE = Scope("bench", "bench")
_GROUP = 1000

Find = Callable[[int], Awaitable[Sequence[str]]]
"""The texts that fit the question of that number best."""


class Searches:
    """Searches in a memory, by the numbers of questions."""

    def __init__(self, memory: MemorySystem, data: Corpus) -> None:
        self.memory = memory
        self._data = data

    async def find(self, mode: Mode, number: int) -> list[str]:
        """The texts that fit the question best."""
        return [text for text, _ in await self.found(mode, number)]

    async def found(self, mode: Mode, number: int) -> list[tuple[str, int]]:
        """The same, each with its number."""
        found = await self.memory.chunks.search(
            SCOPE,
            self._data.queries[number],
            vector=self._data.wanted[number],
            mode=mode,
            limit=FOUND,
        )
        return [(one.text, int(one.id)) for one in found]


async def filled(opened: Callable[[], MemorySystem], data: Corpus) -> float:
    """Keep all, and make what it is searched by; how many in a second."""
    from codin.memory import Chunk

    began = time.perf_counter()
    async with opened() as memory:
        for begin in range(0, len(data.texts), _GROUP):
            numbers = range(begin, min(begin + _GROUP, len(data.texts)))
            await memory.chunks.upsert(
                SCOPE, *(Chunk(data.texts[n], str(n), vector=data.vectors[n]) for n in numbers)
            )
    return len(data.texts) / (time.perf_counter() - began)


async def recall(ours: Searches, plain: Plain, data: Corpus) -> float:
    """How much of what is nearest is found."""
    shares = []
    for number, wanted in enumerate(data.wanted):
        nearest = set(plain.near(wanted))
        found = {one for _, one in await ours.found("vector", number)}
        shares.append(len(found & nearest) / len(nearest))
    return sum(shares) / len(shares)


def typical(data: Corpus, find: Find) -> Way:
    """The median of all questions, asked once before: what is read from the store is read then."""

    async def way() -> float:
        await _timed(find, 0)
        return median([await _timed(find, number) for number in range(len(data.queries))]) * MS

    return way


async def _timed(find: Find, number: int) -> float:
    began = time.perf_counter()
    found = await find(number)
    took = time.perf_counter() - began
    if len(set(found)) != FOUND:
        raise BenchError(f"a wrong answer: {len(set(found))} texts, not {FOUND}")
    return took


def near(plain: Plain, data: Corpus) -> Find:
    """By meaning, without a memory."""

    async def find(number: int) -> list[str]:
        return plain.texts(plain.near(data.wanted[number]))

    return find


def said(plain: Plain, data: Corpus) -> Find:
    """By words, without a memory."""

    async def find(number: int) -> list[str]:
        return plain.texts(plain.said(data.queries[number]))

    return find


def both(plain: Plain, data: Corpus) -> Find:
    """By both, without a memory."""

    async def find(number: int) -> list[str]:
        return plain.texts(plain.both(data.queries[number], data.wanted[number]))

    return find


def given(value: float) -> Way:
    """What is known already."""

    async def way() -> float:
        return value

    return way
