"""A2A 1.0's eleven operations (``lf.a2a.v1.A2AService``)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import grpc
from a2a.server.context import ServerCallContext
from a2a.types import SendMessageResponse, Task, a2a_pb2
from a2a.utils.errors import TaskNotFoundError
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from codin.agent.cards import RESUME_EXTENSION
from codin.gateway.base import ServedAgent
from codin.gateway.grpc.base import Service
from codin.gateway.grpc.reception import parse
from codin.gateway.grpc.writing import Outgoing
from codin.task.updates import TaskUpdate

_HANDLED_BY = {
    "SendMessage": "on_message_send",
    "SendStreamingMessage": "send_stream",
    "GetTask": "on_get_task",
    "ListTasks": "on_list_tasks",
    "CancelTask": "on_cancel_task",
    "SubscribeToTask": "task_stream",
    "CreateTaskPushNotificationConfig": "on_create_task_push_notification_config",
    "GetTaskPushNotificationConfig": "on_get_task_push_notification_config",
    "ListTaskPushNotificationConfigs": "on_list_task_push_notification_configs",
    "DeleteTaskPushNotificationConfig": "on_delete_task_push_notification_config",
    "GetExtendedAgentCard": "on_get_extended_agent_card",
}


@dataclass(frozen=True, slots=True)
class _Asked:
    agent: ServedAgent
    request: Any
    context: ServerCallContext

    def handled_by(self, method: MethodDescriptor) -> Any:
        operation = getattr(self.agent.handler, _HANDLED_BY[method.name])
        return operation(self.request, self.context)


class CurrentService(Service):
    """Passes each call on to the handler of the agent that it is for."""

    descriptor = a2a_pb2.DESCRIPTOR.services_by_name["A2AService"]

    async def answer(
        self, method: MethodDescriptor, raw: bytes, rpc: grpc.aio.ServicerContext
    ) -> Message:
        asked = await self._accept(method, raw, rpc)
        return _answer(method, await asked.handled_by(method))

    async def stream(
        self, method: MethodDescriptor, raw: bytes, rpc: grpc.aio.ServicerContext
    ) -> AsyncGenerator[Outgoing, None]:
        asked = await self._accept(method, raw, rpc)
        numbered = RESUME_EXTENSION in asked.context.requested_extensions
        return _responses(asked.handled_by(method), numbered=numbered)

    async def _accept(
        self, method: MethodDescriptor, raw: bytes, rpc: grpc.aio.ServicerContext
    ) -> _Asked:
        visit = await self.reception.admit(rpc, old=False, stream=method.server_streaming)
        request: Any = parse(GetMessageClass(method.input_type), raw)
        agent = self.reception.agent(visit, request.tenant)
        return _Asked(agent, request, visit.context(self.reception.web_url(agent)))


async def _responses(
    updates: AsyncGenerator[TaskUpdate, None], *, numbered: bool
) -> AsyncGenerator[Outgoing, None]:
    """The updates as A2A's messages; the number of each is in its metadata, under the URI of the
    extension, when the client activated that: gRPC has no room for it outside of the message."""
    async with aclosing(updates):
        async for update in updates:
            response = update.response
            if numbered:
                inside = getattr(response, response.WhichOneof("payload"))
                inside.metadata.update({RESUME_EXTENSION: str(update.seq)})
            yield update.seq, response


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
