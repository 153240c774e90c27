"""A2A 1.0's eleven operations (``lf.a2a.v1.A2AService``)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc
from a2a.server.context import ServerCallContext
from a2a.types import SendMessageResponse, Task, a2a_pb2
from a2a.utils.constants import PROTOCOL_VERSION_CURRENT
from a2a.utils.errors import TaskNotFoundError
from a2a.utils.proto_utils import to_stream_response
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from codin.gateway.grpc.base import Service
from codin.gateway.grpc.reception import parse

_HANDLED_BY = {
    "SendMessage": "on_message_send",
    "SendStreamingMessage": "on_message_send_stream",
    "GetTask": "on_get_task",
    "ListTasks": "on_list_tasks",
    "CancelTask": "on_cancel_task",
    "SubscribeToTask": "on_subscribe_to_task",
    "CreateTaskPushNotificationConfig": "on_create_task_push_notification_config",
    "GetTaskPushNotificationConfig": "on_get_task_push_notification_config",
    "ListTaskPushNotificationConfigs": "on_list_task_push_notification_configs",
    "DeleteTaskPushNotificationConfig": "on_delete_task_push_notification_config",
    "GetExtendedAgentCard": "on_get_extended_agent_card",
}


class CurrentService(Service):
    """Passes each call on to the handler of the agent that it is for."""

    descriptor = a2a_pb2.DESCRIPTOR.services_by_name["A2AService"]

    async def answer(
        self, method: MethodDescriptor, raw: bytes, rpc: grpc.aio.ServicerContext
    ) -> Message:
        operation, request, context = await self._accept(method, raw, rpc)
        return _answer(method, await operation(request, context))

    async def stream(
        self, method: MethodDescriptor, raw: bytes, rpc: grpc.aio.ServicerContext
    ) -> AsyncGenerator[Message, None]:
        operation, request, context = await self._accept(method, raw, rpc)
        return _responses(operation(request, context))

    async def _accept(
        self, method: MethodDescriptor, raw: bytes, rpc: grpc.aio.ServicerContext
    ) -> tuple[Any, Any, ServerCallContext]:
        visit = await self.reception.admit(rpc, PROTOCOL_VERSION_CURRENT)
        request: Any = parse(GetMessageClass(method.input_type), raw)
        agent = self.reception.agent(visit, request.tenant)
        # It named the agent; below there is one agent only, as behind an address of HTTP.
        request.tenant = ""
        return getattr(agent.handler, _HANDLED_BY[method.name]), request, visit.context()


async def _responses(events: AsyncGenerator[Any, None]) -> AsyncGenerator[Message, None]:
    async with aclosing(events):
        async for event in events:
            yield to_stream_response(event)


def _answer(method: MethodDescriptor, found: Any) -> Message:
    match method.name:
        case "SendMessage":
            field = "task" if isinstance(found, Task) else "message"
            return SendMessageResponse(**{field: found})
        case "DeleteTaskPushNotificationConfig":
            return Empty()
    if found is None:
        raise TaskNotFoundError
    assert isinstance(found, Message)
    return found
