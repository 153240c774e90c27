"""The contract of notes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from codin.security import Scope

MAX_NOTE_BYTES = 1_000_000
"""Of a note's value, as JSON in UTF-8."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something to keep under a key. ``updated`` and ``expires`` are in seconds since the epoch; a
    note without the latter stays."""

    key: str
    value: Any
    scope: Scope
    updated: float
    expires: float | None = None


class Notes(ABC):
    """Values under keys, each belonging to exactly the scope that it was put with.

    A note whose time is over is not there any more, for any call.
    """

    @abstractmethod
    async def put(self, scope: Scope, key: str, value: Any, *, ttl: float | None = None) -> Note:
        """Keep JSON data under ``key``, replacing what ``scope`` has there; for ``ttl`` seconds, or
        until it is deleted.

        Raises:
            InvalidInputError: the key is empty or longer than 512 characters, the value is no JSON
                data or larger than a million bytes, or the ``ttl`` is not above 0.
        """

    @abstractmethod
    async def get(self, scope: Scope, key: str) -> Note | None:
        """The note that exactly ``scope`` has under ``key``, or ``None``."""

    @abstractmethod
    async def list(self, scope: Scope, *, prefix: str = "", limit: int = 1000) -> list[Note]:
        """The notes within ``scope`` whose keys begin with ``prefix``, by key."""

    @abstractmethod
    async def delete(self, scope: Scope, key: str) -> bool:
        """Delete the note that exactly ``scope`` has under ``key``; whether there was one."""
