"""The one way in which tools are called."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from codin.runtime.base import Runtime
from codin.sandbox.errors import SandboxError
from codin.sandbox.outcome import Usage
from codin.security import RunGrant
from codin.tool._failure import raise_sandbox, timed_out
from codin.tool.arguments import fit
from codin.tool.base import (
    InvalidArguments,
    RunEnded,
    Tool,
    ToolError,
    ToolFailed,
    ToolSpec,
    UnknownTool,
)
from codin.tool.bound import BoundTool
from codin.tool.invocation import (
    CallFinished,
    CallRecorder,
    CallStarted,
    EventSink,
    Invocation,
    NoRecorder,
    RunnableTool,
    ToolOutcome,
    canonical,
)
from codin.tool.live import LiveOutput
from codin.tool.registry import ToolRegistry, unknown
from codin.tool.result import cut, presented
from codin.tool.session import GoalSandboxes


@dataclass(frozen=True, slots=True)
class ExecutorSettings:
    """Bounds of the executor: calls at once, bytes, and seconds.

    ``grace_seconds`` is what a sandbox gets beyond a tool's limit to end the call by itself.
    """

    calls: int = 16
    calls_per_goal: int = 6
    argument_bytes: int = 1024 * 1024
    live_bytes: int = 64 * 1024
    live_seconds: float = 0.1
    grace_seconds: float = 5.0


class ToolExecutor:
    """Calls tools: permission, schema, limits, then the sandbox; and all of it written down.

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
        settings: ExecutorSettings | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._registry = registry
        self._runtime = runtime
        self._sandboxes = sandboxes
        self._recorder = recorder or NoRecorder()
        self._sink = sink
        self._settings = settings or ExecutorSettings()
        self._clock = clock
        self._slots = _Slots(self._settings.calls, self._settings.calls_per_goal)

    def specs(self, grant: RunGrant) -> list[ToolSpec]:
        """The tools that ``grant`` may call now, by name."""
        return [tool.spec for tool in self._tools(grant)]

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
        arguments: Mapping[str, Any] | str | None,
        *,
        call_id: str | None = None,
    ) -> ToolOutcome:
        """Call the tool ``name`` for the run of ``grant``.

        ``arguments`` is an object, or the JSON text of one. ``call_id`` is the caller's own id of
        the call; live output and the record carry it.
        """
        call_id = call_id or f"call_{uuid.uuid4().hex[:12]}"
        text = self._recordable(arguments)
        begun = time.monotonic()
        tool = self._find(grant, name)
        effects = tool.spec.effects if isinstance(tool, RunnableTool) else "none"
        await self._recorder.started(grant, CallStarted(call_id, name, text, effects))

        async def finished(value: Any, kind: str | None, message: str, truncated: bool) -> None:
            seconds = time.monotonic() - begun
            record = CallFinished(call_id, name, text, seconds, value, kind, message, truncated)
            await self._recorder.finished(grant, record)

        try:
            outcome = await self._outcome(grant, tool, arguments, call_id)
        except asyncio.CancelledError:
            await finished(None, "Canceled", f"{name} was stopped: its run was canceled", False)
            raise
        message = outcome.text if outcome.is_error else ""
        await finished(outcome.value, outcome.error_type, message, outcome.truncated)
        return outcome

    async def _outcome(
        self,
        grant: RunGrant,
        tool: RunnableTool | ToolError,
        arguments: Mapping[str, Any] | str | None,
        call_id: str,
    ) -> ToolOutcome:
        if isinstance(tool, ToolError):
            return ToolOutcome(text=str(tool), is_error=True, error=tool, call_id=call_id)
        limit = tool.spec.limits.result_chars
        live = self._live(tool, grant, call_id)
        call = Invocation(
            grant, call_id, {}, tool.spec.limits, self._runtime, self._sandboxes, live.emit
        )
        try:
            self._check_size(tool.spec.name, arguments)
            call.arguments = fit(tool.spec, arguments)
            async with self._slots.taken(grant.goal_id):
                data, text, truncated = presented(await self._run(tool, call, live), limit)
        except ToolError as error:
            told = cut(str(error), limit)
            short = error if told == str(error) else type(error)(told)
            return ToolOutcome(
                text=told, is_error=True, usage=call.usage, error=short, call_id=call_id
            )
        return ToolOutcome(data, text, usage=call.usage, truncated=truncated, call_id=call_id)

    async def _run(self, tool: RunnableTool, call: Invocation, live: LiveOutput) -> Any:
        grace = 0.0 if tool.spec.trusted else self._settings.grace_seconds
        begun = time.monotonic()
        try:
            async with live:
                return await _guarded(tool, call, call.limits.seconds + grace)
        finally:
            if call.usage == Usage():
                call.usage = Usage(wall_seconds=time.monotonic() - begun)

    def _live(self, tool: RunnableTool, grant: RunGrant, call_id: str) -> LiveOutput:
        return LiveOutput(
            self._sink,
            grant,
            call_id,
            tool.spec.name,
            every=self._settings.live_seconds,
            most=self._settings.live_bytes,
        )

    def _tools(self, grant: RunGrant) -> list[RunnableTool]:
        if not grant.tools:
            return []
        return [
            tool for tool in self._registry.list(grant.principal) if tool.spec.name in grant.tools
        ]

    def _find(self, grant: RunGrant, name: str) -> RunnableTool | ToolError:
        if grant.expires_at <= self._clock():
            return RunEnded(f"the run of task {grant.task_id} is over: its tools are closed")
        if name in grant.tools:
            try:
                return self._registry.get(grant.principal, name)
            except UnknownTool:
                pass
        return unknown(name, [tool.spec.name for tool in self._tools(grant)])

    def _check_size(self, name: str, arguments: Mapping[str, Any] | str | None) -> None:
        size = len(arguments if isinstance(arguments, str) else canonical(arguments or {}))
        if size > self._settings.argument_bytes:
            raise InvalidArguments(
                f"{name}: the arguments have {size:,} characters, more than the "
                f"{self._settings.argument_bytes:,} that a call may have; send less at once"
            )

    def _recordable(self, arguments: Mapping[str, Any] | str | None) -> str:
        text = arguments if isinstance(arguments, str) else canonical(arguments or {})
        return cut(text, self._settings.argument_bytes)


async def _guarded(tool: RunnableTool, call: Invocation, seconds: float) -> Any:
    name = tool.spec.name
    try:
        async with asyncio.timeout(seconds) as scope:
            return await tool.run(call)
    except ToolError:
        raise
    except SandboxError as error:
        raise_sandbox(name, call.limits, error)
    except TimeoutError as error:
        if scope.expired():
            raise timed_out(name, call.limits.seconds) from error
        raise ToolFailed(f"{name} failed: {error or 'TimeoutError'}") from error
    except Exception as error:
        raise ToolFailed(f"{name} failed: {type(error).__name__}: {error}") from error


class _Slots:
    """How many calls run at once, in all and for one goal."""

    def __init__(self, calls: int, calls_per_goal: int) -> None:
        self._all = asyncio.Semaphore(calls)
        self._per_goal = calls_per_goal
        self._goals: dict[str, asyncio.Semaphore] = {}
        self._users: dict[str, int] = {}

    @asynccontextmanager
    async def taken(self, goal_id: str) -> AsyncIterator[None]:
        goal = self._goals.setdefault(goal_id, asyncio.Semaphore(self._per_goal))
        self._users[goal_id] = self._users.get(goal_id, 0) + 1
        try:
            # The goal's own first: a goal that waits for itself holds up nobody else.
            async with goal, self._all:
                yield
        finally:
            self._users[goal_id] -= 1
            if not self._users[goal_id]:
                del self._users[goal_id], self._goals[goal_id]
