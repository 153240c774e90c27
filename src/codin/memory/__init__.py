"""What is remembered between tasks: conversations and notes, each under a scope."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

_HOMES = {"InMemoryMemory": "inmemory", "SQLiteMemory": "sqlite"}

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


def __getattr__(name: str) -> Any:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'codin.memory' has no attribute {name!r}") from None
    return getattr(import_module(f"codin.memory.{home}"), name)
