"""The gRPC server: one port for all agents, from ``start`` to ``stop``."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Self

import grpc
from a2a.types import AgentInterface
from a2a.utils.constants import PROTOCOL_VERSION_0_3, PROTOCOL_VERSION_CURRENT

from codin.agent.base import AgentInfo
from codin.gateway.address import Address, check_encrypted, joined, parsed_address
from codin.gateway.base import GatewayParts
from codin.gateway.errors import AddressInUse, GatewayError
from codin.gateway.grpc.base import Service
from codin.gateway.grpc.calls import OpenCalls
from codin.gateway.grpc.current import CurrentService
from codin.gateway.grpc.legacy import LegacyService
from codin.gateway.grpc.limits import GrpcLimits
from codin.gateway.grpc.reception import Reception

DEFAULT_PORT = 8421


class GrpcServer:
    """All agents of ``parts`` over gRPC; port 0 takes a free one. An async context manager. While
    it serves, the cards of ``parts`` name it.

    Without ``credentials`` (TLS) it serves loopback addresses only, for tokens travel in the clear.
    ``public_address`` is the ``host:port`` that cards declare when it is not the one served on;
    ``web_url`` is where the gateway is over HTTP, which extended cards name. ``old_clients``, those
    of 0.3, are served too.
    """

    def __init__(
        self,
        parts: GatewayParts,
        *,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        credentials: grpc.ServerCredentials | None = None,
        limits: GrpcLimits | None = None,
        public_address: str | None = None,
        web_url: str | None = None,
        old_clients: bool = True,
    ) -> None:
        self._parts = parts
        self._host = host
        self._port = port
        self._credentials = credentials
        self._limits = limits or GrpcLimits()
        self._public_address = public_address
        self._old_clients = old_clients
        self._reception = Reception(parts, web_url.rstrip("/") if web_url else None)
        self._calls: OpenCalls | None = None
        self._server: grpc.aio.Server | None = None
        parts.cards.declare(self._interfaces)

    @property
    def address(self) -> str:
        """``host:port``, which is what gRPC's clients take, once started."""
        return joined(self._host, self._port)

    url = address

    def _interfaces(self, info: AgentInfo) -> Iterator[AgentInterface]:
        """Where ``info``'s agent is, while this serves."""
        if self._server is None:
            return
        root = info.id == self._parts.front.info.id
        yield self._interface(tenant="" if root else info.id)
        # 0.3 knows no tenant by which its clients could name another agent.
        if root and self._old_clients:
            yield self._interface(version=PROTOCOL_VERSION_0_3)

    def _interface(
        self, *, tenant: str = "", version: str = PROTOCOL_VERSION_CURRENT
    ) -> AgentInterface:
        return AgentInterface(
            url=self._public_address or self.address,
            protocol_binding="GRPC",
            protocol_version=version,
            tenant=tenant,
        )

    async def start(self) -> None:
        """Return once calls are answered.

        Raises:
            AddressInUse, UnsafeAddress, GatewayError
        """
        host = parsed_address(self._host)
        check_encrypted(host, secure=self._credentials is not None)
        _check_free(host, self._port)
        server = grpc.aio.server(
            options=self._limits.options(self._parts.quota.limits.body_bytes),
            maximum_concurrent_rpcs=self._limits.calls,
        )
        calls = OpenCalls()
        server.add_generic_rpc_handlers(self._services(calls))
        target = joined(str(host), self._port)
        try:
            self._port = (
                server.add_secure_port(target, self._credentials)
                if self._credentials
                else server.add_insecure_port(target)
            )
        except RuntimeError as error:
            raise GatewayError(f"cannot serve gRPC on {target}: {error}") from error
        await server.start()
        self._server, self._calls = server, calls

    def _services(self, calls: OpenCalls) -> list[grpc.GenericRpcHandler]:
        shared = (self._reception, calls, self._limits.write)
        services: list[Service] = [CurrentService(*shared)]
        if self._old_clients:
            services.append(LegacyService(*shared))
        return [service.handlers() for service in services]

    async def stop(self) -> None:
        """End open streams, let other calls end within the grace, close. Safe to call twice."""
        server, self._server = self._server, None
        if server is None or self._calls is None:
            return
        grace = self._limits.grace
        closing = asyncio.create_task(server.stop(grace + 0.5))
        try:
            await self._calls.end(grace)
        finally:
            await closing

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def _check_free(host: Address, port: int) -> None:
    """gRPC does not say why it could not listen."""
    family = socket.AF_INET6 if host.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((str(host), port))
        except OSError as error:
            raise AddressInUse(
                f"cannot listen on {host}, port {port} ({error.strerror}): stop the program that"
                " does, or choose another port with --grpc-port (0 takes a free one)"
            ) from error
