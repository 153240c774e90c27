"""Chunks in Redis or Valkey, searched in this process."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from codin.errors import InvalidInputError
from codin.ids import new_id
from codin.memory._checks import covers
from codin.memory._chunk_store import ChunkStore, Outdated, Question, Writing
from codin.memory._exported import exported_chunk
from codin.memory._found import chunk_of
from codin.memory._redis_reembedding import outdated, place, switched
from codin.memory._redis_scripts import CHANGES, REMOVE, WRITE
from codin.memory._redis_server import RedisServer, base_of, narrowed
from codin.memory._replica import Arrived, Replica
from codin.memory.chunks import FoundChunk
from codin.memory.embedder import Embedder, Space, check_space
from codin.memory.errors import MemoryFailure
from codin.security import Scope

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

CACHE_BYTES = 512 * 1024**2
_MOST_BYTES = 256 * 1024**2
"""Of the chunks in one call, which is one command: a server takes no more than four times that."""
_PAGE = 500


@dataclass(slots=True)
class _Held:
    """The replica of one collection: what was there when its last number was ``seen``."""

    replica: Replica = field(default_factory=Replica)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    epoch: str = ""
    seen: int = 0
    upto: int = 0
    size_bytes: int = 0


class RedisChunks(ChunkStore):
    """Chunks at ``server``. Collections that were searched last are held in this process, up to
    ``cache_bytes`` together; before each search what has changed is read."""

    def __init__(self, server: RedisServer, embedder: Embedder | None, *, cache_bytes: int) -> None:
        super().__init__(embedder)
        self._server = server
        self._cache_bytes = cache_bytes
        self._held: OrderedDict[tuple[str, str], _Held] = OrderedDict()

    def let_go(self, base: str = "") -> None:
        """Hold nothing any more, of the user whose keys begin with ``base``."""
        for key in [key for key in self._held if key[0].startswith(base)]:
            del self._held[key]

    async def exported(self, scope: Scope, now: float) -> AsyncIterator[dict[str, Any]]:
        """Those within ``scope``, as JSON objects."""
        base = base_of(scope)
        for name in sorted(await self._server.call("SMEMBERS", f"{base}collections")):
            collection = name.decode()
            embedder = await self._server.call("HGET", f"{base}about:{collection}", "embedder")
            numbers = await self._server.call("ZRANGE", f"{base}numbers:{collection}", 0, -1)
            for at in range(0, len(numbers), _PAGE):
                page = numbers[at : at + _PAGE]
                for kept in await self._server.call("HMGET", f"{base}chunks:{collection}", *page):
                    if kept is None:
                        continue
                    found = _found(scope, kept)
                    if covers(scope, found.scope) and _there(found, now):
                        yield exported_chunk(found, collection, embedder and embedder.decode())

    async def _write(self, scope: Scope, collection: str, writing: Writing) -> None:
        rows: list[str | bytes] = []
        for chunk, metadata, vector in zip(
            writing.chunks, writing.metadata, writing.vectors, strict=True
        ):
            key = _key(scope, chunk.id)
            kept = [key, writing.now, writing.expires, chunk.text, metadata]
            text = json.dumps(kept, ensure_ascii=False).encode()
            rows += [key, text, b"" if vector is None else vector.astype("<f4").tobytes()]
        size = sum(map(len, rows))
        if size > _MOST_BYTES:
            raise InvalidInputError(
                f"{size:,} bytes of chunks at once: put at most {_MOST_BYTES:,} in one call"
            )
        space = writing.space
        about: tuple[str, ...] = (
            "" if writing.expires is None else repr(writing.expires),
            new_id(),
            *(("", "") if space is None else (space.embedder, str(space.dimension))),
        )
        values: tuple[str | bytes | float, ...]
        values = (*narrowed(scope), collection, writing.now, *about, *rows)
        known = await self._server.run(WRITE, base_of(scope), *values)
        if known is not None:
            check_space(collection, _space(*known), space)

    async def _outdated(
        self, scope: Scope | None, collection: str, space: Space, *, most: int, switch: bool
    ) -> list[Outdated]:
        if switch:
            await switched(self._server, scope, collection, space)
        return await outdated(self._server, scope, collection, space, most)

    async def _place(self, keys: Sequence[Any], vectors: NDArray[float32], space: Space) -> int:
        return await place(self._server, keys, vectors, space)

    async def _remove(self, scope: Scope, collection: str, ids: Sequence[str], now: float) -> int:
        keys = [_key(scope, one) for one in ids]
        values: tuple[str | float, ...] = (*narrowed(scope), collection, now, *keys)
        return int(await self._server.run(REMOVE, base_of(scope), *values))

    async def _find(self, scope: Scope, collection: str, question: Question) -> list[FoundChunk]:
        key = base_of(scope), collection
        held = self._held.setdefault(key, _Held())
        self._held.move_to_end(key)
        async with held.lock:
            space = await self._refresh(scope, collection, held)
            if not held.epoch:
                self._held.pop(key, None)
                return []
            check_space(collection, space, question.space)
            found = await asyncio.to_thread(held.replica.found, scope, question)
        self._bound()
        return found

    async def _refresh(self, scope: Scope, collection: str, held: _Held) -> Space | None:
        """Bring what is held to the state that the server is in now; gives the collection's
        space."""
        base = base_of(scope)
        while True:
            answer = await self._server.run(
                *(CHANGES, base, *narrowed(scope), collection, held.epoch, held.seen, held.upto)
            )
            if not answer:
                held.epoch = ""
                return None
            epoch, anew, last, embedder, dimension, gone, rows, more = answer
            if anew:
                held.replica, held.upto = Replica(), 0
            held.epoch = ""  # what is changed half would be no state at all
            space = _space(embedder, dimension)
            if gone or rows:
                arrived = [_arrived(*row) for row in rows]
                await asyncio.to_thread(
                    held.replica.change, [int(one) for one in gone], arrived, space
                )
                held.size_bytes = held.replica.size_bytes
                self._check(collection, held)
            held.upto = int(rows[-1][0]) if more else int(last)
            held.epoch, held.seen = epoch.decode(), int(last)
            if not more:
                return space

    def _check(self, collection: str, held: _Held) -> None:
        if held.size_bytes > self._cache_bytes:
            held.replica = Replica()
            raise MemoryFailure(
                f"the collection {collection!r} is larger than what this process may hold "
                f"({self._cache_bytes:,} bytes): raise cache_bytes, delete chunks, or keep it in a "
                "file or in Postgres"
            )

    def _bound(self) -> None:
        """Let go of what was searched longest ago, until the rest fits."""
        total = sum(held.size_bytes for held in self._held.values())
        while total > self._cache_bytes and len(self._held) > 1:
            _, oldest = self._held.popitem(last=False)
            total -= oldest.size_bytes


def _key(scope: Scope, chunk_id: str) -> str:
    return json.dumps([scope.agent or "", scope.session or "", chunk_id], ensure_ascii=False)


def _space(embedder: bytes | None, dimension: bytes | None) -> Space | None:
    return Space(embedder.decode(), int(dimension)) if embedder and dimension else None


def _found(scope: Scope, kept: bytes) -> FoundChunk:
    key, updated, expires, text, metadata = json.loads(kept)
    agent, session, chunk_id = json.loads(key)
    return chunk_of(scope, (chunk_id, text, metadata, agent, session, updated, expires))


def _there(chunk: FoundChunk, now: float) -> bool:
    return chunk.expires is None or chunk.expires > now


def _arrived(number: bytes, kept: bytes, vector: bytes) -> Arrived:
    key, updated, expires, text, metadata = json.loads(kept)
    agent, session, chunk_id = json.loads(key)
    return Arrived(int(number), agent, session, chunk_id, updated, expires, text, metadata, vector)
