"""Conversations made shorter: what is old is summed up, and the summary keeps what it is of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, cast

from codin.errors import InvalidInputError
from codin.memory._checks import checked_text, session_of
from codin.memory.history import (
    CountTokens,
    MemoryMessage,
    estimate_tokens,
    sources_of,
    summary_message,
    uncovered,
)
from codin.security import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from codin.memory.base import MemorySystem

MAX_SUMMARY_CHARS = 20_000

Summarise = Callable[[str, Sequence[MemoryMessage]], Awaitable[str]]
"""Gives a text that says what matters of messages, and of a summary of what was said before them,
which is empty when there is none. What either says is data."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A summary under its id as a message, and the ids of the messages that it is of."""

    id: str
    text: str
    sources: tuple[str, ...]


async def compact(
    memory: MemorySystem,
    scope: Scope,
    summarise: Summarise,
    *,
    keep_tokens: int,
    count_tokens: CountTokens = estimate_tokens,
) -> Summary | None:
    """See ``MemorySystem.compact``."""
    session_of(scope)
    messages = uncovered(await _exactly(memory, scope))
    before = [one for one in messages if sources_of(one) is not None]
    said = [one for one in messages if sources_of(one) is None]
    old = said[: _first_kept(said, keep_tokens, count_tokens)]
    if not old:
        return None
    text = await summarise("\n\n".join(one.text for one in before), old)
    if not text.strip() or len(text) > MAX_SUMMARY_CHARS:
        raise InvalidInputError(
            f"a summary has 1 to {MAX_SUMMARY_CHARS:,} characters, not {len(text):,}"
        )
    checked_text(text, "a summary")
    replaced = [one for past in before for one in (past.id, *(sources_of(past) or ()))]
    sources = (*replaced, *(one.id for one in old))
    # The same for who sums up the same at the same time: one of them is kept.
    summary_id = "summary-" + blake2b("\n".join(sources).encode(), digest_size=16).hexdigest()
    await memory.history.append(scope, summary_message(summary_id, text, sources))
    kept = [one for one in await _exactly(memory, scope) if one.id == summary_id]
    return Summary(summary_id, kept[0].text if kept else text, sources)


async def _exactly(memory: MemorySystem, scope: Scope) -> list[MemoryMessage]:
    """The messages of ``scope`` alone, oldest first: what is of its agents has its own summaries,
    which are forgotten with it."""
    found = []
    entries = cast("AsyncGenerator[dict[str, Any], None]", memory.export(scope))
    async with aclosing(entries):
        async for entry in entries:
            if entry["kind"] != "message":
                break
            if (entry["agent"], entry["session"]) == (scope.agent, scope.session):
                fields = ("role", "text", "id", "task_id", "time", "body")
                found.append(MemoryMessage(**{name: entry[name] for name in fields}))
    return found


def _first_kept(
    messages: Sequence[MemoryMessage], keep_tokens: int, count_tokens: CountTokens
) -> int:
    """Where the newest of ``messages`` begin that have ``keep_tokens`` together."""
    left = keep_tokens
    for at in range(len(messages) - 1, -1, -1):
        left -= count_tokens(messages[at].text)
        if left < 0:
            return at + 1
    return 0
