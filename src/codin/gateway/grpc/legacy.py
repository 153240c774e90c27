"""A2A 0.3 (``a2a.v1.A2AService``), for clients that have not moved on."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, NoReturn

import grpc
from a2a.compat.v0_3 import a2a_v0_3_pb2
from a2a.compat.v0_3.grpc_handler import CompatGrpcHandler
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers.grpc_handler import GrpcServerCallContextBuilder
from a2a.utils.errors import A2AError
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from codin.gateway.grpc.base import Service
from codin.gateway.grpc.reception import parse
from codin.gateway.grpc.writing import Outgoing


class LegacyService(Service):
    """The SDK translates; who calls, which agent, and what errors look like is as in 1.0."""

    descriptor = a2a_v0_3_pb2.DESCRIPTOR.services_by_name["A2AService"]

    async def answer(
        self, method: MethodDescriptor, raw: bytes, rpc: grpc.aio.ServicerContext
    ) -> Message:
        operation, request = await self._accept(method, raw, rpc)
        found: Message = await operation(request, rpc)
        return found

    async def stream(
        self, method: MethodDescriptor, raw: bytes, rpc: grpc.aio.ServicerContext
    ) -> AsyncGenerator[Outgoing, None]:
        operation, request = await self._accept(method, raw, rpc)
        return _unnumbered(operation(request, rpc))

    async def _accept(
        self, method: MethodDescriptor, raw: bytes, rpc: grpc.aio.ServicerContext
    ) -> tuple[Any, Any]:
        visit = await self.reception.admit(rpc, old=True, stream=method.server_streaming)
        request: Any = parse(GetMessageClass(method.input_type), raw)
        agent = self.reception.agent(visit, "")
        translator = _Translator(
            agent.handler, _Known(visit.context(self.reception.web_url(agent)))
        )
        return getattr(translator, method.name), request


async def _unnumbered(responses: AsyncGenerator[Message, None]) -> AsyncGenerator[Outgoing, None]:
    async with aclosing(responses):
        async for response in responses:
            yield None, response


class _Known(GrpcServerCallContextBuilder):
    """The context of a call that was let in already."""

    def __init__(self, context: ServerCallContext) -> None:
        self._context = context

    def build(self, context: grpc.aio.ServicerContext) -> ServerCallContext:
        return self._context


class _Translator(CompatGrpcHandler):
    async def abort_context(self, error: A2AError, context: grpc.aio.ServicerContext) -> NoReturn:
        # One place says errors to clients, and bounds what they say.
        raise error
