"""An agent of a host, as the platform uses it: the `Agent` contract over A2A on a Unix socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from a2a.types import Message
from google.protobuf.json_format import MessageToDict

from codin.agent.base import AgentInfo, Task
from codin.agent.events import AgentEvent
from codin.agent.host.call import HostCall, StreamBroke
from codin.agent.host.process import HostProcess, host_http
from codin.agent.host.wire import RUN_EXTENSION, HostedInfo, HostError
from codin.agent.response import AgentResponse
from codin.runtime.base import Deployment
from codin.tool.base import Tool

CANCEL_SECONDS = 5.0
"""How long a canceled run may take to end before its host is ended instead."""

_MAX_HISTORY_BYTES = 1024 * 1024


class HostedAgent:
    """One agent of a host. Its process is started again with the next task when it died."""

    def __init__(self, claims: HostedInfo, process: HostProcess) -> None:
        self.tools: list[Tool] = []
        self._process = process
        self._claimed_id = claims.id
        self.describe(AgentInfo(**claims.model_dump()))

    @property
    def info(self) -> AgentInfo:
        """What the platform shows of this agent."""
        return self._info

    def describe(self, info: AgentInfo) -> None:
        """Say something else of it than it says itself, as the operator's settings do.

        Where it runs and whether it is trusted is the platform's to say, whatever is given.
        """
        self._info = replace(info, isolation="host", trusted=False)
        self.id, self.name, self.description = info.id, info.name, info.description

    async def handle(self, task: Task) -> AgentResponse:
        return AgentResponse(self._events(task))

    async def _events(self, task: Task) -> AsyncGenerator[AgentEvent, None]:
        if task.token is None:
            raise HostError(f"agent {self.id} runs in a host: its task needs a run's token")
        deployment = await self._process.ensure()
        if self._claimed_id not in {agent.id for agent in self._process.listing.agents}:
            raise HostError(f"the host has no agent {self._claimed_id!r} since it started again")
        async with host_http(deployment) as http:
            call = HostCall(http, self._claimed_id, task.token)
            try:
                async with aclosing(call.events(_outgoing(task))) as events:
                    async for event in events:
                        yield event
            except StreamBroke as broke:
                raise await self._explain(broke, deployment) from broke
            except (asyncio.CancelledError, GeneratorExit):
                if not call.ended:
                    await asyncio.shield(_end(call, deployment))
                raise

    async def _explain(self, broke: StreamBroke, deployment: Deployment) -> HostError:
        if await self._process.is_gone(deployment):
            return await self._process.death_of(deployment)
        return HostError(f"the stream of agent {self.id} broke off: {broke}")


async def _end(call: HostCall, deployment: Deployment) -> None:
    """End a run that nobody waits for any more; a host that does not end it is ended."""
    if not await call.cancel(CANCEL_SECONDS):
        await deployment.stop()


def _outgoing(task: Task) -> Message:
    """The task's message as the host gets it: a task of its own, with the history before it."""
    message = Message()
    message.CopyFrom(task.message)
    # Each run is a task of its own in the host, which keeps no log; the platform's id of the task
    # comes with the token.
    message.ClearField("task_id")
    message.context_id = task.context_id
    history: list[dict[str, object]] = []
    size = 0
    for past in reversed(task.history):
        size += past.ByteSize()
        if size > _MAX_HISTORY_BYTES:
            break
        history.insert(0, MessageToDict(past))
    if history:
        message.metadata.update({RUN_EXTENSION: {"history": history}})
    return message
