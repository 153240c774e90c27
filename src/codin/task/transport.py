"""A2A inside one process: the SDK's client, with calls of the handler where others have a wire."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar

from a2a.client import Client, ClientCallContext, ClientConfig
from a2a.client.base_client import BaseClient
from a2a.client.transports.base import ClientTransport
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers import RequestHandler
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    CancelTaskRequest,
    DeleteTaskPushNotificationConfigRequest,
    GetExtendedAgentCardRequest,
    GetTaskPushNotificationConfigRequest,
    GetTaskRequest,
    ListTaskPushNotificationConfigsRequest,
    ListTaskPushNotificationConfigsResponse,
    ListTasksRequest,
    ListTasksResponse,
    SendMessageRequest,
    SendMessageResponse,
    StreamResponse,
    SubscribeToTaskRequest,
    Task,
    TaskPushNotificationConfig,
)
from a2a.utils.errors import TaskNotFoundError
from a2a.utils.proto_utils import to_stream_response

from codin.security import Principal
from codin.task.door import PARENT, PRINCIPAL
from codin.task.work import ParentTask

if TYPE_CHECKING:
    from google.protobuf.message import Message as Proto

_P = TypeVar("_P", bound="Proto")


class InMemoryTransport(ClientTransport):
    """Calls ``handler`` for ``principal``, as a step of ``parent`` when there is one.

    Requests are copied, as on a wire: neither side sees what the other does to its objects.
    """

    def __init__(
        self, handler: RequestHandler, principal: Principal, parent: ParentTask | None = None
    ) -> None:
        self._handler = handler
        self._state = {PRINCIPAL: principal, **({PARENT: parent} if parent else {})}

    async def send_message(
        self, request: SendMessageRequest, *, context: ClientCallContext | None = None
    ) -> SendMessageResponse:
        result = await self._handler.on_message_send(_copy(request), self._call())
        if isinstance(result, Task):
            return SendMessageResponse(task=result)
        return SendMessageResponse(message=result)

    async def send_message_streaming(
        self, request: SendMessageRequest, *, context: ClientCallContext | None = None
    ) -> AsyncGenerator[StreamResponse, None]:
        async with aclosing(
            self._handler.on_message_send_stream(_copy(request), self._call())
        ) as events:
            async for event in events:
                yield to_stream_response(event)

    async def subscribe(
        self, request: SubscribeToTaskRequest, *, context: ClientCallContext | None = None
    ) -> AsyncGenerator[StreamResponse, None]:
        async with aclosing(
            self._handler.on_subscribe_to_task(_copy(request), self._call())
        ) as events:
            async for event in events:
                yield to_stream_response(event)

    async def get_task(
        self, request: GetTaskRequest, *, context: ClientCallContext | None = None
    ) -> Task:
        return _found(await self._handler.on_get_task(_copy(request), self._call()))

    async def list_tasks(
        self, request: ListTasksRequest, *, context: ClientCallContext | None = None
    ) -> ListTasksResponse:
        return await self._handler.on_list_tasks(_copy(request), self._call())

    async def cancel_task(
        self, request: CancelTaskRequest, *, context: ClientCallContext | None = None
    ) -> Task:
        return _found(await self._handler.on_cancel_task(_copy(request), self._call()))

    async def create_task_push_notification_config(
        self, request: TaskPushNotificationConfig, *, context: ClientCallContext | None = None
    ) -> TaskPushNotificationConfig:
        return await self._handler.on_create_task_push_notification_config(
            _copy(request), self._call()
        )

    async def get_task_push_notification_config(
        self,
        request: GetTaskPushNotificationConfigRequest,
        *,
        context: ClientCallContext | None = None,
    ) -> TaskPushNotificationConfig:
        return await self._handler.on_get_task_push_notification_config(
            _copy(request), self._call()
        )

    async def list_task_push_notification_configs(
        self,
        request: ListTaskPushNotificationConfigsRequest,
        *,
        context: ClientCallContext | None = None,
    ) -> ListTaskPushNotificationConfigsResponse:
        return await self._handler.on_list_task_push_notification_configs(
            _copy(request), self._call()
        )

    async def delete_task_push_notification_config(
        self,
        request: DeleteTaskPushNotificationConfigRequest,
        *,
        context: ClientCallContext | None = None,
    ) -> None:
        await self._handler.on_delete_task_push_notification_config(_copy(request), self._call())

    async def get_extended_agent_card(
        self, request: GetExtendedAgentCardRequest, *, context: ClientCallContext | None = None
    ) -> AgentCard:
        return await self._handler.on_get_extended_agent_card(_copy(request), self._call())

    async def close(self) -> None:
        """Do nothing: there is nothing open."""

    def _call(self) -> ServerCallContext:
        return ServerCallContext(state=dict(self._state))


def in_memory_client(
    handler: RequestHandler, principal: Principal, parent: ParentTask | None = None
) -> Client:
    """An A2A client of the agent behind ``handler``, that streams."""
    card = AgentCard(name="in memory", capabilities=AgentCapabilities(streaming=True))
    transport = InMemoryTransport(handler, principal, parent)
    return BaseClient(card, ClientConfig(streaming=True), transport, [])


def _copy(request: _P) -> _P:
    copied: _P = type(request)()
    copied.CopyFrom(request)
    return copied


def _found(task: Task | None) -> Task:
    if task is None:
        raise TaskNotFoundError
    return task
