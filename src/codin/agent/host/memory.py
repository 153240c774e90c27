"""What an agent in a host remembers of its caller: a memory that is the platform's."""

from __future__ import annotations

import builtins
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from pydantic import BaseModel

from codin.agent.host.memory_wire import (
    ChunkGiven,
    ChunksAnswer,
    ChunksDelete,
    ChunksUpsert,
    ChunksWanted,
    MemoryNote,
    NoteAnswer,
    NoteKey,
    NotePut,
    NotesAnswer,
    NotesWanted,
    Removed,
)
from codin.agent.host.platform_client import PlatformClient
from codin.agent.host.wire import MAX_BODY, MemoryInfo, PlatformRefused
from codin.errors import InvalidInputError
from codin.memory.base import (
    Chunk,
    Chunks,
    Contents,
    FoundChunk,
    History,
    MemoryFailure,
    MemoryMessage,
    MemorySystem,
    Note,
    Notes,
    ScopeError,
)
from codin.memory.chunks import DEFAULT_COLLECTION, Mode, Vector, Where
from codin.security import Scope

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

M = TypeVar("M", bound=BaseModel)


class RunMemory(MemorySystem):
    """The memory that a run has of ``scope``, which is its caller's with its agent; the platform
    takes no other, and looks at the run's token for it.

    Conversations are the platform's: a task has what was said. The collection ``default`` is its
    own too; texts go into others, and the platform's embedder says where they are.

    Raises, for every call: ``ScopeError`` where it is about another scope, ``InvalidInputError``
    for what the platform does not take, and ``MemoryFailure`` where the run may not, has ended, or
    the platform cannot be reached.
    """

    def __init__(
        self, platform: PlatformClient, token: str, scope: Scope, info: MemoryInfo
    ) -> None:
        self._way = _Way(platform, token, scope)
        self.history = _History()
        self.notes = _Notes(self._way)
        self.chunks = _Chunks(self._way, info)

    async def forget(self, scope: Scope) -> Contents:
        """Delete what the agent has kept, one after the other."""
        gone = await self._way.ask(scope, "forget", Removed)
        return Contents(notes=gone.notes, chunks=gone.chunks)

    async def contents(self, scope: Scope) -> Contents:
        there = await self._way.ask(scope, "contents", Removed)
        return Contents(notes=there.notes, chunks=there.chunks)

    async def export(self, scope: Scope) -> AsyncIterator[dict[str, Any]]:
        async for line in self._way.lines(scope, "export"):
            yield json.loads(line)

    async def close(self) -> None:
        """Do nothing: it ends with the run."""


class _Way:
    """The way to the platform, for one scope."""

    def __init__(self, platform: PlatformClient, token: str, scope: Scope) -> None:
        self._platform = platform
        self._token = token
        self._scope = scope

    async def ask(
        self, scope: Scope, verb: str, answer: type[M], body: Callable[[], BaseModel] | None = None
    ) -> M:
        """What the platform says to ``verb``."""
        self.check(scope)
        try:
            asked = "{}" if body is None else body().model_dump_json()
        except ValueError as error:  # pydantic's own are of that kind
            raise InvalidInputError(f"this cannot be told to the platform: {error}") from error
        if len(asked.encode()) > MAX_BODY:
            raise InvalidInputError(f"at most {MAX_BODY:,} bytes at once: keep less in one call")
        try:
            return await self._platform.memory(self._token, verb, asked, answer)
        except PlatformRefused as error:
            _refused(error)

    async def lines(self, scope: Scope, verb: str) -> AsyncIterator[str]:
        """The lines that the platform says to ``verb``."""
        self.check(scope)
        try:
            async for line in self._platform.memory_lines(self._token, verb):
                yield line
        except PlatformRefused as error:
            _refused(error)

    def check(self, scope: Scope) -> None:
        """That ``scope`` is the run's."""
        if scope != self._scope:
            raise ScopeError(
                f"the memory of this run is of {self._scope}, and of nothing else: not of {scope}"
            )

    def note(self, told: MemoryNote) -> Note:
        """A note as the platform tells it."""
        return Note(told.key, told.value, self._scope, told.updated, told.expires)


class _History(History):
    async def append(self, scope: Scope, *messages: MemoryMessage) -> None:
        raise MemoryFailure("the platform keeps conversations itself: keep a note or a chunk")

    async def list(
        self, scope: Scope, *, limit: int = 1000, before: str | None = None
    ) -> builtins.list[MemoryMessage]:
        raise MemoryFailure("the platform keeps conversations itself: the task's history has them")


class _Notes(Notes):
    def __init__(self, way: _Way) -> None:
        self._way = way

    async def put(self, scope: Scope, key: str, value: Any, *, ttl: float | None = None) -> Note:
        # With it comes what databases need, of which a host has no use until then.
        from codin.memory._checks import expiry, note_json

        note_json(value)
        expiry(ttl, 0)
        told = await self._way.ask(
            scope, "notes/put", NoteAnswer, lambda: NotePut(key=key, value=value, ttl=ttl)
        )
        if told.note is None:
            raise MemoryFailure("the platform's answer has no note in it")
        return self._way.note(told.note)

    async def get(self, scope: Scope, key: str) -> Note | None:
        told = await self._way.ask(scope, "notes/get", NoteAnswer, lambda: NoteKey(key=key))
        return None if told.note is None else self._way.note(told.note)

    async def list(
        self, scope: Scope, *, prefix: str = "", limit: int = 1000
    ) -> builtins.list[Note]:
        told = await self._way.ask(
            scope,
            "notes/list",
            NotesAnswer,
            lambda: NotesWanted(prefix=prefix, limit=max(limit, 0)),
        )
        return [self._way.note(one) for one in told.notes]

    async def delete(self, scope: Scope, key: str) -> bool:
        told = await self._way.ask(scope, "notes/delete", Removed, lambda: NoteKey(key=key))
        return told.notes > 0


class _PlatformEmbedder:
    """Stands for the embedder that the platform asks."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def embed(
        self, texts: Sequence[str], *, query: bool = False
    ) -> Sequence[Sequence[float]] | NDArray[float32]:
        raise MemoryFailure("the platform says where texts are, and tells nobody")


class _Chunks(Chunks):
    def __init__(self, way: _Way, info: MemoryInfo) -> None:
        self._way = way
        self.embedder = None if info.embedder is None else _PlatformEmbedder(info.embedder)

    async def upsert(
        self,
        scope: Scope,
        *chunks: Chunk,
        collection: str = DEFAULT_COLLECTION,
        ttl: float | None = None,
    ) -> None:
        _no_vector(chunk.vector for chunk in chunks)

        def body() -> ChunksUpsert:
            given = [
                ChunkGiven(id=one.id, text=one.text, metadata=dict(one.metadata)) for one in chunks
            ]
            return ChunksUpsert(chunks=tuple(given), collection=collection, ttl=ttl)

        await self._way.ask(scope, "chunks/upsert", Removed, body)

    async def delete(self, scope: Scope, *ids: str, collection: str = DEFAULT_COLLECTION) -> int:
        self._way.check(scope)
        if not ids:
            return 0
        told = await self._way.ask(
            scope, "chunks/delete", Removed, lambda: ChunksDelete(ids=ids, collection=collection)
        )
        return told.chunks

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
        _no_vector([vector])

        def body() -> ChunksWanted:
            return ChunksWanted.model_validate(
                {
                    "query": query,
                    "mode": mode,
                    "limit": limit,
                    "where": where or {},
                    "min_score": min_score,
                    "collection": collection,
                }
            )

        told = await self._way.ask(scope, "chunks/search", ChunksAnswer, body)
        return [
            FoundChunk(one.id, one.text, one.metadata, scope, one.score, one.updated, one.expires)
            for one in told.found
        ]

    def reembed(
        self, scope: Scope | None, *, collection: str = DEFAULT_COLLECTION, batch: int = 100
    ) -> AsyncIterator[int]:
        raise MemoryFailure("texts are embedded anew by the platform's operator, not by an agent")


def _no_vector(vectors: Any) -> None:
    if any(one is not None for one in vectors):
        raise InvalidInputError("the platform says where texts are: give no vectors")


def _refused(error: PlatformRefused) -> NoReturn:
    if error.status in (400, 413):
        raise InvalidInputError(str(error)) from error
    raise MemoryFailure(str(error)) from error
