"""What was kept, as the JSON objects of an export."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from codin.memory.chunks import FoundChunk
from codin.memory.history import MemoryMessage
from codin.memory.notes import Note
from codin.security import Scope


def exported_message(scope: Scope, message: MemoryMessage) -> dict[str, Any]:
    """A message, and whose it is."""
    return {"kind": "message", **asdict(scope), **asdict(message)}


def exported_note(note: Note) -> dict[str, Any]:
    """A note."""
    kept = {"key": note.key, "value": note.value, "updated": note.updated, "expires": note.expires}
    return {"kind": "note", **asdict(note.scope), **kept}


def exported_chunk(chunk: FoundChunk, collection: str, embedder: str | None) -> dict[str, Any]:
    """A chunk, whose vector is by ``embedder``."""
    kept = asdict(chunk)
    del kept["score"], kept["scope"]
    whose = {**asdict(chunk.scope), "collection": collection}
    return {"kind": "chunk", **whose, **kept, "embedder": embedder}
