"""The contract of memory.

A ``Scope`` stands on every call, and the store itself enforces it:

- ``tenant`` and ``user`` have to be equal, always, to the letter. No value of them means several.
- ``agent`` and ``session`` say, when something is kept, which agent's and which session's it is;
  ``None``: no agent's, no session's. When something is listed, searched, exported or forgotten,
  they narrow: ``None`` covers all agents and what is no agent's, a name only what is of that
  name. The same holds for sessions.
- ``get``, ``delete`` and replacing are about exactly one scope: there ``None`` is no agent.
- An empty agent or session is refused: it could mean either.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from codin.memory.chunks import Chunk, Chunks, FoundChunk
from codin.memory.embedder import Embedder
from codin.memory.errors import EmbeddingError, MemoryFailure, ScopeError
from codin.memory.history import CountTokens, History, MemoryMessage, estimate_tokens
from codin.memory.notes import Note, Notes
from codin.security import Scope

if TYPE_CHECKING:
    from codin.memory.compacting import Summarise, Summary

__all__ = [
    "Chunk",
    "Chunks",
    "Contents",
    "CountTokens",
    "Embedder",
    "EmbeddingError",
    "FoundChunk",
    "History",
    "MemoryFailure",
    "MemoryMessage",
    "MemorySystem",
    "Note",
    "Notes",
    "ScopeError",
    "estimate_tokens",
]


@dataclass(frozen=True, slots=True)
class Contents:
    """How much there is, or was, of each kind."""

    messages: int = 0
    notes: int = 0
    chunks: int = 0

    @property
    def total(self) -> int:
        """All of them together."""
        return self.messages + self.notes + self.chunks


class MemorySystem(ABC):
    """All that is remembered. Every call of every kind raises ``ScopeError`` when the agent or the
    session of its scope is empty text."""

    history: History
    notes: Notes
    chunks: Chunks

    @abstractmethod
    async def forget(self, scope: Scope) -> Contents:
        """Delete everything within ``scope``, in one transaction; gives what that was, with what
        had run out and was still kept. ``contents`` proves it."""

    async def compact(
        self,
        scope: Scope,
        summarise: Summarise,
        *,
        keep_tokens: int = 750,
        count_tokens: CountTokens = estimate_tokens,
    ) -> Summary | None:
        """Sum up what is old in the conversation of exactly ``scope``: all but its newest messages,
        which have ``keep_tokens`` together, and the summary before it. ``None`` when there is
        nothing to sum up.

        The summary is a message of the same scope that names its sources, which stay until they are
        forgotten, and it with them. Windows give it in their place.

        Raises:
            ScopeError: the scope names no session.
            InvalidInputError: the summary is empty or longer than 20,000 characters.
            Exception: whatever ``summarise`` raises; nothing is written then.
        """
        from codin.memory.compacting import compact

        return await compact(
            self, scope, summarise, keep_tokens=keep_tokens, count_tokens=count_tokens
        )

    @abstractmethod
    async def contents(self, scope: Scope) -> Contents:
        """What is kept within ``scope``, with what has run out and is not deleted yet."""

    @abstractmethod
    def export(self, scope: Scope) -> AsyncIterator[dict[str, Any]]:
        """Everything within ``scope``, as JSON objects: ``kind`` is ``message``, ``note`` or
        ``chunk``; ``tenant``, ``user``, ``agent`` and ``session`` say whose it is. Vectors are left
        out: they follow from texts. What is written meanwhile may be in it or not."""

    @abstractmethod
    async def close(self) -> None:
        """Finish what was begun and let go. Safe to call twice."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
