"""What agents in hosts remember: the part of the host API that is about it.

    POST /memory/notes/get|put|list|delete       values under keys
    POST /memory/chunks/upsert|search|delete     texts that are found again
    POST /memory/export                          all of it, a line of JSON each
    POST /memory/contents, /memory/forget        how much of it there is; and delete it

All of it is of one scope, which follows from the run: its caller, its agent, and no session, so
that the agent has it in the caller's next run too. A request cannot name another. What the platform
keeps by itself, conversations and the chunks of its own collection, is not in reach.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from codin.agent.host.memory_wire import (
    MAX_KEPT_BYTES,
    MAX_NOTES,
    ChunksAnswer,
    ChunksDelete,
    ChunksUpsert,
    ChunksWanted,
    MemoryChunk,
    MemoryNote,
    NoteAnswer,
    NoteKey,
    NotePut,
    NotesAnswer,
    NotesWanted,
    Removed,
)
from codin.agent.host.wire import MAX_BODY, MemoryInfo
from codin.errors import CodinError, InvalidInputError
from codin.gateway._host_bodies import read_body
from codin.memory.base import Chunk, EmbeddingError, MemorySystem, Note, ScopeError
from codin.memory.chunks import DEFAULT_COLLECTION
from codin.security import Authorizer, RunGrant, Scope

_log = logging.getLogger("codin.host_api")

_READ, _WRITE = "memory.read", "memory.write"
_DELETED = 1_000

B = TypeVar("B", bound=BaseModel)
T = TypeVar("T")
Do = Callable[[Scope, B], Awaitable[BaseModel]]


class HostMemory:
    """What agents in hosts may do with ``memory``, for callers whom ``authorizer`` allows to read
    or to write theirs."""

    def __init__(self, memory: MemorySystem, authorizer: Authorizer) -> None:
        self._memory = memory
        self._authorizer = authorizer
        self._kept: dict[tuple[str, int], tuple[float, int]] = {}

    def info(self, grant: RunGrant) -> MemoryInfo | None:
        """What a run is told of its memory; nothing where its caller may not read theirs."""
        if not self._authorizer.allows(grant.principal, _READ):
            return None
        embedder = self._memory.chunks.embedder
        return MemoryInfo(embedder=None if embedder is None else embedder.name)

    def routes(self, grant_of: Callable[[Request], RunGrant]) -> list[BaseRoute]:
        """The routes; ``grant_of`` gives the run behind a request, or refuses it."""

        def route(path: str, asked: type[B], needed: str, do: Do[B]) -> Route:
            async def answer(request: Request) -> Response:
                scope, body = await self._allowed(request, grant_of(request), asked, needed)
                return _answer(await _told(do(scope, body)))

            return Route(f"/memory/{path}", answer, methods=["POST"])

        async def export(request: Request) -> Response:
            scope, _ = await self._allowed(request, grant_of(request), _Nothing, _READ)
            return StreamingResponse(self._lines(scope), media_type="application/jsonl")

        return [
            route("notes/get", NoteKey, _READ, self._get),
            route("notes/list", NotesWanted, _READ, self._list),
            route("notes/put", NotePut, _WRITE, self._put),
            route("notes/delete", NoteKey, _WRITE, self._drop),
            route("chunks/search", ChunksWanted, _READ, self._search),
            route("chunks/upsert", ChunksUpsert, _WRITE, self._upsert),
            route("chunks/delete", ChunksDelete, _WRITE, self._delete),
            route("contents", _Nothing, _READ, self._contents),
            route("forget", _Nothing, _WRITE, self._forget),
            Route("/memory/export", export, methods=["POST"]),
        ]

    async def _allowed(
        self, request: Request, grant: RunGrant, asked: type[B], needed: str
    ) -> tuple[Scope, B]:
        if not self._authorizer.allows(grant.principal, needed):
            raise HTTPException(403, f"the caller of this run has no permission {needed}")
        body = await read_body(request, asked)
        collection = getattr(body, "collection", None)
        if collection == DEFAULT_COLLECTION:
            raise HTTPException(
                403, f"the collection {collection!r} is the platform's: agents use others"
            )
        if isinstance(body, NotePut | ChunksUpsert):
            self._count(grant, len(await request.body()))
        return Scope.of(grant.principal, agent=grant.agent_id), body

    def _count(self, grant: RunGrant, size: int) -> None:
        """Take into account that a run keeps so many bytes more."""
        run = (grant.task_id, grant.turn)
        _, kept = self._kept.get(run, (0.0, 0))
        if kept + size > MAX_KEPT_BYTES:
            raise HTTPException(
                413, f"one run keeps at most {MAX_KEPT_BYTES:,} bytes, and has kept {kept:,}"
            )
        if run not in self._kept:
            now = time.time()
            self._kept = {one: of for one, of in self._kept.items() if of[0] > now}
        self._kept[run] = (grant.expires_at, kept + size)

    async def _get(self, scope: Scope, asked: NoteKey) -> NoteAnswer:
        note = await self._memory.notes.get(scope, asked.key)
        return NoteAnswer(note=None if note is None else _note(note))

    async def _put(self, scope: Scope, asked: NotePut) -> NoteAnswer:
        note = await self._memory.notes.put(scope, asked.key, asked.value, ttl=asked.ttl)
        return NoteAnswer(note=_note(note))

    async def _list(self, scope: Scope, asked: NotesWanted) -> NotesAnswer:
        found = await self._memory.notes.list(scope, prefix=asked.prefix, limit=MAX_NOTES + 1)
        if len(found) > MAX_NOTES and asked.limit > MAX_NOTES:
            raise HTTPException(413, f"more than {MAX_NOTES:,} notes: give a longer prefix")
        notes = [_note(one) for one in found if one.scope == scope]
        return NotesAnswer(notes=tuple(notes[: asked.limit]))

    async def _drop(self, scope: Scope, asked: NoteKey) -> Removed:
        return Removed(notes=int(await self._memory.notes.delete(scope, asked.key)))

    async def _search(self, scope: Scope, asked: ChunksWanted) -> ChunksAnswer:
        found = await self._memory.chunks.search(
            scope,
            asked.query,
            mode=asked.mode,
            limit=asked.limit,
            where=asked.where,
            min_score=asked.min_score,
            collection=asked.collection,
        )
        told = [
            MemoryChunk(
                id=one.id,
                text=one.text,
                metadata=dict(one.metadata),
                score=one.score,
                updated=one.updated,
                expires=one.expires,
            )
            for one in found
            if one.scope == scope
        ]
        return ChunksAnswer(found=tuple(told))

    async def _upsert(self, scope: Scope, asked: ChunksUpsert) -> Removed:
        chunks = [Chunk(one.text, one.id, one.metadata) for one in asked.chunks]
        await self._memory.chunks.upsert(scope, *chunks, collection=asked.collection, ttl=asked.ttl)
        return Removed()

    async def _delete(self, scope: Scope, asked: ChunksDelete) -> Removed:
        count = await self._memory.chunks.delete(scope, *asked.ids, collection=asked.collection)
        return Removed(chunks=count)

    async def _contents(self, scope: Scope, _: _Nothing) -> Removed:
        kinds = [entry["kind"] async for entry in self._entries(scope)]
        return Removed(notes=kinds.count("note"), chunks=kinds.count("chunk"))

    async def _forget(self, scope: Scope, _: _Nothing) -> Removed:
        notes, ids = list[str](), dict[str, list[str]]()
        async for entry in self._entries(scope):
            if entry["kind"] == "note":
                notes.append(entry["key"])
            else:
                ids.setdefault(entry["collection"], []).append(entry["id"])
        gone = sum([await self._memory.notes.delete(scope, key) for key in notes])
        chunks = 0
        for collection, all_of in ids.items():
            for at in range(0, len(all_of), _DELETED):
                some = all_of[at : at + _DELETED]
                chunks += await self._memory.chunks.delete(scope, *some, collection=collection)
        return Removed(notes=gone, chunks=chunks)

    async def _lines(self, scope: Scope) -> AsyncIterator[str]:
        async for entry in self._entries(scope):
            yield json.dumps(entry, ensure_ascii=False) + "\n"

    async def _entries(self, scope: Scope) -> AsyncIterator[dict[str, Any]]:
        """What there is of the agent's own."""
        async for entry in self._memory.export(scope):
            own = entry["kind"] != "message" and entry["session"] is None
            if own and entry.get("collection") != DEFAULT_COLLECTION:
                yield entry


class _Nothing(BaseModel, extra="forbid"):
    """The body of what asks for nothing in particular."""


def _note(note: Note) -> MemoryNote:
    return MemoryNote(key=note.key, value=note.value, updated=note.updated, expires=note.expires)


async def _told(work: Awaitable[T]) -> T:
    """What comes of ``work``, or of what the host did wrong; what else goes wrong is the
    platform's own, and a sandbox is not told of its inside."""
    try:
        return await work
    except (InvalidInputError, ScopeError, EmbeddingError) as error:
        raise HTTPException(400, str(error)) from None
    except CodinError as error:
        _log.warning("the memory of an agent cannot be used: %s", error)
        raise HTTPException(
            503, "the platform's memory cannot be used just now; its log says why"
        ) from None


def _answer(told: BaseModel) -> Response:
    body = told.model_dump_json().encode()
    if len(body) > MAX_BODY:
        raise HTTPException(
            413, f"an answer of {len(body):,} bytes, and at most {MAX_BODY:,}: ask for fewer"
        )
    return Response(body, media_type="application/json")
