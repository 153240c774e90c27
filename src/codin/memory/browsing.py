"""What is in a memory, for people who look at it."""

from __future__ import annotations

import heapq
from collections.abc import Collection
from typing import Any, Literal, get_args

from codin.errors import InvalidInputError
from codin.memory.base import MemorySystem
from codin.security import Scope

Kind = Literal["message", "note", "chunk"]
KINDS: tuple[Kind, ...] = get_args(Kind)


async def newest(
    memory: MemorySystem, scope: Scope, *, kinds: Collection[str] = KINDS, limit: int = 20
) -> list[dict[str, Any]]:
    """The latest ``limit`` things of ``kinds`` within ``scope``, the latest first, as they are
    exported."""
    found = [entry async for entry in memory.export(scope) if entry["kind"] in kinds]
    return heapq.nlargest(limit, found, key=when)


async def entry_named(memory: MemorySystem, scope: Scope, beginning: str) -> dict[str, Any] | None:
    """The one thing within ``scope`` whose id, or key, is ``beginning`` or else begins so; ``None``
    when there is none.

    Raises:
        InvalidInputError: there are several.
    """
    found = [entry async for entry in memory.export(scope) if name_of(entry).startswith(beginning)]
    whole = [entry for entry in found if name_of(entry) == beginning]
    if len(whole or found) > 1:
        shown = ", ".join(f"{entry['kind']} {name_of(entry)}" for entry in (whole or found)[:5])
        raise InvalidInputError(
            f"{len(whole or found)} begin with {beginning!r}: {shown}; say more, or whose it is"
        )
    return next(iter(whole or found), None)


def name_of(entry: dict[str, Any]) -> str:
    """The id of a message or a chunk, the key of a note."""
    return str(entry["key"] if entry["kind"] == "note" else entry["id"])


def when(entry: dict[str, Any]) -> float:
    """When it was said, or kept last, in seconds since the epoch."""
    return float(entry["time"] if entry["kind"] == "message" else entry["updated"])
