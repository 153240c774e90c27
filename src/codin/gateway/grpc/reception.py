"""What a gRPC call is: who makes it, in which version, for which agent, with what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import unquote

import grpc
from a2a.extensions.common import HTTP_EXTENSION_HEADER, get_requested_extensions
from a2a.server.context import ServerCallContext
from a2a.utils.constants import VERSION_HEADER
from a2a.utils.errors import InvalidParamsError, InvalidRequestError, VersionNotSupportedError
from google.protobuf.message import DecodeError, Message

from codin.gateway.a2a.calling import OLD_VERSION, check_version, is_old
from codin.gateway.auth import Caller
from codin.gateway.base import GatewayParts, ServedAgent
from codin.gateway.errors import Unauthenticated
from codin.gateway.quota import Turn
from codin.security import Principal
from codin.task.door import NEW_TASK, ORIGIN, PRINCIPAL
from codin.task.handler import CARD_URL
from codin.task.updates import LAST_EVENT_ID

TENANT_KEY = "a2a-tenant"
"""Metadata that names the agent where the request has no field for it, as in A2A 0.3."""

LAST_EVENT_KEY = "last-event-id"
"""Metadata by which a client resumes a stream after the last event that it saw."""

Request = TypeVar("Request", bound=Message)


@dataclass(frozen=True, slots=True)
class Visit:
    """A call that was let in, before its body is looked at."""

    principal: Principal
    caller: Caller
    turn: Turn

    def context(self, card_url: str | None) -> ServerCallContext:
        """The SDK's call context: metadata stands in it as headers do, for gRPC sends HTTP's
        headers as metadata (A2A 1.0, section 10.2). ``card_url`` is the agent's address over HTTP,
        if there is one."""
        headers = dict(self.caller.headers)
        state: dict[str, object] = {
            "headers": headers,
            PRINCIPAL: self.principal,
            NEW_TASK: self.turn.task,
        }
        if self.caller.host is not None:
            state[ORIGIN] = self.caller.host
        if card_url is not None:
            state[CARD_URL] = card_url
        if LAST_EVENT_KEY in headers:
            state[LAST_EVENT_ID] = headers[LAST_EVENT_KEY]
        asked = headers.get(HTTP_EXTENSION_HEADER.lower(), "")
        return ServerCallContext(
            state=state, requested_extensions=get_requested_extensions([asked])
        )


class Reception:
    """Lets calls in, and finds the agent that each is for.

    Several agents share a port, and gRPC knows no paths: an agent's card declares its id as the
    interface's ``tenant``, which clients give back with every request (A2A 1.0, section 4.4.6).
    Without one the agent in front answers.
    """

    def __init__(self, parts: GatewayParts, web_url: str | None = None) -> None:
        self._parts = parts
        self._web_url = web_url

    async def admit(self, rpc: grpc.aio.ServicerContext, *, old: bool, stream: bool) -> Visit:
        """Whoever may call, in 1.0, or in 0.3 when the called service is an ``old`` one. No
        version named is 0.3 (A2A 1.0, section 3.6.2). Account is kept of the call, as of a
        ``stream`` or not, until it is over.

        Raises:
            Unauthenticated: nobody whom the gateway knows.
            LimitReached: the caller takes as much as it may.
            VersionNotSupportedError
        """
        metadata = rpc.invocation_metadata() or ()
        texts = [(key, value) for key, value in metadata if isinstance(value, str)]
        caller = Caller.of(texts, _host(rpc.peer()))
        principal = await self._authenticated(caller)
        turn = self._parts.quota.enter(principal, caller.host)
        rpc.add_done_callback(lambda _: turn.leave())
        if stream:
            turn.stream()
        version = caller.headers.get(VERSION_HEADER.lower(), "").strip() or OLD_VERSION
        if not old:
            check_version(version)
        elif not is_old(version):
            raise VersionNotSupportedError(
                f"this service is A2A 0.3, not {version[:20]!r}: call lf.a2a.v1.A2AService"
            )
        return Visit(principal, caller, turn)

    async def _authenticated(self, caller: Caller) -> Principal:
        try:
            return await self._parts.authenticator.authenticate(caller)
        except Unauthenticated:
            self._parts.quota.failed(caller.host)
            raise

    def agent(self, visit: Visit, tenant: str) -> ServedAgent:
        """The agent of that name; one that the caller may not use looks like none.

        Raises:
            InvalidParamsError
        """
        wanted = tenant or visit.caller.headers.get(TENANT_KEY, "")
        root = self._parts.front
        if wanted in ("", root.info.id):
            return root
        for served in self._parts.agents(visit.principal):
            if served.info.id == wanted:
                return served
        raise InvalidParamsError(
            f"no agent {wanted!r} here: the tenant of a request is the one that the agent's card"
            " declares for this interface"
        )

    def web_url(self, agent: ServedAgent) -> str | None:
        """The agent's address over HTTP, if it has one."""
        if self._web_url is None:
            return None
        root = agent.info.id == self._parts.front.info.id
        return f"{self._web_url}/" if root else f"{self._web_url}/agents/{agent.info.id}/"


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


def _host(peer: str) -> str | None:
    """The address in ``ipv4:127.0.0.1:50051`` or ``ipv6:%5B::1%5D:50051``."""
    family, _, address = unquote(peer).partition(":")
    if family not in ("ipv4", "ipv6"):
        return None
    return address.rpartition(":")[0].strip("[]")
