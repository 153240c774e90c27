"""What goes into memory by itself, and what an agent is given of it before a turn."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from codin.agent.a2a import RECALLED
from codin.agent.events import Completed, EndEvent
from codin.config import KeepSettings, RecallSettings
from codin.memory.base import FoundChunk, MemorySystem
from codin.security import Authorizer, Principal, RunGrant, Scope
from codin.task.conversation import Json, said_text
from codin.task.goal import ORCHESTRATOR
from codin.task.keeping import Keeper, piece_of_call, piece_of_turn
from codin.task.recalling import drop_recalled, fitting, put_recalled, recalled, text_of
from codin.task.summing_up import SummingUp
from codin.tool.base import ToolSpec
from codin.tool.invocation import CallFinished, CallRecorder, CallStarted

if TYPE_CHECKING:
    from a2a.types import Message

    from codin.task.work import Run

_log = logging.getLogger(__name__)

RECALL_SECONDS = 2.0
"""A turn waits no longer for what is remembered; it goes on without."""


_TOLD_SECONDS = 60.0


class Remembering(Protocol):
    """What runs tell a memory, and are told by it. No call of it raises."""

    async def recall(
        self, principal: Principal, agent_id: str, message: Message, *, passed_on: bool
    ) -> None:
        """Put into a message that begins a task what is remembered and fits it. ``passed_on``: it
        comes from another task of the platform, and what is in it already stays."""
        ...

    def ended(self, run: Run, scope: Scope, said: Json, answer: str, end: EndEvent) -> None:
        """A run was told ``said``, which is A2A's JSON, and ended with ``answer``."""
        ...


class NothingRemembered:
    """Keeps nothing, and recalls nothing."""

    async def recall(
        self, principal: Principal, agent_id: str, message: Message, *, passed_on: bool
    ) -> None:
        if not passed_on:
            drop_recalled(message)

    def ended(self, run: Run, scope: Scope, said: Json, answer: str, end: EndEvent) -> None:
        """Do nothing."""


class MemoryRemembering:
    """By the chunks of ``memory``, for those who may read and write their memory.

    The orchestrator is given nothing: the agents of its steps are. ``window`` are the tokens of a
    conversation that agents are given anyway. ``summing_up`` is told of conversations that went on.
    """

    def __init__(
        self,
        memory: MemorySystem,
        authorizer: Authorizer,
        *,
        keep: KeepSettings | None = None,
        recall: RecallSettings | None = None,
        window: int = 1_500,
        summing_up: SummingUp | None = None,
        seconds: float = RECALL_SECONDS,
    ) -> None:
        self._memory = memory
        self._authorizer = authorizer
        self._keep = keep or KeepSettings()
        self._recall = recall or RecallSettings()
        self._window = window
        self._summing_up = summing_up
        self._seconds = seconds
        self._told_late = -math.inf
        self._keeper = Keeper(memory.chunks, days=self._keep.days)

    async def recall(
        self, principal: Principal, agent_id: str, message: Message, *, passed_on: bool
    ) -> None:
        if passed_on and RECALLED in message.metadata:
            return
        drop_recalled(message)
        wanted = self._recall.enabled and agent_id != ORCHESTRATOR
        text = text_of(message)
        if not wanted or not text or not self._authorizer.allows(principal, "memory.read"):
            return
        try:
            async with asyncio.timeout(self._seconds):
                put_recalled(message, await self._found(principal, agent_id, message, text))
        except TimeoutError:
            self._late()
        except Exception:
            _log.exception("memory could not be searched; the turn goes on without")

    def ended(self, run: Run, scope: Scope, said: Json, answer: str, end: EndEvent) -> None:
        if not self._authorizer.allows(run.principal, "memory.write"):
            return
        # One that asks is made again as it was, with what the conversation was for it.
        if self._summing_up is not None and isinstance(end, Completed):
            self._summing_up.look_at(run.principal, scope)
        piece = piece_of_turn(run, scope, said_text(said), answer, end=end, settings=self._keep)
        self._keeper.keep(piece)

    def called(self, grant: RunGrant, call: CallFinished, spec: ToolSpec) -> None:
        """A tool was called for a run."""
        if self._authorizer.allows(grant.principal, "memory.write"):
            self._keeper.keep(piece_of_call(grant, call, spec, self._keep))

    async def settled(self) -> None:
        """Return when all that was told until now is kept, and summed up where it is long."""
        await self._keeper.settled()
        if self._summing_up is not None:
            await self._summing_up.settled()

    async def aclose(self) -> None:
        """Keep what was told; leave what has not been summed up."""
        if self._summing_up is not None:
            await self._summing_up.aclose()
        await self._keeper.settled()

    async def _found(
        self, principal: Principal, agent_id: str, message: Message, text: str
    ) -> Sequence[FoundChunk]:
        of_one = agent_id if self._recall.whose == "agent" else None
        scope = Scope.of(principal, agent=of_one)
        found = await recalled(self._memory.chunks, scope, text, self._recall)
        session = Scope.of(principal, agent=agent_id, session=message.context_id)
        if any(one.scope == session for one in found):
            # What is in the conversation that the agent is given need not be told twice.
            past = await self._memory.history.window(session, max_tokens=self._window)
            known = {one.task_id for one in past if one.task_id is not None}
            found = [one for one in found if one.metadata.get("task") not in known]
        return fitting(found, self._recall)

    def _late(self) -> None:
        """Say that memory is slow, once a minute at most."""
        now = time.monotonic()
        if now - self._told_late > _TOLD_SECONDS:
            self._told_late = now
            _log.warning("memory took longer than %g s; turns go on without", self._seconds)


class RememberedCalls(CallRecorder):
    """``recorder``, and what calls of tools gave for ``remembering``."""

    def __init__(
        self,
        recorder: CallRecorder,
        remembering: MemoryRemembering,
        spec_of: Callable[[Principal, str], ToolSpec | None],
    ) -> None:
        self._recorder = recorder
        self._remembering = remembering
        self._spec_of = spec_of

    async def known(self, grant: RunGrant, key: str) -> CallFinished | None:
        return await self._recorder.known(grant, key)

    async def interrupted(self, grant: RunGrant, key: str) -> bool:
        return await self._recorder.interrupted(grant, key)

    async def started(self, grant: RunGrant, call: CallStarted) -> None:
        await self._recorder.started(grant, call)

    async def finished(self, grant: RunGrant, call: CallFinished) -> None:
        await self._recorder.finished(grant, call)
        spec = self._spec_of(grant.principal, call.name)
        if spec is not None:
            self._remembering.called(grant, call, spec)
