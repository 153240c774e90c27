"""The platform's memory as the memory service of ADK."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from google.adk.memory.base_memory_service import BaseMemoryService, SearchMemoryResponse
from google.adk.memory.memory_entry import MemoryEntry
from google.genai import types

from codin.ids import new_id
from codin.memory.base import Chunk, FoundChunk, MemorySystem
from codin.memory.chunks import MAX_CHUNK_CHARS
from codin.security import LOCAL_USER, Scope

if TYPE_CHECKING:
    from google.adk.events.event import Event
    from google.adk.sessions.session import Session

COLLECTION = "adk"


class AdkMemoryService(BaseMemoryService):  # type: ignore[misc]
    """Sessions of the users of ``tenant``, whose events are chunks of ``memory``: of the user, of
    the app as the agent, of the session. A search gives the best ``limit``. With ``scope`` all of
    it is of that scope, whatever the app, the user and the session are called."""

    def __init__(
        self,
        memory: MemorySystem,
        *,
        tenant: str = LOCAL_USER.tenant,
        scope: Scope | None = None,
        limit: int = 10,
    ) -> None:
        self._memory = memory
        self._tenant = tenant
        self._scope = scope
        self._limit = limit

    async def add_session_to_memory(self, session: Session) -> None:
        """Keep the texts of a session; one that is kept already is kept once."""
        await self._keep(session.app_name, session.user_id, session.id, session.events)

    async def add_events_to_memory(
        self,
        *,
        app_name: str,
        user_id: str,
        events: Sequence[Event],
        session_id: str | None = None,
        custom_metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Keep the texts of ``events`` beside what is there; metadata is left out."""
        await self._keep(app_name, user_id, session_id, events)

    async def add_memory(
        self,
        *,
        app_name: str,
        user_id: str,
        memories: Sequence[MemoryEntry],
        custom_metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Keep the texts of ``memories``, of no session; metadata is left out."""
        chunks = [
            _chunk(text, one.id or new_id(), one.author, one.timestamp or _iso(None))
            for one in memories
            if (text := _text(one.content))
        ]
        await self._put(self._of(app_name, user_id), chunks)

    async def search_memory(
        self, *, app_name: str, user_id: str, query: str
    ) -> SearchMemoryResponse:
        """What of the user's sessions with the app fits ``query``, the best first."""
        if not query.strip():
            return SearchMemoryResponse()
        found = await self._memory.chunks.search(
            self._of(app_name, user_id),
            query,
            mode="text" if self._memory.chunks.embedder is None else "hybrid",
            limit=self._limit,
            collection=COLLECTION,
        )
        return SearchMemoryResponse(memories=[_entry(one) for one in found])

    async def delete_memory(
        self, *, app_name: str, user_id: str, memory_id: str | None = None
    ) -> None:
        """Delete what ``search_memory`` gave under the id; without one, all of the user's with the
        app."""
        within = self._of(app_name, user_id)
        found = [entry async for entry in self._memory.export(within) if entry["kind"] == "chunk"]
        for entry in found:
            if entry["collection"] == COLLECTION and memory_id in (None, entry["id"]):
                scope = self._of(app_name, user_id, entry["session"])
                await self._memory.chunks.delete(scope, entry["id"], collection=COLLECTION)

    async def _keep(
        self, app_name: str, user_id: str, session_id: str | None, events: Sequence[Event]
    ) -> None:
        chunks = [
            _chunk(text, event.id or new_id(), event.author, _iso(event.timestamp))
            for event in events
            if not event.partial and (text := _text(event.content))
        ]
        await self._put(self._of(app_name, user_id, session_id or None), chunks)

    def _of(self, app_name: str, user_id: str, session_id: str | None = None) -> Scope:
        return self._scope or Scope(self._tenant, user_id, app_name, session_id)

    async def _put(self, scope: Scope, chunks: Sequence[Chunk]) -> None:
        if chunks:
            await self._memory.chunks.upsert(scope, *chunks, collection=COLLECTION)


def _chunk(text: str, chunk_id: str, author: str | None, timestamp: str) -> Chunk:
    metadata = {"author": author or "", "timestamp": timestamp}
    return Chunk(text[:MAX_CHUNK_CHARS], chunk_id, metadata)


def _text(content: types.Content | None) -> str:
    """What ``content`` says, without what a model only thought."""
    parts = (content.parts if content else None) or ()
    said = " ".join(part.text for part in parts if part.text and not part.thought)
    return said.replace("\0", " ").encode("utf-8", "replace").decode().strip()


def _entry(found: FoundChunk) -> MemoryEntry:
    author = str(found.metadata.get("author", ""))
    role = "user" if author == "user" else "model"
    return MemoryEntry(
        id=found.id,
        content=types.Content(role=role, parts=[types.Part(text=found.text)]),
        author=author or None,
        timestamp=str(found.metadata.get("timestamp", "")) or None,
    )


def _iso(timestamp: float | None) -> str:
    when = datetime.now(UTC) if timestamp is None else datetime.fromtimestamp(timestamp, UTC)
    return when.isoformat(timespec="seconds")
