"""One task of a host's agent, from the platform's side: an A2A stream, and its cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import httpx
from a2a.client import ClientCallContext
from a2a.client.transports.jsonrpc import JsonRpcTransport
from a2a.types import (
    AgentCard,
    CancelTaskRequest,
    Message,
    SendMessageRequest,
    StreamResponse,
)
from a2a.utils.errors import A2AError, TaskNotCancelableError

from codin.agent.a2a import EventDecoder
from codin.agent.events import AgentEvent
from codin.agent.host.wire import HOST_URL

_FIRST_SECONDS = 5.0


class StreamBroke(Exception):
    """The stream ended before the run did."""


class HostCall:
    """Sends one message to an agent of a host and reads the run that comes of it.

    Args:
        http: a client of the host.
        agent_id: the agent, as the host calls it.
        token: the run's token, sent with the call and nowhere else.
    """

    def __init__(self, http: httpx.AsyncClient, agent_id: str, token: str) -> None:
        url = f"{HOST_URL}/agents/{agent_id}/"
        self._transport = JsonRpcTransport(http, AgentCard(), url, is_shared_httpx=True)
        headers = {"Authorization": f"Bearer {token}", "A2A-Version": "1.0"}
        self._context = ClientCallContext(service_parameters=headers)
        self._decoder = EventDecoder()
        self._task_id = ""

    @property
    def ended(self) -> bool:
        """Whether the event that ends the run was read."""
        return self._decoder.ended

    async def events(self, message: Message) -> AsyncGenerator[AgentEvent, None]:
        """The events of the run.

        Raises:
            StreamBroke: the connection, or what came over it, broke before the end.
        """
        request = SendMessageRequest(message=message)
        stream = self._transport.send_message_streaming(request, context=self._context)
        try:
            async with aclosing(stream):
                response: StreamResponse | None = await self._first(stream)
                while response is not None:
                    for event in self._decoder.decode(response):
                        yield event
                    if self.ended:
                        return
                    response = await anext(stream, None)
        except A2AError as error:
            raise StreamBroke(str(error)) from error
        raise StreamBroke("it ended without saying how the run ended")

    async def cancel(self, seconds: float) -> bool:
        """Have the host end the run; whether it has ended, as far as the host says."""
        if not self._task_id:
            return False
        request = CancelTaskRequest(id=self._task_id)
        try:
            async with asyncio.timeout(seconds):
                await self._transport.cancel_task(request, context=self._context)
        except TaskNotCancelableError:
            return True  # It had ended already.
        except (A2AError, TimeoutError):
            return False
        return True

    async def _first(self, stream: AsyncGenerator[StreamResponse, None]) -> StreamResponse | None:
        """The first response. It names the task, so it is waited for even when canceled."""
        coming = asyncio.ensure_future(anext(stream, None))
        try:
            response = await asyncio.shield(coming)
        except asyncio.CancelledError:
            with suppress(A2AError, TimeoutError):
                async with asyncio.timeout(_FIRST_SECONDS):
                    self._remember(await coming)
            raise
        self._remember(response)
        return response

    def _remember(self, response: StreamResponse | None) -> None:
        if response is None:
            return
        match response.WhichOneof("payload"):
            case "task":
                self._task_id = response.task.id
            case "status_update":
                self._task_id = response.status_update.task_id
            case "artifact_update":
                self._task_id = response.artifact_update.task_id
