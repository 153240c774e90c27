"""What says where texts are, and what is checked of what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from codin.memory.errors import EmbeddingError, MemoryFailure

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

GIVEN = "given"
"""The name that stands for the embedder where the memory has none, and vectors come with chunks."""

_BATCH = 32


class Embedder(Protocol):
    """Says where texts are in a space in which those that mean the same are near each other."""

    @property
    def name(self) -> str:
        """What its vectors are recorded under: another model, or another version of it whose
        vectors do not compare, has another name."""
        ...

    async def embed(
        self, texts: Sequence[str], *, query: bool = False
    ) -> Sequence[Sequence[float]] | NDArray[float32]:
        """A vector for each text, all of one length. ``query`` says that these are what is looked
        for, and not what is found."""
        ...


@dataclass(frozen=True, slots=True)
class Space:
    """What vectors have to have in common to be compared."""

    embedder: str
    dimension: int

    def __str__(self) -> str:
        return f"{self.dimension} numbers by {self.embedder!r}"


def check_space(collection: str, kept: Space | None, given: Space | None) -> None:
    """That vectors of ``given`` fit to those that are ``kept``.

    Raises:
        EmbeddingError: they do not.
    """
    if kept is not None and given is not None and kept != given:
        raise EmbeddingError(
            f"the collection {collection!r} holds vectors of {kept}, and not of {given}: use that "
            "embedder, or another collection"
        )


def unit_rows(vectors: Any) -> NDArray[float32]:
    """``vectors``, one a row, as directions of length 1.

    Raises:
        EmbeddingError: they differ in size, hold something else than finite numbers, or are zero.
    """
    np = numpy()
    try:
        rows = np.asarray(vectors, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise EmbeddingError(f"vectors are numbers, all of one size: {error}") from error
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise EmbeddingError(f"vectors are numbers, all of one size, not an array {rows.shape}")
    if not np.isfinite(rows).all():
        bad = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
        raise EmbeddingError(f"vector {bad + 1} of {len(rows)} has NaN or infinity in it")
    # By its largest number first, or the squares of very large and very small ones are lost.
    largest = np.abs(rows).max(axis=1, keepdims=True)
    if not largest.all():
        bad = int(np.flatnonzero(largest[:, 0] == 0)[0])
        raise EmbeddingError(f"vector {bad + 1} of {len(rows)} is zero, which is no direction")
    rows = rows / largest
    unit: NDArray[float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


async def embedded(
    embedder: Embedder, texts: Sequence[str], *, query: bool = False
) -> NDArray[float32]:
    """A unit vector for each of ``texts``, which are one at least.

    Raises:
        EmbeddingError: the embedder gave something else.
        Exception: whatever the embedder raises.
    """
    rows: list[Any] = []
    for at in range(0, len(texts), _BATCH):
        batch = list(texts[at : at + _BATCH])
        vectors = await embedder.embed(batch, query=query)
        if len(vectors) != len(batch):
            raise EmbeddingError(
                f"the embedder {embedder.name!r} gave {len(vectors)} vectors for {len(batch)} texts"
            )
        rows.extend(vectors)
    try:
        return unit_rows(rows)
    except EmbeddingError as error:
        raise EmbeddingError(f"the embedder {embedder.name!r}: {error}") from error


def numpy() -> Any:
    """The module.

    Raises:
        MemoryFailure: it is not installed.
    """
    try:
        import numpy as np
    except ImportError as error:
        raise MemoryFailure(
            "searching by meaning needs numpy: pip install 'codin[memory]'"
        ) from error
    return np
