"""The contract of chunks: pieces of text that are found again by their meaning and their words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from codin.ids import new_id
from codin.security import Scope

if TYPE_CHECKING:
    from numpy import floating
    from numpy.typing import NDArray

    from codin.memory.embedder import Embedder

Scalar = str | int | float | bool | None
Where = Mapping[str, Scalar | Collection[Scalar]]
"""What metadata has to be: for each key the value, or one of several."""

Vector: TypeAlias = "Sequence[float] | NDArray[floating[Any]]"
Mode = Literal["hybrid", "vector", "text"]

DEFAULT_COLLECTION = "default"
MAX_CHUNK_CHARS = 100_000
MAX_METADATA_BYTES = 16_000
MAX_UPSERT = 10_000
"""Chunks in one call: they are one transaction, for which all other writers wait."""
MAX_FOUND = 1_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of text to keep, and what is known of it.

    ``vector`` says where the text is; without one the memory's embedder says it. Of a vector only
    its direction is kept.
    """

    text: str
    id: str = field(default_factory=new_id)
    metadata: Mapping[str, Scalar] = field(default_factory=dict)
    vector: Vector | None = None


@dataclass(frozen=True, slots=True)
class FoundChunk:
    """A chunk that was found, whose it is, and how well it fits: ``score`` as the mode has it.
    ``updated`` and ``expires`` are in seconds since the epoch."""

    id: str
    text: str
    metadata: Mapping[str, Scalar]
    scope: Scope
    score: float
    updated: float
    expires: float | None = None


class Chunks(ABC):
    """Pieces of text in collections, each belonging to exactly the scope that it was put with.

    Every tenant's user has collections of their own, whatever others call theirs. With the first
    vector of a collection the embedder's name and the vector's size are recorded for it; nothing
    else is taken until there is no chunk left in it. Without an embedder vectors have to be given,
    which count as those of an embedder named ``given``; chunks without one are found by their
    words only.

    A chunk whose time is over is not there any more, for any call.
    """

    embedder: Embedder | None
    """What says where texts are."""

    @abstractmethod
    async def upsert(
        self,
        scope: Scope,
        *chunks: Chunk,
        collection: str = DEFAULT_COLLECTION,
        ttl: float | None = None,
    ) -> None:
        """Keep ``chunks``, all or none, for ``ttl`` seconds or until they are deleted. Each
        replaces the one of its id that ``scope`` has in the collection; of several with one id
        the last counts.

        Raises:
            EmbeddingError: a vector is not of the collection's embedder or size, has something in
                it that is no finite number, or is zero.
            InvalidInputError: a text is empty or longer than 100,000 characters, an id or the
                collection's name is empty or longer than 512, metadata is no flat JSON object of at
                most 16,000 bytes, the ``ttl`` is not above 0, or there are more than 10,000.
            Exception: whatever the embedder raises; nothing is written then.
        """

    @abstractmethod
    async def delete(self, scope: Scope, *ids: str, collection: str = DEFAULT_COLLECTION) -> int:
        """Delete those chunks that exactly ``scope`` has; gives how many there were."""

    @abstractmethod
    async def search(
        self,
        scope: Scope,
        query: str | None = None,
        *,
        vector: Vector | None = None,
        mode: Mode = "hybrid",
        limit: int = 10,
        where: Where | None = None,
        min_score: float | None = None,
        collection: str = DEFAULT_COLLECTION,
    ) -> list[FoundChunk]:
        """The ``limit`` chunks within ``scope`` that fit best, the best first, whose metadata is as
        ``where`` says and whose score is at least ``min_score``.

        ``vector``: by nearness to ``vector``, or to that of ``query``; the score is the cosine, -1
        to 1. ``text``: chunks with words of ``query``; the score is BM25, from 0, and compares
        within one answer only. ``hybrid``: both rankings, by reciprocal rank fusion; the score is 1
        for what is the first in both, and above 0.

        Raises:
            EmbeddingError: the vector is not of the collection's embedder or size, or can be none.
            InvalidInputError: the mode needs a query or an embedder that is not there, or ``limit``
                is above 1,000.
            Exception: whatever the embedder raises.
        """

    @abstractmethod
    def reembed(
        self,
        scope: Scope | None,
        *,
        collection: str = DEFAULT_COLLECTION,
        batch: int = 100,
    ) -> AsyncIterator[int]:
        """Have the memory's embedder say anew where the texts of a collection are: of the user of
        ``scope``, or, for operators, of everybody (``None``). Gives how many are done, after each
        ``batch``; broken off, it goes on where it was when it is called again.

        At its first step the vectors of another embedder are dropped, and the collection is of the
        new one. Until the end, what has no vector yet is found by its words. What is written
        meanwhile stays as it was written.

        Raises:
            ScopeError: ``scope`` names an agent or a session, which share their user's collections.
            InvalidInputError: the memory has no embedder.
            EmbeddingError: meanwhile it has become the collection of yet another embedder.
            MemoryFailure: the store cannot be used.
            Exception: whatever the embedder raises.
        """
