"""What is remembered between tasks: conversations and notes, each under a scope."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codin.lazy import lazy_names
from codin.memory.base import (
    History,
    MemoryFailure,
    MemoryMessage,
    MemorySystem,
    Note,
    Notes,
    ScopeError,
)

if TYPE_CHECKING:
    from codin.memory.inmemory import InMemoryMemory
    from codin.memory.sqlite import SQLiteMemory

_HOMES = {"inmemory": ("InMemoryMemory",), "sqlite": ("SQLiteMemory",)}

__all__ = [
    "History",
    "InMemoryMemory",
    "MemoryFailure",
    "MemoryMessage",
    "MemorySystem",
    "Note",
    "Notes",
    "SQLiteMemory",
    "ScopeError",
]

__getattr__ = lazy_names(__name__, _HOMES)
