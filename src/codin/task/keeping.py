"""What is worth keeping of conversations, tasks and tool calls, and how it gets into memory."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import defaultdict
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from codin.agent._parts import clean_text
from codin.agent.events import Completed, EndEvent
from codin.config import KeepSettings
from codin.jsontext import encoded
from codin.memory.base import Chunk, Chunks, EmbeddingError
from codin.memory.chunks import DEFAULT_COLLECTION, Scalar
from codin.security import RunGrant, Scope
from codin.task.recalling import text_of
from codin.tool.base import ToolSpec
from codin.tool.invocation import CallFinished

if TYPE_CHECKING:
    from codin.task.work import Run

_log = logging.getLogger(__name__)

LEAST_CHARS = 40
"""What was said, and what came of it, has so many characters, or it is nothing to find again."""

_MOST_CHARS = 8_000
_ARGUMENT_CHARS = 500
_ROOM = 1_000
_AT_ONCE = 200
_DAY = 86_400.0
_KINDS = frozenset({"function", "command", "openapi", "mcp", "evolved"})
"""Whose results are worth keeping: what is built in shows files that are there themselves, and an
agent's answer is the outcome of a task."""

_SECRET = re.compile(
    r"""(?ix)
    [\w-]*(?:passw(?:or)?d|secret|api[_-]?key|private[_-]?key|credential|authorization|token)\b
        ["']?\s*(?:[:=]|\bis\b)\s*["']?[^\s"'{\[,;]
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY
    | \b(?:bearer|basic)\s+[a-z0-9._~+/=-]{16,}
    """
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A text to keep for ``scope``, under an id that it also has when it comes again."""

    scope: Scope
    id: str
    text: str
    metadata: dict[str, Scalar]


def has_secret(text: str) -> bool:
    """Whether something in ``text`` looks like a password, a key or a token with its value."""
    return _SECRET.search(text) is not None


def piece_of_turn(
    run: Run, scope: Scope, said: str, answer: str, *, end: EndEvent, settings: KeepSettings
) -> Piece | None:
    """What was said to a task and what it answered: its outcome when it is done, and else a turn of
    the conversation. ``None`` for steps of others, and for what is not to be kept."""
    done = isinstance(end, Completed) and settings.outcomes
    if run.goal_id != run.task_id or not (done or settings.conversations):
        return None
    first = text_of(run.message)
    asked = [first, said] if done and first != said else [said]
    text = "\n".join([*(f"Asked: {one}" for one in asked if one), f"Answered: {answer}"])
    if not answer or len("".join(asked)) + len(answer) < LEAST_CHARS:
        return None
    kind = "outcome" if done else "turn"
    return Piece(
        scope,
        f"{kind}-{run.task_id}-{run.beginning.turn}",
        text,
        {"kind": kind, "task": run.task_id},
    )


def piece_of_call(
    grant: RunGrant, call: CallFinished, spec: ToolSpec, settings: KeepSettings
) -> Piece | None:
    """What a tool gave, where that is to be kept."""
    fits = settings.results and any(fnmatchcase(call.name, one) for one in settings.tools)
    whole = call.error_type is None and not call.truncated
    if not fits or not whole or spec.origin not in _KINDS:
        return None
    gave = call.value if isinstance(call.value, str) else encoded(call.value).decode()
    least, most = settings.tool_chars
    if not least <= len(gave) <= most:
        return None
    return Piece(
        Scope.of(grant.principal, agent=grant.agent_id, session=grant.context_id),
        f"result-{grant.task_id}-{call.key or call.call_id}"[:512],
        f"{call.name} was called with {call.arguments[:_ARGUMENT_CHARS]}, and gave: {gave}",
        {"kind": "result", "task": grant.task_id, "tool": call.name},
    )


class Keeper:
    """Puts pieces into ``chunks``, soon: nobody waits for it. What looks like a secret, and what
    comes faster than it can be kept, is left out."""

    def __init__(
        self,
        chunks: Chunks,
        *,
        days: float | None = None,
        collection: str = DEFAULT_COLLECTION,
    ) -> None:
        self._chunks = chunks
        self._ttl = None if days is None else days * _DAY
        self._collection = collection
        self._waiting: list[Piece] = []
        self._working: asyncio.Task[None] | None = None
        self._left_out = 0

    def keep(self, piece: Piece | None) -> None:
        """Have ``piece`` kept, if there is one."""
        if piece is None or has_secret(piece.text):
            return
        if len(self._waiting) >= _ROOM:
            self._left_out += 1
            return
        self._waiting.append(piece)
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())

    async def settled(self) -> None:
        """Return when all that came until now is kept, or could not be."""
        if self._working is not None:
            await asyncio.wait({self._working})

    async def _work(self) -> None:
        while self._waiting:
            taken, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
            by_scope: defaultdict[Scope, list[Chunk]] = defaultdict(list)
            for piece in taken:
                text = clean_text(piece.text[:_MOST_CHARS]).replace("\0", " ")
                chunk = Chunk(text, piece.id, piece.metadata)
                by_scope[piece.scope].append(chunk)
            puts = (self._put(scope, chunks) for scope, chunks in by_scope.items())
            await asyncio.gather(*puts)
        if self._left_out:
            left, self._left_out = self._left_out, 0
            _log.warning("%d pieces came faster than they could be kept in memory", left)

    async def _put(self, scope: Scope, chunks: list[Chunk]) -> None:
        try:
            await self._chunks.upsert(scope, *chunks, collection=self._collection, ttl=self._ttl)
        except EmbeddingError as error:
            _log.warning("%d pieces were not kept: %s (codin memory reembed)", len(chunks), error)
        except Exception:
            _log.exception("%d pieces could not be kept in memory", len(chunks))
