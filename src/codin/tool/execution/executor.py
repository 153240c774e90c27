"""The one way in which tools are called."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

from codin.ids import new_id
from codin.runtime.base import Runtime
from codin.sandbox.outcome import OutputChunk, Usage
from codin.security import RunGrant
from codin.tool.arguments import fit
from codin.tool.base import ApprovalNeeded, Tool, ToolError, ToolFailed, ToolSpec
from codin.tool.bound import BoundTool
from codin.tool.execution._asked import Asked, asked
from codin.tool.execution._attempts import attempted
from codin.tool.execution._call_record import CallRecord
from codin.tool.execution._occurrences import Occurrences
from codin.tool.execution._slots import Slots
from codin.tool.execution.allowance import Allowances
from codin.tool.execution.cache import ResultCache
from codin.tool.execution.live import LiveOutput
from codin.tool.execution.result import Told, again, cleaned, cut, presented, told
from codin.tool.finding.finding import SHOWN, ToolFinding
from codin.tool.finding.granted import GrantedTools
from codin.tool.finding.meanings import Embedder
from codin.tool.invocation import (
    CallRecorder,
    CallStarted,
    EventSink,
    Invocation,
    NoRecorder,
    RunnableTool,
    ToolOutcome,
)
from codin.tool.policies.approval import Approver, NobodyApproves
from codin.tool.policies.policy import Policies
from codin.tool.registry import ToolRegistry
from codin.tool.session import GoalSandboxes

_Arguments = Mapping[str, Any] | str | None
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExecutorSettings:
    """Bounds of the executor: calls at once, bytes, and seconds.

    ``grace_seconds`` is what a sandbox gets beyond a tool's limit to end the call by itself. A
    result of more than ``kept_chars`` is not kept as a file. ``patience_seconds`` is how long a
    call waits where a tool takes only so many of one principal at once. Of more than
    ``tools_shown`` tools an agent is shown those to find the others with.
    """

    calls: int = 16
    calls_per_goal: int = 6
    argument_bytes: int = 1024 * 1024
    kept_chars: int = 16 * 1024 * 1024
    live_bytes: int = 64 * 1024
    live_seconds: float = 0.1
    grace_seconds: float = 5.0
    patience_seconds: float = 10.0
    tools_shown: int = SHOWN


class ToolExecutor:
    """Calls tools: permission, schema, policies, approval, limits, then the sandbox; and all of it
    written down.

    ``call`` gives what goes wrong as an outcome; only cancellation, and a recorder that fails,
    come as exceptions.
    """

    def __init__(
        self,
        registry: ToolRegistry,
        *,
        runtime: Runtime,
        sandboxes: GoalSandboxes,
        recorder: CallRecorder | None = None,
        sink: EventSink | None = None,
        policies: Policies | None = None,
        approver: Approver | None = None,
        settings: ExecutorSettings | None = None,
        clock: Callable[[], float] = time.time,
        embedder: Embedder | None = None,
    ) -> None:
        self._runtime = runtime
        self._sandboxes = sandboxes
        self._recorder = recorder or NoRecorder()
        self._sink = sink
        self._settings = settings or ExecutorSettings()
        granted = GrantedTools(registry, clock)
        self._finding = ToolFinding(
            registry, granted, shown=self._settings.tools_shown, embedder=embedder
        )
        self._policies = policies or Policies()
        self._approver = approver or NobodyApproves()
        self._slots = Slots(self._settings.calls, self._settings.calls_per_goal)
        self._allowances = Allowances(patience=self._settings.patience_seconds)
        self._occurrences: Occurrences | None = Occurrences(clock)
        self._cache = ResultCache()

    def beside(
        self, *, recorder: CallRecorder, sink: EventSink, approver: Approver | None = None
    ) -> ToolExecutor:
        """This executor for callers whose calls are in no run that could be repeated: each call has
        an idempotency key of its own. Policies, limits and kept results are common to both."""
        other = copy(self)
        own = {"_recorder": recorder, "_sink": sink, "_approver": approver or NobodyApproves()}
        vars(other).update(own, _occurrences=None)
        return other

    def specs(self, grant: RunGrant) -> list[ToolSpec]:
        """What the agent of ``grant`` is shown of the tools that it may call now, by name: of many,
        those to find the others with. See ``ToolFinding``."""
        return self._finding.specs(grant)

    def bind(self, grant: RunGrant) -> list[Tool]:
        """The grant's tools as proxies for its agent."""

        def bound(spec: ToolSpec) -> Tool:
            async def call(arguments: dict[str, Any], call_id: str | None) -> ToolOutcome:
                return await self.call(grant, spec.name, arguments, call_id=call_id)

            return BoundTool(spec, call)

        return [bound(spec) for spec in self.specs(grant)]

    async def call(
        self,
        grant: RunGrant,
        name: str,
        arguments: _Arguments,
        *,
        call_id: str | None = None,
    ) -> ToolOutcome:
        """Call the tool ``name`` for the run of ``grant``.

        ``arguments`` is an object, or the JSON text of one. ``call_id`` is the caller's own id of
        the call; live output and the record carry it.
        """
        call_id = call_id or f"call_{new_id()[:12]}"
        tool, name, arguments = self._meant(grant, name, arguments)
        came = asked(arguments, self._settings.argument_bytes)
        if isinstance(tool, ToolError):
            record = CallRecord(
                self._recorder, grant, CallStarted(call_id, name, came.text, "none")
            )
            await record.started()
            outcome = ToolOutcome(text=str(tool), is_error=True, error=tool, call_id=call_id)
            await record.ended(outcome)
            return outcome
        key = self._key(grant, name, came)
        call = Invocation(
            grant,
            call_id,
            {},
            tool.spec.limits,
            self._runtime,
            self._sandboxes,
            _quiet,
            idempotency_key=key,
        )
        if known := await self._recorder.known(grant, key):
            outcome = again(known, call_id)
        else:
            started = CallStarted(call_id, name, came.text, tool.spec.effects, key)
            outcome = await self._made(tool, call, came, started)
        if not outcome.is_error:
            await tool.recorded(grant, call.arguments or fit(tool.spec, came.arguments))
        return outcome

    async def _made(
        self, tool: RunnableTool, call: Invocation, came: Asked, started: CallStarted
    ) -> ToolOutcome:
        """What comes of the call, once it is written down."""
        record = CallRecord(self._recorder, call.grant, started)
        await record.started()
        try:
            outcome = await self._outcome(tool, call, came, record)
        except asyncio.CancelledError:
            await record.canceled()
            raise
        await record.ended(outcome)
        return outcome

    def _key(self, grant: RunGrant, name: str, came: Asked) -> str:
        if self._occurrences is None:
            return f"codin:{new_id()}"
        return self._occurrences.key(grant, name, came.text)

    async def _outcome(
        self, tool: RunnableTool, call: Invocation, came: Asked, record: CallRecord
    ) -> ToolOutcome:
        spec = tool.spec
        try:
            call.arguments = fit(spec, came.checked(spec.name))
            whole, cached = await self._allowed(tool, call, came, record)
            result = await presented(call, spec.name, whole, self._settings.kept_chars)
        except ToolError as error:
            return _failed(call, error)
        except Exception as error:
            _log.exception("a call of %s went wrong on its way", spec.name)
            said = f"{spec.name} failed: {type(error).__name__}: {error}"
            return _failed(call, ToolFailed(said))
        return ToolOutcome(
            result.data,
            result.text,
            usage=call.usage,
            truncated=result.truncated,
            call_id=call.call_id,
            file=result.file,
            mismatch=whole.mismatch,
            cached=cached,
        )

    async def _allowed(
        self, tool: RunnableTool, call: Invocation, came: Asked, record: CallRecord
    ) -> tuple[Told, bool]:
        """``_result``, when policies allow the call or somebody approves it."""
        check = partial(self._policies.check, tool.spec, call.grant.principal)
        try:
            await self._check_interrupted(tool.spec, call, check)
            return await self._checked(tool, call, came, check)
        except ApprovalNeeded as error:
            record.needs = error
        # Only now: while it is asked, the call holds nothing that others wait for.
        await self._approver.approve(call.grant, record.pending(call.arguments))
        record.needs = None
        return await self._checked(tool, call, came, partial(check, approved=True))

    async def _check_interrupted(
        self, spec: ToolSpec, call: Invocation, check: Callable[..., None]
    ) -> None:
        """Return when the call has not been made before, or may be made again.

        Raises:
            ApprovalNeeded: somebody has to say whether it may.
            ToolFailed: it may not.
        """
        then, key = spec.when_interrupted, call.idempotency_key
        if then == "repeat" or not await self._recorder.interrupted(call.grant, key):
            return
        said = "It was under way when the process that made it ended, and may have been made."
        if then == "fail":
            raise ToolFailed(f"{spec.name}: {said} It is not made again")
        try:
            check(call.arguments)
        except ApprovalNeeded as error:  # one answer is to both
            said = f"{said} {error}"
        raise ApprovalNeeded(said)

    async def _checked(
        self, tool: RunnableTool, call: Invocation, came: Asked, check: Callable[..., None]
    ) -> tuple[Told, bool]:
        call.check = check
        check(call.arguments)
        return await self._result(tool, call, came)

    async def _result(self, tool: RunnableTool, call: Invocation, came: Asked) -> tuple[Told, bool]:
        """The result without secrets, and whether it is that of an earlier call."""
        spec, principal = tool.spec, call.grant.principal
        if spec.pure and (kept := self._cache.get(spec, principal, came.text)):
            return await told(spec, kept.value), True
        async with self._allowances.taken(spec, principal), self._slot(tool, call.grant):
            value = await self._run(tool, call)
        whole = await told(spec, value, call.secrets)
        if spec.pure:
            self._cache.put(spec, principal, came.text, whole)
        return whole, False

    async def _run(self, tool: RunnableTool, call: Invocation) -> Any:
        grace = 0.0 if tool.spec.trusted else self._settings.grace_seconds
        begun = time.monotonic()
        try:
            if self._sink is None:
                return await attempted(tool, call, call.limits.seconds + grace)
            async with self._live(tool, call) as live:
                call.emit = live.emit
                return await attempted(tool, call, call.limits.seconds + grace)
        finally:
            if call.usage == _NOTHING_USED:
                call.usage = Usage(wall_seconds=time.monotonic() - begun)

    def _slot(self, tool: RunnableTool, grant: RunGrant) -> AbstractAsyncContextManager[None]:
        # An agent that is called calls tools itself: its caller must not hold what it needs.
        return nullcontext() if tool.spec.origin == "agent" else self._slots.taken(grant.goal_id)

    def _live(self, tool: RunnableTool, call: Invocation) -> LiveOutput:
        return LiveOutput(
            self._sink,
            call.grant,
            call.call_id,
            tool.spec.name,
            every=self._settings.live_seconds,
            most=self._settings.live_bytes,
            secrets=call.secrets,
        )

    def _meant(
        self, grant: RunGrant, name: str, arguments: _Arguments
    ) -> tuple[RunnableTool | ToolError, str, _Arguments]:
        """The tool to call, by its own name and with its own arguments; or why there is none."""
        try:
            name, arguments = self._finding.meant(grant, name, arguments)
            return self._finding.get(grant, name), name, arguments
        except ToolError as error:
            return error, name, arguments


def _failed(call: Invocation, error: ToolError) -> ToolOutcome:
    said = cut(cleaned(str(error), call.secrets), call.limits.result_chars)
    short = error if said == str(error) else type(error)(said)
    return ToolOutcome(
        text=said, is_error=True, usage=call.usage, error=short, call_id=call.call_id
    )


def _quiet(chunk: OutputChunk) -> None:
    """Takes output that nobody watches."""


_NOTHING_USED = Usage()
