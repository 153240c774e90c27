"""The contract of a version of A2A as a gRPC service."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from codin.gateway.grpc.calls import OpenCalls
from codin.gateway.grpc.reception import Reception
from codin.gateway.grpc.writing import Outgoing, StreamWriter


class Service(ABC):
    """Answers the methods of a service description.

    Both methods get the request as it came, for gRPC would call one that cannot be parsed its own
    failure, and may raise whatever ``refusal`` has a status for.
    """

    descriptor: ServiceDescriptor

    def __init__(self, reception: Reception, calls: OpenCalls, write_seconds: float) -> None:
        self.reception = reception
        self._calls = calls
        self._write_seconds = write_seconds

    @abstractmethod
    async def answer(
        self, method: MethodDescriptor, raw: bytes, rpc: grpc.aio.ServicerContext
    ) -> Message:
        """The one answer of a call."""

    @abstractmethod
    async def stream(
        self, method: MethodDescriptor, raw: bytes, rpc: grpc.aio.ServicerContext
    ) -> AsyncGenerator[Outgoing, None]:
        """The answers of a call, as a generator that is closed whatever happens."""

    def handlers(self) -> grpc.GenericRpcHandler:
        """What a gRPC server is given."""
        handlers = {method.name: self._handler(method) for method in self.descriptor.methods}
        return grpc.method_handlers_generic_handler(self.descriptor.full_name, handlers)

    def _handler(self, method: MethodDescriptor) -> grpc.RpcMethodHandler:
        if method.server_streaming:
            behaviour = self._calls.kept(partial(self._write, method), stream=True)
            return grpc.unary_stream_rpc_method_handler(behaviour, None, _serialized)
        behaviour = self._calls.kept(partial(self.answer, method), stream=False)
        return grpc.unary_unary_rpc_method_handler(behaviour, None, _serialized)

    async def _write(
        self, method: MethodDescriptor, raw: bytes, rpc: grpc.aio.ServicerContext
    ) -> None:
        writer = StreamWriter(rpc, self._write_seconds)
        # Closed here, so that a client that leaves leaves no reader of the log behind.
        async with aclosing(await self.stream(method, raw, rpc)) as messages:
            await writer.open()
            async for seq, message in messages:
                await writer.write(message, seq)


def _serialized(message: Message) -> bytes:
    wire: bytes = message.SerializeToString()
    return wire
