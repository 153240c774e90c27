"""The contract of conversations."""

from __future__ import annotations

import builtins
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from codin.ids import new_id
from codin.security import Scope

_SUMMARY = "codin_summary"
"""Key in the body of a message that sums others up."""

_MOST = 1000


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
        self, scope: Scope, *, limit: int = _MOST, before: str | None = None
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
        """The newest messages that fit into both bounds, oldest first; whole messages only.

        What was summed up is not among them: the summary is, before all others, as far as it fits
        into half of the bounds.
        """
        most = min(max_messages or _MOST, _MOST)
        found = uncovered(await self.list(scope, limit=_MOST))
        summaries = [one for one in found if sources_of(one) is not None]
        half = None if max_tokens is None else max_tokens // 2
        head = _newest(summaries, half, most // 2, count_tokens)
        if max_tokens is not None:
            max_tokens -= sum(count_tokens(one.text) for one in head)
        said = [one for one in found if sources_of(one) is None]
        return head + _newest(said, max_tokens, most - len(head), count_tokens)


def summary_message(message_id: str, text: str, sources: Sequence[str]) -> MemoryMessage:
    """The message that ``text`` is as the summary of the messages ``sources``, by id."""
    return MemoryMessage("agent", text, message_id, body={_SUMMARY: {"sources": [*sources]}})


def sources_of(message: MemoryMessage) -> tuple[str, ...] | None:
    """The ids of the messages that ``message`` sums up; ``None`` when it is no summary."""
    summary = (message.body or {}).get(_SUMMARY)
    return None if summary is None else tuple(summary["sources"])


def uncovered(messages: Sequence[MemoryMessage]) -> list[MemoryMessage]:
    """Those of ``messages`` that none of them sums up."""
    covered = {one for message in messages for one in sources_of(message) or ()}
    return [message for message in messages if message.id not in covered]


def _newest(
    messages: Sequence[MemoryMessage],
    max_tokens: int | None,
    max_messages: int,
    count_tokens: CountTokens,
) -> list[MemoryMessage]:
    """The newest of ``messages`` that fit, oldest first."""
    fitting: list[MemoryMessage] = []
    left = math.inf if max_tokens is None else max_tokens
    for message in reversed(messages):
        left -= count_tokens(message.text)
        if left < 0 or len(fitting) >= max_messages:
            break
        fitting.append(message)
    return fitting[::-1]
