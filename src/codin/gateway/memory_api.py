"""What is remembered of the caller, under ``/api/memory``: looked at, searched, taken along, and
forgotten."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from starlette.responses import Response, StreamingResponse

from codin.errors import InvalidInputError, NotFoundError
from codin.gateway.auth import principal_of
from codin.gateway.base import GatewayParts
from codin.gateway.openapi import Call, Endpoint, Media, Parameters
from codin.memory.base import Contents, MemorySystem
from codin.memory.browsing import KINDS, newest
from codin.memory.chunks import DEFAULT_COLLECTION, Mode
from codin.security import Scope

_NAME = r"^[^\u0000]*$"
_NAMED: list[JsonValue] = [
    {"required": ["agent"], "properties": {"agent": {"minLength": 1}}},
    {"required": ["session"], "properties": {"session": {"minLength": 1}}},
    {"required": ["everything"], "properties": {"everything": {"const": True}}},
]


class Whose(Parameters):
    """``agent`` and ``session`` narrow it; without them it is all of the caller's."""

    agent: str = Field(default="", max_length=512, pattern=_NAME)
    session: str = Field(default="", max_length=512, pattern=_NAME)


class EntriesQuery(Whose):
    """``kind`` is one of message, note and chunk; ``limit`` at most 1,000."""

    kind: Literal["", "message", "note", "chunk"] = ""
    limit: str = Field(default="20", pattern=r"^([1-9][0-9]{0,2}|1000)$")


class MemorySearchQuery(Whose):
    """``mode=text`` is by words alone; else meaning counts too, where there is an embedder."""

    query: str = Field(default="", max_length=10_000, pattern=_NAME)
    mode: Literal["", "text"] = ""
    collection: str = Field(default=DEFAULT_COLLECTION, min_length=1, max_length=512, pattern=_NAME)
    limit: str = Field(default="10", pattern=r"^([1-9][0-9]?|100)$")


class MemoryContents(BaseModel):
    """How much there is, or was, of each kind."""

    messages: int
    notes: int
    chunks: int


class MemoryEntries(BaseModel):
    """Messages, notes and chunks as they are exported."""

    entries: list[dict[str, Any]]


class FoundPiece(BaseModel):
    """A chunk that was found, and how well it fits."""

    id: str
    text: str
    metadata: dict[str, Any]
    agent: str | None
    session: str | None
    score: float
    updated: float
    expires: float | None


class FoundPieces(BaseModel):
    """The best first."""

    chunks: list[FoundPiece]


class Forgetting(BaseModel):
    """What is to be forgotten: that of an ``agent`` or a ``session``, or of both together; without
    them ``everything``, if that is true."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"anyOf": _NAMED})

    agent: str = Field(default="", max_length=512, pattern=_NAME)
    session: str = Field(default="", max_length=512, pattern=_NAME)
    everything: bool = False


class MemoryApi:
    """The handlers behind ``/api/memory``, for one gateway. Each answers for its caller alone."""

    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts

    @property
    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        return [
            Endpoint("GET", "/api/memory", self.memory, "How much is remembered.",
                     MemoryContents, query=Whose, errors=[404]),
            Endpoint("GET", "/api/memory/entries", self.memory_entries,
                     "What is remembered, the latest first.", MemoryEntries, query=EntriesQuery,
                     errors=[404]),
            Endpoint("GET", "/api/memory/search", self.memory_search,
                     "What is remembered and fits a text.", FoundPieces, query=MemorySearchQuery,
                     errors=[404]),
            Endpoint("GET", "/api/memory/export", self.memory_export,
                     "All that is remembered, as lines of JSON.", Media("application/x-ndjson"),
                     query=Whose, errors=[404]),
            Endpoint("POST", "/api/memory/forget", self.memory_forget,
                     "Forget what is remembered.", MemoryContents, body=Forgetting, errors=[404]),
        ]  # fmt: skip

    async def memory(self, call: Call) -> MemoryContents:
        memory, scope = await self._read(call)
        return _counted(await memory.contents(scope))

    async def memory_entries(self, call: Call) -> MemoryEntries:
        memory, scope = await self._read(call)
        query: EntriesQuery = call.query
        kinds = (query.kind,) if query.kind else KINDS
        found = await newest(memory, scope, kinds=kinds, limit=int(query.limit))
        return MemoryEntries(entries=found)

    async def memory_search(self, call: Call) -> FoundPieces:
        memory, scope = await self._read(call)
        query: MemorySearchQuery = call.query
        if not query.query.strip():
            return FoundPieces(chunks=[])
        default: Mode = "text" if memory.chunks.embedder is None else "hybrid"
        found = await memory.chunks.search(
            scope,
            query.query,
            mode=query.mode or default,
            limit=int(query.limit),
            collection=query.collection,
        )
        pieces = [
            FoundPiece(
                id=one.id,
                text=one.text,
                metadata=dict(one.metadata),
                agent=one.scope.agent,
                session=one.scope.session,
                score=one.score,
                updated=one.updated,
                expires=one.expires,
            )
            for one in found
        ]
        return FoundPieces(chunks=pieces)

    async def memory_export(self, call: Call) -> Response:
        memory, scope = await self._read(call)
        headers = {"content-disposition": 'attachment; filename="memory.jsonl"'}
        return StreamingResponse(
            _lines(memory, scope), media_type="application/x-ndjson", headers=headers
        )

    async def memory_forget(self, call: Call) -> MemoryContents:
        body: Forgetting = call.body
        if not (body.everything or body.agent or body.session):
            raise InvalidInputError(
                "say what to forget: that of an agent, of a session, or everything: true"
            )
        principal = principal_of(call.request)
        scope = Scope.of(principal, agent=body.agent or None, session=body.session or None)
        detail = {"agent": body.agent, "session": body.session}
        async with self._parts.access.doing(
            principal, "memory.write", resource="forget", detail=detail
        ):
            return _counted(await self._memory().forget(scope))

    async def _read(self, call: Call) -> tuple[MemorySystem, Scope]:
        """The memory, and what of it the call is about."""
        principal = principal_of(call.request)
        await self._parts.access.require(principal, "memory.read")
        query: Whose = call.query
        agent, session = query.agent or None, query.session or None
        return self._memory(), Scope.of(principal, agent=agent, session=session)

    def _memory(self) -> MemorySystem:
        if self._parts.memory is None:
            raise NotFoundError("nothing is remembered here")
        return self._parts.memory


async def _lines(memory: MemorySystem, scope: Scope) -> AsyncIterator[bytes]:
    async for entry in memory.export(scope):
        yield json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _counted(contents: Contents) -> MemoryContents:
    return MemoryContents(messages=contents.messages, notes=contents.notes, chunks=contents.chunks)
