"""The memory of whichever kind an address names."""

from __future__ import annotations

import os
import re
from pathlib import Path

from codin.errors import InvalidInputError
from codin.memory.base import Embedder, MemorySystem
from codin.memory.errors import MemoryFailure

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):", re.IGNORECASE)
_POSTGRES = ("postgresql", "postgres")
_REDIS = ("redis", "rediss", "unix")


def open_memory(where: str | os.PathLike[str], *, embedder: Embedder | None = None) -> MemorySystem:
    """The memory at ``where``, opened by its first use: ``memory:`` (gone with the process), a path
    or ``sqlite:PATH`` (a file), ``postgresql://...``, ``redis://...``, ``rediss://...`` or
    ``unix:///path/of/redis.sock``.

    Raises:
        InvalidInputError: there is no memory at such an address.
        MemoryFailure: what it needs is not installed.
    """
    text = os.fspath(where)
    found = _SCHEME.match(text) if isinstance(where, str) else None
    scheme = found[1].lower() if found else "sqlite"
    rest = text[found.end() :] if found else text
    if scheme == "memory" and not rest:
        from codin.memory.inmemory import InMemoryMemory

        return InMemoryMemory(embedder=embedder)
    if scheme == "sqlite" and rest:
        from codin.memory.sqlite import SQLiteMemory

        # As others write them: three slashes before a path, of which the last may be its own.
        path = rest.removeprefix("//")
        return SQLiteMemory(Path(path), embedder=embedder)
    if scheme in _POSTGRES:
        try:
            from codin.memory.postgres import PostgresMemory
        except ModuleNotFoundError as error:
            raise MemoryFailure(
                f"memory in Postgres needs {error.name}: pip install 'codin[postgres]'"
            ) from error
        return PostgresMemory(text, embedder=embedder)
    if scheme in _REDIS:
        from codin.memory.redis import RedisMemory

        return RedisMemory(text, embedder=embedder)
    raise InvalidInputError(
        f"there is no memory at an address that begins with {scheme}: - give a path, sqlite:PATH, "
        "postgresql://..., redis://..., rediss://..., unix:///path/of/redis.sock, or memory:"
    )
