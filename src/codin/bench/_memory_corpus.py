"""What is kept and asked in the benchmark of memory: texts and vectors, the same in every run."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

DIMENSION = 384
_SEED = 1
_CLUSTERS = 200
_SPREAD = 0.6
"""Of the points of a cluster around its middle, in lengths of the vectors."""
_VOCABULARY = 20_000
_WORDS = 40
_QUERY_WORDS = 4


@dataclass(frozen=True, slots=True)
class Corpus:
    """Texts of forty words, as often as words are in languages (Zipf), each with a unit vector; and
    questions: four words of one of them, and a vector near it."""

    texts: list[str]
    vectors: NDArray[float32]
    queries: list[str]
    wanted: NDArray[float32]


@lru_cache(maxsize=1)
def corpus(chunks: int, questions: int) -> Corpus:
    """So many of each, the same for every store."""
    import numpy as np

    chance, numbers = random.Random(_SEED), np.random.default_rng(_SEED)  # noqa: S311
    often = list(accumulate(1 / (rank + 1) for rank in range(_VOCABULARY)))
    vocabulary = [f"word{number}" for number in range(_VOCABULARY)]
    texts = [
        " ".join(chance.choices(vocabulary, cum_weights=often, k=_WORDS)) for _ in range(chunks)
    ]
    middles = _unit(numbers.standard_normal((_CLUSTERS, DIMENSION), dtype=np.float32))
    around = _unit(numbers.standard_normal((chunks, DIMENSION), dtype=np.float32)) * _SPREAD
    vectors = _unit(middles[numbers.integers(0, _CLUSTERS, chunks)] + around)
    asked = numbers.integers(0, chunks, questions)
    noise = _unit(numbers.standard_normal((questions, DIMENSION), dtype=np.float32)) * _SPREAD
    queries = [" ".join(chance.sample(texts[number].split(), _QUERY_WORDS)) for number in asked]
    return Corpus(texts, vectors, queries, _unit(vectors[asked] + noise))


def _unit(rows: NDArray[float32]) -> NDArray[float32]:
    import numpy as np

    unit: NDArray[float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit
