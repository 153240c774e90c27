"""What is remembered between tasks: conversations, notes and chunks of text, each under a scope."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codin.lazy import lazy_names
from codin.memory.base import (
    Chunk,
    Chunks,
    Contents,
    Embedder,
    EmbeddingError,
    FoundChunk,
    History,
    MemoryFailure,
    MemoryMessage,
    MemorySystem,
    Note,
    Notes,
    ScopeError,
)

if TYPE_CHECKING:
    from codin.memory.compacting import Summarise, Summary
    from codin.memory.inmemory import InMemoryMemory
    from codin.memory.opening import open_memory
    from codin.memory.postgres import PostgresMemory
    from codin.memory.redis import RedisMemory
    from codin.memory.sqlite import SQLiteMemory

_HOMES = {
    "compacting": ("Summarise", "Summary"),
    "inmemory": ("InMemoryMemory",),
    "opening": ("open_memory",),
    "postgres": ("PostgresMemory",),
    "redis": ("RedisMemory",),
    "sqlite": ("SQLiteMemory",),
}

__all__ = [
    "Chunk",
    "Chunks",
    "Contents",
    "Embedder",
    "EmbeddingError",
    "FoundChunk",
    "History",
    "InMemoryMemory",
    "MemoryFailure",
    "MemoryMessage",
    "MemorySystem",
    "Note",
    "Notes",
    "PostgresMemory",
    "RedisMemory",
    "SQLiteMemory",
    "ScopeError",
    "Summarise",
    "Summary",
    "open_memory",
]

__getattr__ = lazy_names(__name__, _HOMES)
