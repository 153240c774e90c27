"""Several rankings of the same things as one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

K = TypeVar("K", bound=Hashable)

_CONSTANT = 60
"""How much the first places count for more than the next ones (Cormack and others, 2009)."""


def fused(rankings: Sequence[Iterable[K]]) -> list[tuple[K, float]]:
    """All that is in ``rankings``, the best first, by reciprocal rank fusion.

    Each has a score: 1 for what is the first in all of them, and above 0. Of equal ones that comes
    first which an earlier ranking has.
    """
    most = len(rankings) / (_CONSTANT + 1)
    scores: defaultdict[K, float] = defaultdict(float)
    for ranking in rankings:
        for place, one in enumerate(ranking, 1):
            scores[one] += 1 / (_CONSTANT + place) / most
    return sorted(scores.items(), key=lambda scored: -scored[1])
