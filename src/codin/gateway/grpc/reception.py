"""What a gRPC call is: who makes it, in which version, for which agent, with what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import unquote

import grpc
from a2a.extensions.common import HTTP_EXTENSION_HEADER, get_requested_extensions
from a2a.server.context import ServerCallContext
from a2a.utils.constants import PROTOCOL_VERSION_0_3, VERSION_HEADER
from a2a.utils.errors import InvalidParamsError, InvalidRequestError, VersionNotSupportedError
from google.protobuf.message import DecodeError, Message
from packaging.version import InvalidVersion, Version

from codin.gateway.auth import Caller
from codin.gateway.base import GatewayParts, ServedAgent
from codin.security import Principal
from codin.task.handler import PRINCIPAL

TENANT_KEY = "a2a-tenant"
"""Metadata that names the agent where the request has no field for it, as in A2A 0.3."""

Request = TypeVar("Request", bound=Message)


@dataclass(frozen=True, slots=True)
class Visit:
    """A call that was let in, before its body is looked at."""

    principal: Principal
    caller: Caller

    def context(self) -> ServerCallContext:
        """The SDK's call context: metadata stands in it as headers do, for gRPC sends HTTP's
        headers as metadata (A2A 1.0, section 10.2)."""
        headers = dict(self.caller.headers)
        asked = headers.get(HTTP_EXTENSION_HEADER.lower(), "")
        return ServerCallContext(
            state={"headers": headers, PRINCIPAL: self.principal},
            requested_extensions=get_requested_extensions([asked]),
        )


class Reception:
    """Lets calls in, and finds the agent that each is for.

    Several agents share a port, and gRPC knows no paths: an agent's card declares its id as the
    interface's ``tenant``, which clients give back with every request (A2A 1.0, section 4.4.6).
    Without one the orchestrator answers.
    """

    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts

    async def admit(self, rpc: grpc.aio.ServicerContext, version: str) -> Visit:
        """Whoever may call, in the ``version`` that the called service speaks.

        Raises:
            Unauthenticated: nobody whom the gateway knows.
            VersionNotSupportedError
        """
        metadata = rpc.invocation_metadata() or ()
        texts = [(key, value) for key, value in metadata if isinstance(value, str)]
        caller = Caller.of(texts, _host(rpc.peer()))
        principal = await self._parts.authenticator.authenticate(caller)
        _check_version(caller.headers.get(VERSION_HEADER.lower(), ""), version)
        return Visit(principal, caller)

    def agent(self, visit: Visit, tenant: str) -> ServedAgent:
        """The agent of that name; one that the caller may not use looks like none.

        Raises:
            InvalidParamsError
        """
        wanted = tenant or visit.caller.headers.get(TENANT_KEY, "")
        root = self._parts.orchestrator
        if wanted in ("", root.info.id):
            return root
        for served in self._parts.agents(visit.principal):
            if served.info.id == wanted:
                return served
        raise InvalidParamsError(
            f"no agent {wanted!r} here: the tenant of a request is the one that the agent's card"
            " declares for this interface"
        )


def parse(kind: type[Request], raw: bytes) -> Request:
    """The request in ``raw``.

    Raises:
        InvalidRequestError: it is none: cut short, nested without end, text that is no UTF-8.
    """
    try:
        request: Request = kind.FromString(raw)
    except DecodeError as error:
        raise InvalidRequestError(f"the request is no {kind.DESCRIPTOR.name}") from error
    return request


def _check_version(asked: str, spoken: str) -> None:
    """A missing or empty version means 0.3 (A2A 1.0, section 3.6.2); patches do not matter."""
    asked = asked.strip() or PROTOCOL_VERSION_0_3
    try:
        same = Version(asked).release[:2] == Version(spoken).release
    except InvalidVersion:
        same = False
    if not same:
        raise VersionNotSupportedError(
            f"this service speaks A2A {spoken}, not {asked[:20]!r}: say so in the metadata"
            f" {VERSION_HEADER.lower()} (none means {PROTOCOL_VERSION_0_3})"
        )


def _host(peer: str) -> str | None:
    """The address in ``ipv4:127.0.0.1:50051`` or ``ipv6:%5B::1%5D:50051``."""
    family, _, address = unquote(peer).partition(":")
    if family not in ("ipv4", "ipv6"):
        return None
    return address.rpartition(":")[0].strip("[]")
