"""What a client of tools sees of the registry: what it may call, and how its calls end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from codin.gateway.mcp.approving import Ask, ClientApproves
from codin.gateway.mcp.changes import SETTLE_SECONDS, Told, ToolChanges
from codin.ids import new_id
from codin.security import Access, Principal, RunGrant
from codin.steady_clock import steady_time
from codin.tool.base import ToolSpec
from codin.tool.events import ToolOutput
from codin.tool.execution.executor import ToolExecutor
from codin.tool.invocation import CallFinished, CallRecorder, CallStarted, ToolOutcome
from codin.tool.registry import ToolRegistry
from codin.tool.session import GoalSandboxes

GOAL = "mcp"
"""The goal that the calls of a principal share, with its workspace."""
IDLE_SECONDS = 300.0
"""How long a principal's sandbox waits for a next call."""
_CALL_SECONDS = 3600.0
_ALL = frozenset({"*"})  # but no agents: for these no pattern stands

Emit = Callable[[ToolOutput], Awaitable[None]]


class ToolFace:
    """Tools for clients that are in no run: each principal has those it may call, a workspace of
    its own, and a sandbox as long as it calls. Every call is in the audit log.

    Of more tools than an agent would be shown, those of APIs and of MCP servers are found by the
    same three tools as an agent has (``ToolFinding``), and may be called by their own names too.
    Agents are not among them: they are called over A2A.
    """

    def __init__(
        self,
        registry: ToolRegistry,
        executor: ToolExecutor,
        *,
        sandboxes: GoalSandboxes,
        access: Access,
        idle_seconds: float = IDLE_SECONDS,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        self._sandboxes = sandboxes
        self._idle_seconds = idle_seconds
        self._listening: dict[str, Emit] = {}
        self._calls: dict[Principal, int] = {}
        self._idle: dict[Principal, asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._asks: dict[str, Ask] = {}
        self._executor = executor.beside(
            recorder=_Audited(access), sink=self._emit, approver=ClientApproves(self._asks)
        )
        self._changes = ToolChanges(self.specs, settle_seconds=settle_seconds)
        registry.listen(self._changes.changed)

    def specs(self, principal: Principal) -> list[ToolSpec]:
        """What ``principal`` is shown of the tools that it may call, by name. Of many, these are
        the three to find the others with."""
        return self._executor.specs(_grant(principal))

    def watched(self, principal: Principal, told: Told) -> AbstractContextManager[None]:
        """Until the block is left, ``told`` is called when ``specs`` gives others than before."""
        return self._changes.watched(principal, told)

    async def call(
        self,
        principal: Principal,
        name: str,
        arguments: Mapping[str, Any] | None,
        emit: Emit | None = None,
        ask: Ask | None = None,
    ) -> ToolOutcome:
        """Call the tool ``name``; ``emit`` is told what it prints meanwhile, and ``ask`` is asked
        when the call has to be approved."""
        call_id = f"mcp_{new_id()}"
        if emit is not None:
            self._listening[call_id] = emit
        if ask is not None:
            self._asks[call_id] = ask
        self._busy(principal)
        try:
            return await self._executor.call(_grant(principal), name, arguments, call_id=call_id)
        finally:
            self._listening.pop(call_id, None)
            self._asks.pop(call_id, None)
            self._done(principal)

    async def aclose(self) -> None:
        """End the sandboxes of those who called, and tell nobody of changes any more."""
        await self._changes.aclose()
        for timer in self._idle.values():
            timer.cancel()
        principals = {*self._idle, *self._calls}
        self._idle.clear()
        await asyncio.gather(
            *self._closing, *(self._sandboxes.close(one, GOAL) for one in principals)
        )

    async def _emit(self, grant: RunGrant, output: ToolOutput) -> None:
        emit = self._listening.get(output.call_id)
        if emit is not None:
            await emit(output)

    def _busy(self, principal: Principal) -> None:
        self._calls[principal] = self._calls.get(principal, 0) + 1
        if timer := self._idle.pop(principal, None):
            timer.cancel()

    def _done(self, principal: Principal) -> None:
        self._calls[principal] -= 1
        if not self._calls[principal]:
            del self._calls[principal]
            loop = asyncio.get_running_loop()
            self._idle[principal] = loop.call_later(self._idle_seconds, self._rest, principal)

    def _rest(self, principal: Principal) -> None:
        self._idle.pop(principal, None)
        closing = asyncio.ensure_future(self._sandboxes.close(principal, GOAL))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


def _grant(principal: Principal) -> RunGrant:
    return RunGrant(GOAL, GOAL, GOAL, GOAL, principal, _ALL, steady_time() + _CALL_SECONDS)


class _Audited(CallRecorder):
    """Who called what: in the audit log before the call is made. A call to what they may not call
    is there as refused."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def started(self, grant: RunGrant, call: CallStarted) -> None:
        writing = self._access.begin(
            grant.principal,
            f"tool.call:{call.name[:100]}",
            call.name[:100],
            GOAL,
            allowed=bool(call.key),  # without one, there is no such tool for the caller
            detail={"call": call.call_id},
        )
        if writing is not None:
            await writing

    async def finished(self, grant: RunGrant, call: CallFinished) -> None:
        """Nothing: that it was called is what is asked later."""
