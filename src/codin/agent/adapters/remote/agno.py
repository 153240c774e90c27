"""The A2A interface of Agno's AgentOS (agno 3.1.10).

It is JSON-RPC 0.3 with an address for each method, and its cards name the one for streams.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx
from a2a.client.client import ClientCallContext
from a2a.client.transports.http_helpers import send_http_request
from a2a.compat.v0_3 import types as types_v03
from a2a.compat.v0_3.conversions import to_core_task
from a2a.compat.v0_3.jsonrpc_transport import CompatJsonRpcTransport
from a2a.types import (
    AgentCard,
    CancelTaskRequest,
    GetTaskRequest,
    SendMessageRequest,
    SendMessageResponse,
    StreamResponse,
    SubscribeToTaskRequest,
    Task,
    TaskState,
)
from a2a.utils.errors import A2AError, UnsupportedOperationError

from codin.ids import new_id

_ENDED = {
    TaskState.TASK_STATE_COMPLETED,
    TaskState.TASK_STATE_FAILED,
    TaskState.TASK_STATE_CANCELED,
}


class AgnoTransport(CompatJsonRpcTransport):
    """Sends each method to its own address. Its tasks are found with their context only."""

    def __init__(
        self,
        httpx_client: httpx.AsyncClient,
        agent_card: AgentCard | None,
        url: str,
        *,
        is_shared_httpx: bool = False,
    ) -> None:
        super().__init__(httpx_client, agent_card, url, is_shared_httpx=is_shared_httpx)
        self._base = url.removesuffix("message:stream")
        self._context_id = ""

    async def send_message(
        self, request: SendMessageRequest, *, context: ClientCallContext | None = None
    ) -> SendMessageResponse:
        self._context_id = request.message.context_id
        return await self._at("message:send").send_message(request, context=context)

    async def send_message_streaming(
        self, request: SendMessageRequest, *, context: ClientCallContext | None = None
    ) -> AsyncGenerator[StreamResponse]:
        self._context_id = request.message.context_id
        spoke = False
        held: StreamResponse | None = None
        async for response in super().send_message_streaming(request, context=context):
            spoke = spoke or response.HasField("message")
            if response.status_update.status.state in _ENDED:
                held = response  # the task that comes next says more
                continue
            if not response.HasField("task"):
                yield response
                continue
            held = None
            done = response.task.status.state == TaskState.TASK_STATE_COMPLETED
            yield await self._as_kept(response) if done and not spoke else response
        if held is not None:
            yield held

    async def _as_kept(self, response: StreamResponse) -> StreamResponse:
        """Its streams say of runs that failed that they were completed; what it keeps does not."""
        try:
            return StreamResponse(task=await self.get_task(GetTaskRequest(id=response.task.id)))
        except (A2AError, httpx.HTTPError):
            return response

    async def get_task(
        self, request: GetTaskRequest, *, context: ClientCallContext | None = None
    ) -> Task:
        body = {
            "jsonrpc": "2.0",
            "id": new_id(),
            "method": "tasks/get",
            "params": {"id": request.id, "contextId": self._context_id},
        }
        asked = self.httpx_client.build_request("POST", f"{self._base}tasks:get", json=body)
        answer = await send_http_request(self.httpx_client, asked)
        return to_core_task(types_v03.Task.model_validate(answer.get("result")))

    async def cancel_task(
        self, request: CancelTaskRequest, *, context: ClientCallContext | None = None
    ) -> Task:
        return await self._at("tasks:cancel").cancel_task(request, context=context)

    async def subscribe(
        self, request: SubscribeToTaskRequest, *, context: ClientCallContext | None = None
    ) -> AsyncGenerator[StreamResponse]:
        raise UnsupportedOperationError("AgentOS has no way to follow a task again")
        yield

    def _at(self, method: str) -> CompatJsonRpcTransport:
        return CompatJsonRpcTransport(
            self.httpx_client, self.agent_card, self._base + method, is_shared_httpx=True
        )
