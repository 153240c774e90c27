"""An agent of a host, as the platform uses it: the `Agent` contract over A2A on a Unix socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

from a2a.types import Message
from google.protobuf.json_format import MessageToDict

from codin.agent.adapters.remote.agent import RemoteAgent
from codin.agent.base import AgentInfo, Task
from codin.agent.events import END_EVENTS, AgentEvent, Failed, InputRequest
from codin.agent.host.process import HostProcess
from codin.agent.host.wire import HOST_URL, RUN_EXTENSION, HostedInfo, HostError
from codin.agent.response import AgentResponse, failure
from codin.runtime.base import Deployment
from codin.tool.base import Tool

_MAX_HISTORY_BYTES = 1024 * 1024
_MAX_TOLD = 3


class HostedAgent:
    """One agent of a host. Its process is started again with the next task when it died."""

    def __init__(self, claims: HostedInfo, process: HostProcess) -> None:
        self.tools: list[Tool] = []
        self._process = process
        self._remote: tuple[Deployment, RemoteAgent] | None = None
        # Where it runs and whether it is trusted is the platform's to say.
        self.info = AgentInfo(
            **claims.model_dump(),
            isolation="host" if process.spec.environment.image is None else "container",
            trusted=False,
            environment=process.spec.environment.label,
        )
        self.id, self.name, self.description = claims.id, claims.name, claims.description

    async def handle(self, task: Task) -> AgentResponse:
        return AgentResponse(self._events(task))

    async def _events(self, task: Task) -> AsyncGenerator[AgentEvent, None]:
        if task.token is None:
            raise HostError(f"agent {self.id} runs in a host: its task needs a run's token")
        deployment = await self._process.ensure()
        if self.id not in {agent.id for agent in self._process.listing.agents}:
            raise HostError(f"the host has no agent {self.id!r} since it started again")
        began = time.monotonic()
        response = await self._agent_at(deployment).handle(_outgoing(task))
        ended = False
        try:
            events = cast("AsyncGenerator[AgentEvent, None]", aiter(response))
            async with aclosing(events):
                async for event in events:
                    ended = isinstance(event, END_EVENTS)
                    if isinstance(event, Failed) and await self._process.is_gone(deployment):
                        yield failure(await self._process.death_of(deployment))
                    elif isinstance(event, Failed):
                        yield _with_refusals(event, deployment, began)
                    else:
                        yield event
        except (asyncio.CancelledError, GeneratorExit):
            if not ended:
                # The agent was told to end; if it does not, its process is.
                await asyncio.shield(self._process.end_unless_over(deployment, task.id))
            raise

    def _agent_at(self, deployment: Deployment) -> RemoteAgent:
        # One for each process: it has the card of its own.
        if self._remote is None or self._remote[0] is not deployment:
            remote = _AgentInHost(
                f"{HOST_URL}/agents/{self.id}/",
                self.info,
                transport=self._process.transport,
                headers=_authorization,
            )
            self._remote = (deployment, remote)
        return self._remote[1]


class _AgentInHost(RemoteAgent):
    """The way into a host. An answer goes there as a task of its own, with what the agent said that
    it needs to go on: it may be another process by now."""

    def _remote_task(self, task: Task) -> str:
        return ""

    def _asked(self, request: InputRequest, remote_task: str) -> InputRequest:
        return request


def _with_refusals(failed: Failed, deployment: Deployment, began: float) -> Failed:
    """``failed``, and what the network of its host has refused meanwhile: many clients keep the
    reason of a proxy to themselves."""
    lines = [
        refusal.reason
        for refusal in deployment.refusals
        if refusal.latest >= began and refusal.reason not in failed.message
    ]
    if not lines:
        return failed
    told = "\n".join(lines[:_MAX_TOLD])
    return failed.model_copy(
        update={"message": f"{failed.message}\nConnections were refused meanwhile:\n{told}"}
    )


def _authorization(task: Task) -> dict[str, str]:
    return {"Authorization": f"Bearer {task.token}"}


def _outgoing(task: Task) -> Task:
    """The task with its history and its state in the message, where the host finds them."""
    message = Message()
    message.CopyFrom(task.message)
    history: list[dict[str, Any]] = []
    size = 0
    for past in reversed(task.history):
        size += past.ByteSize()
        if size > _MAX_HISTORY_BYTES:
            break
        history.insert(0, MessageToDict(past))
    handed: dict[str, Any] = {"history": history} if history else {}
    if task.state is not None:
        handed["state"] = task.state
    if handed:
        message.metadata.update({RUN_EXTENSION: handed})
    return replace(task, message=message, state=None)
