"""What an agent host and the platform say to each other about what the agent remembers.

Nothing in it says whose it is: that is the run's token alone.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from codin.memory.chunks import DEFAULT_COLLECTION, MAX_FOUND, Mode, Scalar

MAX_NOTES = 10_000
"""In one answer."""

MAX_KEPT_BYTES = 32 * 1024 * 1024
"""Of all that one run keeps."""

_Key = Annotated[str, StringConstraints(min_length=1, max_length=512)]
_Ttl = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True)


class NoteKey(_Asked):
    """The body of ``POST /memory/notes/get`` and ``/memory/notes/delete``."""

    key: _Key


class NotePut(_Asked):
    """The body of ``POST /memory/notes/put``."""

    key: _Key
    value: Any
    ttl: _Ttl | None = None


class NotesWanted(_Asked):
    """The body of ``POST /memory/notes/list``. Where there are more than an answer holds, and no
    fewer are asked for, it is refused."""

    prefix: str = Field("", max_length=512)
    limit: int = Field(1000, ge=0)


class ChunkGiven(_Asked):
    """A chunk to keep; the platform says where its text is."""

    id: _Key
    text: str = Field(min_length=1)
    metadata: dict[str, Scalar] = Field(default_factory=dict)


class ChunksUpsert(_Asked):
    """The body of ``POST /memory/chunks/upsert``."""

    chunks: tuple[ChunkGiven, ...]
    collection: _Key = DEFAULT_COLLECTION
    ttl: _Ttl | None = None


class ChunksWanted(_Asked):
    """The body of ``POST /memory/chunks/search``."""

    query: str
    mode: Mode = "hybrid"
    limit: int = Field(10, le=MAX_FOUND)
    where: dict[str, Scalar | list[Scalar]] = Field(default_factory=dict)
    min_score: float | None = None
    collection: _Key = DEFAULT_COLLECTION


class ChunksDelete(_Asked):
    """The body of ``POST /memory/chunks/delete``."""

    ids: tuple[str, ...]
    collection: _Key = DEFAULT_COLLECTION


class MemoryNote(_Told):
    """A note. Times are in seconds since the epoch."""

    key: str
    value: Any
    updated: float
    expires: float | None = None


class NoteAnswer(_Told):
    """The answer to ``POST /memory/notes/get`` and ``/memory/notes/put``."""

    note: MemoryNote | None = None


class NotesAnswer(_Told):
    """The answer to ``POST /memory/notes/list``."""

    notes: tuple[MemoryNote, ...] = ()


class MemoryChunk(_Told):
    """A chunk that was found."""

    id: str
    text: str
    metadata: dict[str, Scalar]
    score: float
    updated: float
    expires: float | None = None


class ChunksAnswer(_Told):
    """The answer to ``POST /memory/chunks/search``."""

    found: tuple[MemoryChunk, ...] = ()


class Removed(_Told):
    """The answer to what deletes: how many were there."""

    notes: int = 0
    chunks: int = 0
