"""What is the same in every store of chunks: checks, and asking the embedder."""

from __future__ import annotations

import json
import math
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from codin.errors import InvalidInputError
from codin.memory._checks import as_json, checked_key, checked_scope, checked_text, expiry
from codin.memory.chunks import (
    DEFAULT_COLLECTION,
    MAX_CHUNK_CHARS,
    MAX_FOUND,
    MAX_METADATA_BYTES,
    MAX_UPSERT,
    Chunk,
    Chunks,
    FoundChunk,
    Mode,
    Scalar,
    Vector,
    Where,
)
from codin.memory.embedder import GIVEN, Embedder, Space, embedded, unit_rows
from codin.memory.errors import ScopeError
from codin.memory.ranking import fused
from codin.security import Scope

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

K = TypeVar("K", bound=Hashable)

_DEEPER = 4
"""How many times as deep as what is asked for both rankings of a hybrid search go."""
_LEAST_DEEP = 40


@dataclass(frozen=True, slots=True)
class Writing:
    """Chunks to keep, checked: for each its metadata as JSON, and its unit vector if it has one."""

    chunks: Sequence[Chunk]
    metadata: Sequence[str]
    vectors: Sequence[NDArray[float32] | None]
    space: Space | None
    now: float
    expires: float | None


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for, checked: ``words`` is ``None`` where only the vector counts, and the
    other way round."""

    words: str | None
    vector: NDArray[float32] | None
    space: Space | None
    limit: int
    tags: Mapping[str, Sequence[str]]
    """For each key the values that it may have, as ``tag`` gives them."""
    min_score: float | None
    now: float

    @property
    def depth(self) -> int:
        """How far each ranking has to go."""
        hybrid = self.words is not None and self.vector is not None
        return max(self.limit * _DEEPER, _LEAST_DEEP) if hybrid else self.limit

    def best(
        self, near: Sequence[tuple[K, float]], said: Sequence[tuple[K, float]]
    ) -> list[tuple[K, float]]:
        """What is wanted of the nearest and of those with its words, each with its score."""
        if self.words is not None and self.vector is not None:
            scored = fused([[one for one, _ in ranking] for ranking in (near, said)])
        else:
            scored = list(near if self.words is None else said)
        least = -math.inf if self.min_score is None else self.min_score
        return [(one, score) for one, score in scored if score >= least][: self.limit]


@dataclass(frozen=True, slots=True)
class Outdated:
    """A chunk that has no vector. Its ``key`` is the store's own, and not that of what replaces
    it."""

    key: Hashable
    text: str


class ChunkStore(Chunks):
    """Chunks in a store, which is given what was checked."""

    def __init__(self, embedder: Embedder | None = None) -> None:
        self.embedder = embedder

    async def upsert(
        self,
        scope: Scope,
        *chunks: Chunk,
        collection: str = DEFAULT_COLLECTION,
        ttl: float | None = None,
    ) -> None:
        _check_place(scope, collection)
        expiry(ttl, 0)
        if len(chunks) > MAX_UPSERT:
            raise InvalidInputError(
                f"{len(chunks):,} chunks at once: put at most {MAX_UPSERT:,} in one call"
            )
        last = list({chunk.id: chunk for chunk in chunks}.values())
        metadata = [_checked(chunk) for chunk in last]
        if not last:
            return
        vectors = await self._vectors(last)
        given = next((vector for vector in vectors if vector is not None), None)
        space = None if given is None else self._space(len(given))
        now = time.time()
        writing = Writing(last, metadata, vectors, space, now, expiry(ttl, now))
        await self._write(scope, collection, writing)

    async def delete(self, scope: Scope, *ids: str, collection: str = DEFAULT_COLLECTION) -> int:
        _check_place(scope, collection)
        return await self._remove(scope, collection, sorted(set(ids)), time.time())

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
        _check_place(scope, collection)
        if limit > MAX_FOUND:
            raise InvalidInputError(f"a search gives at most {MAX_FOUND:,} chunks, not {limit:,}")
        words, wanted = await self._wanted(query, vector, mode)
        if limit <= 0:
            return []
        question = Question(
            words=words,
            vector=wanted,
            space=None if wanted is None else self._space(len(wanted)),
            limit=limit,
            tags={key: _tags(value) for key, value in (where or {}).items()},
            min_score=min_score,
            now=time.time(),
        )
        return await self._find(scope, collection, question)

    async def reembed(
        self,
        scope: Scope | None,
        *,
        collection: str = DEFAULT_COLLECTION,
        batch: int = 100,
    ) -> AsyncIterator[int]:
        checked_key(collection, "a collection's name")
        if scope is not None and (scope.agent is not None or scope.session is not None):
            raise ScopeError(
                "a collection is its user's with all agents and sessions: give a scope without them"
            )
        embedder = self.embedder
        if embedder is None:
            raise InvalidInputError("there is no embedder to say where texts are: give one")
        [probe] = await embedded(embedder, ["a"])
        space, done = self._space(len(probe)), 0
        found = await self._outdated(scope, collection, space, most=batch, switch=True)
        while found:
            vectors = await embedded(embedder, [one.text for one in found])
            done += await self._place([one.key for one in found], vectors, space)
            yield done
            found = await self._outdated(scope, collection, space, most=batch, switch=False)

    @abstractmethod
    async def _outdated(
        self, scope: Scope | None, collection: str, space: Space, *, most: int, switch: bool
    ) -> list[Outdated]:
        """At most so many chunks that have no vector, of the collections with that name.

        With ``switch`` those that are of another space are made ones of ``space`` first, and lose
        their vectors; without it, such a one is an ``EmbeddingError``.
        """

    @abstractmethod
    async def _place(
        self, keys: Sequence[Hashable], vectors: NDArray[float32], space: Space
    ) -> int:
        """Give chunks their vectors, one a row, where they are still there and of ``space``; how
        many that are."""

    @abstractmethod
    async def _write(self, scope: Scope, collection: str, writing: Writing) -> None:
        """Keep all or none, unless the collection has vectors of another space."""

    @abstractmethod
    async def _remove(
        self, scope: Scope, collection: str, ids: Sequence[str], now: float
    ) -> int: ...

    @abstractmethod
    async def _find(
        self, scope: Scope, collection: str, question: Question
    ) -> list[FoundChunk]: ...

    async def _vectors(self, chunks: Sequence[Chunk]) -> list[NDArray[float32] | None]:
        vectors: list[NDArray[float32] | None] = [None] * len(chunks)
        given = [at for at, chunk in enumerate(chunks) if chunk.vector is not None]
        if given:
            for at, row in zip(given, unit_rows([chunks[n].vector for n in given]), strict=True):
                vectors[at] = row
        missing = [at for at in range(len(chunks)) if chunks[at].vector is None]
        if missing and self.embedder is not None:
            rows = await embedded(self.embedder, [chunks[at].text for at in missing])
            if given:
                rows = unit_rows([*(vectors[at] for at in given), *rows])[len(given) :]
            for at, row in zip(missing, rows, strict=True):
                vectors[at] = row
        return vectors

    async def _wanted(
        self, query: str | None, vector: Vector | None, mode: Mode
    ) -> tuple[str | None, NDArray[float32] | None]:
        """The words and the vector that count in ``mode``."""
        if mode not in get_args(Mode):
            raise InvalidInputError(f"a search is hybrid, vector or text, not {mode!r}")
        if query is None and (mode != "vector" or vector is None):
            raise InvalidInputError(f"a {mode} search needs a query to search for")
        words = None if mode == "vector" else query
        if mode == "text":
            return words, None
        if vector is not None:
            return words, unit_rows([vector])[0]
        if self.embedder is None:
            raise InvalidInputError(
                f"a {mode} search needs a vector, or a memory with an embedder: give one of them, "
                "or search with mode='text'"
            )
        return words, (await embedded(self.embedder, [query or ""], query=True))[0]

    def _space(self, dimension: int) -> Space:
        return Space(GIVEN if self.embedder is None else self.embedder.name, dimension)


def tag(value: Scalar) -> str:
    """A value of metadata as it is compared: numbers by what they are worth, and nothing that is of
    another kind is equal.

    Raises:
        InvalidInputError: it is no text, number, truth value or null.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is not None and not isinstance(value, str | int | float):
        raise InvalidInputError(f"metadata is of texts, numbers, true, false and null: {value!r}")
    return as_json(value)


def tags_of(metadata: str) -> list[tuple[str, str]]:
    """The keys of ``metadata``, which is JSON, each with its value as it is compared."""
    return [(key, tag(value)) for key, value in json.loads(metadata).items()]


def _tags(wanted: Scalar | Collection[Scalar]) -> list[str]:
    if isinstance(wanted, Collection) and not isinstance(wanted, str):
        return [tag(value) for value in wanted]
    return [tag(wanted)]


def _check_place(scope: Scope, collection: str) -> None:
    checked_scope(scope)
    checked_key(collection, "a collection's name")


def _checked(chunk: Chunk) -> str:
    """The metadata of ``chunk`` as JSON, when all of it can be kept."""
    checked_key(chunk.id, "a chunk's id")
    if not chunk.text or len(chunk.text) > MAX_CHUNK_CHARS:
        raise InvalidInputError(
            f"a chunk's text has 1 to {MAX_CHUNK_CHARS:,} characters, not {len(chunk.text):,}: "
            "cut it into several chunks"
        )
    checked_text(chunk.text, "a chunk's text")
    metadata: dict[str, Any] = dict(chunk.metadata)
    for key, value in metadata.items():
        checked_key(key, "a key of metadata")
        tag(value)
    text = as_json(metadata)
    checked_text(text, "metadata")
    if len(text.encode()) > MAX_METADATA_BYTES:
        raise InvalidInputError(f"metadata has at most {MAX_METADATA_BYTES:,} bytes of JSON")
    return text
