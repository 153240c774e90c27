"""The contract of conversations."""

from __future__ import annotations

import builtins
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from codin.ids import new_id
from codin.security import Scope


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
