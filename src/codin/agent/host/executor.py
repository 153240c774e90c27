"""Drives an agent for the A2A server inside a host."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

from a2a.types import Message, StreamResponse, TaskState, TaskStatus
from a2a.types import Task as A2ATask
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from codin.agent.a2a import EventEncoder
from codin.agent.base import Agent, MemoryAccess, ModelAccess, Task
from codin.agent.events import END_EVENTS, AgentEvent, Canceled, Rejected
from codin.agent.host.batching import in_batches
from codin.agent.host.environment import PLACEHOLDER_KEY
from codin.agent.host.memory import RunMemory
from codin.agent.host.platform_client import PlatformClient, RemoteTool
from codin.agent.host.runs import ActiveRuns
from codin.agent.host.sdk import AgentExecutor, EventQueue, RequestContext
from codin.agent.host.wire import (
    MAX_RUN_BYTES,
    RUN_EXTENSION,
    PlatformRefused,
    RunInfo,
    SaidTooMuch,
)
from codin.agent.response import failure
from codin.security import Principal, Scope

_log = logging.getLogger("codin.agent.host")


class HostedExecutor(AgentExecutor):
    """One agent of the host. Each message is a run, with the token that came with it."""

    def __init__(
        self, agent: Agent, platform: PlatformClient, runs: ActiveRuns, model_url: str
    ) -> None:
        self._agent = agent
        self._platform = platform
        self._runs = runs
        self._model_url = model_url
        self._driving: dict[str, asyncio.Task[None]] = {}

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Run the agent on the message; ends when the run has ended."""
        task_id, context_id = _ids(context)
        if context.current_task is None:
            await event_queue.enqueue_event(_submitted(task_id, context_id, context.message))
        say = _Sayer(EventEncoder(task_id, context_id), event_queue)
        driving = asyncio.ensure_future(self._drive(context, say))
        self._driving[task_id] = driving
        try:
            await asyncio.wait({driving})
        finally:
            # Cancelled from outside (the server stops): the agent ends before this does.
            self._runs.end(task_id)
            driving.cancel()
            await asyncio.gather(driving, return_exceptions=True)
            self._driving.pop(task_id, None)

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """End the agent's work, then say so."""
        task_id, context_id = _ids(context)
        self._runs.end(task_id)
        if driving := self._driving.get(task_id):
            driving.cancel()
            await asyncio.gather(driving, return_exceptions=True)
        await _Sayer(EventEncoder(task_id, context_id), event_queue)(Canceled())

    async def _drive(self, context: RequestContext, say: _Sayer) -> None:
        try:
            token = _bearer(context)
            if token is None:
                await say(Rejected(message="this agent host runs tasks of its platform only"))
                return
            run = await self._platform.run(token)
            with self._runs.entered(run.task_id, token) as entered:
                task = self._task(context, run, token, entered.key)
                response = aiter(await self._agent.handle(task))
                told = cast("AsyncGenerator[AgentEvent, None]", response)
                async with aclosing(in_batches(told)) as events:
                    async for event in events:
                        await say(event)
        except (PlatformRefused, SaidTooMuch) as error:
            await say(failure(error))
        except Exception as error:
            _log.exception("agent %s broke its contract: it raised", self._agent.id)
            await say(failure(error))

    def _task(self, context: RequestContext, run: RunInfo, token: str, key: str) -> Task:
        message = Message()
        message.CopyFrom(context.message or Message())
        handed = _handed(message)
        tools = tuple(RemoteTool(self._platform, token, spec) for spec in run.tools)
        name = run.model or "default"
        return Task(
            id=run.task_id,
            context_id=run.context_id,
            message=message,
            principal=Principal(run.tenant, run.subject),
            history=_history(handed),
            state=str(handed["state"]) if "state" in handed else None,
            tools=tools,
            # The forwarder puts the token in, so that agents' code never has a reason to hold it.
            model=ModelAccess(self._model_url, PLACEHOLDER_KEY, name),
            memory=self._memory(run, token),
            metadata={"codin.run": key},
        )

    def _memory(self, run: RunInfo, token: str) -> MemoryAccess | None:
        if run.memory is None:
            return None
        scope = Scope(run.tenant, run.subject, run.agent_id)
        return MemoryAccess(RunMemory(self._platform, token, scope, run.memory), scope)


class _Sayer:
    """Says events. Of what goes on it says ``MAX_RUN_BYTES``, and after that only how it ended."""

    def __init__(self, encoder: EventEncoder, queue: EventQueue) -> None:
        self._encoder = encoder
        self._queue = queue
        self._said = 0

    async def __call__(self, event: AgentEvent) -> None:
        for response in self._encoder.encode(event):
            self._said += response.ByteSize()
            if self._said > MAX_RUN_BYTES and not isinstance(event, END_EVENTS):
                raise SaidTooMuch(
                    f"the agent said more than {MAX_RUN_BYTES:,} bytes in one run; what is large "
                    "is better a file that a tool writes"
                )
            await self._queue.enqueue_event(_payload(response))


def _payload(response: StreamResponse) -> Any:
    return getattr(response, str(response.WhichOneof("payload")))


def _ids(context: RequestContext) -> tuple[str, str]:
    # The SDK makes up a new context id for a follow-up that names its task only.
    known = context.current_task
    context_id = known.context_id if known is not None else context.context_id
    return context.task_id or "", context_id or ""


def _submitted(task_id: str, context_id: str, message: Message | None) -> A2ATask:
    # The history that came with the message is the agent's; it need not go back with the task.
    kept = Message()
    kept.CopyFrom(message or Message())
    kept.ClearField("metadata")
    status = TaskStatus(state=TaskState.TASK_STATE_SUBMITTED)
    return A2ATask(id=task_id, context_id=context_id, status=status, history=[kept])


def _bearer(context: RequestContext) -> str | None:
    headers = context.call_context.state.get("headers", {})
    scheme, _, token = str(headers.get("authorization", "")).partition(" ")
    return token if scheme.lower() == "bearer" and token else None


def _handed(message: Message) -> dict[str, Any]:
    """What the platform hands over with ``message``, taken out of its metadata."""
    if RUN_EXTENSION not in message.metadata:
        return {}
    handed = MessageToDict(message.metadata[RUN_EXTENSION])
    del message.metadata[RUN_EXTENSION]
    return handed if isinstance(handed, dict) else {}


def _history(handed: dict[str, Any]) -> tuple[Message, ...]:
    """The messages before."""
    try:
        return tuple(ParseDict(item, Message()) for item in handed.get("history", []))
    except ParseError:
        _log.warning("the history handed with a message cannot be read; going on without")
        return ()
