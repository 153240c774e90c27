"""An embedder that needs no model: texts that share words or parts of words are near."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

_WORD = re.compile(r"\w+")
_PART = 3
_PART_WEIGHT = 0.3


class HashingEmbedder:
    """Unit vectors of ``dimension`` numbers by feature hashing: the same in every process. Needs
    numpy."""

    def __init__(self, dimension: int = 64) -> None:
        self.name = f"hashing-{dimension}"
        self.dimension = dimension

    async def embed(self, texts: Sequence[str], *, query: bool = False) -> NDArray[float32]:
        """A row for each text; what is looked for is embedded as what is found."""
        import numpy as np

        rows = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for feature, weight in _features(text):
                digest = int.from_bytes(
                    blake2b(feature.encode("utf-8", "replace"), digest_size=8).digest(), "big"
                )
                row[(digest >> 1) % self.dimension] += weight if digest & 1 else -weight
            if not row.any():  # no word, or all of them cancel each other out
                row[0] = 1.0
        return rows / np.linalg.norm(rows, axis=1, keepdims=True) if len(texts) else rows


def _features(text: str) -> Iterator[tuple[str, float]]:
    for word in _WORD.findall(text.lower()):
        yield word, 1.0
        framed = f"<{word}>"
        for at in range(len(framed) - _PART + 1):
            yield framed[at : at + _PART], _PART_WEIGHT
