"""What agents are told of earlier turns of a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from codin.security import Scope

if TYPE_CHECKING:
    from a2a.types import Message


class Conversation(Protocol):
    """The messages of conversations. The scope names user, agent and session (A2A's contextId)."""

    async def history(self, scope: Scope) -> Sequence[Message]:
        """The latest messages, oldest first, as many as an agent should be given."""
        ...

    async def append(self, scope: Scope, message: Message) -> None:
        """Remember a message."""
        ...


class NoConversation:
    """Remembers nothing."""

    async def history(self, scope: Scope) -> Sequence[Message]:
        return ()

    async def append(self, scope: Scope, message: Message) -> None:
        """Do nothing."""
