"""The contract of memory.

A ``Scope`` stands on every call and the store itself enforces it: tenant and user have to be
equal, always. Agent and session narrow further where they are given: a scope without an agent
covers the data of all of the user's agents, a scope with one covers that agent's only; the same
holds for sessions.
"""

from __future__ import annotations

import builtins
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from codin.errors import CodinError
from codin.ids import new_id
from codin.security import Scope


class MemoryFailure(CodinError):
    """Base of the memory's errors: the store cannot be read or written."""


class ScopeError(MemoryFailure):
    """The scope is too wide for this call; the message says what it lacks."""


@dataclass(frozen=True, slots=True)
class MemoryMessage:
    """One message of a conversation. ``time`` is in seconds since the epoch.

    ``body`` keeps the whole message as JSON data, such as an A2A message, beside its ``text``.
    """

    role: Literal["user", "agent"]
    text: str
    id: str = field(default_factory=new_id)
    task_id: str | None = None
    time: float = field(default_factory=time.time)
    body: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """Something to keep under a key. ``updated`` is in seconds since the epoch."""

    key: str
    value: Any
    scope: Scope
    updated: float


CountTokens = Callable[[str], int]


def estimate_tokens(text: str) -> int:
    """A rough count of a text's tokens: a quarter of its bytes, and 4 for the message's frame."""
    return len(text.encode("utf-8", "replace")) // 4 + 4


class History(ABC):
    """Conversations: messages in the order in which they were appended."""

    @abstractmethod
    async def append(self, scope: Scope, *messages: MemoryMessage) -> None:
        """Add messages to the session of ``scope``, all or none. One with an id that is there is
        not added.

        Raises:
            ScopeError: the scope names no session.
        """

    @abstractmethod
    async def list(
        self, scope: Scope, *, limit: int = 1000, before: str | None = None
    ) -> list[MemoryMessage]:
        """The newest ``limit`` messages within ``scope``, oldest first.

        ``before`` is the id of a message: only older ones are given, none when it is unknown.
        """

    async def window(
        self,
        scope: Scope,
        *,
        max_tokens: int | None = None,
        max_messages: int | None = None,
        count_tokens: CountTokens = estimate_tokens,
    ) -> builtins.list[MemoryMessage]:
        """The newest messages that fit into both bounds, oldest first; whole messages only."""
        messages = await self.list(scope, limit=min(max_messages or 1000, 1000))
        if max_tokens is None:
            return messages
        fitting: builtins.list[MemoryMessage] = []
        left = max_tokens
        for message in reversed(messages):
            left -= count_tokens(message.text)
            if left < 0:
                break
            fitting.append(message)
        return fitting[::-1]


class Notes(ABC):
    """Values under keys, each belonging to exactly the scope that it was put with."""

    @abstractmethod
    async def put(self, scope: Scope, key: str, value: Any) -> Note:
        """Keep JSON data under ``key``, replacing what ``scope`` has there.

        Raises:
            InvalidInputError: the key is empty or longer than 512 characters, or the value is no
                JSON data.
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


class MemorySystem(ABC):
    """All that is remembered. Stores of other kinds join it under the same rules of scope."""

    history: History
    notes: Notes

    @abstractmethod
    async def forget(self, scope: Scope) -> int:
        """Delete everything within ``scope``; gives how many entries there were."""

    @abstractmethod
    async def close(self) -> None:
        """Finish what was begun and let go. Safe to call twice."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
