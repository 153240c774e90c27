"""Who calls: the one place where a request gets its principal, or is turned away."""

from __future__ import annotations

import ipaddress
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self
from urllib.parse import urlsplit

from a2a.server.context import ServerCallContext
from a2a.server.routes import DefaultServerCallContextBuilder
from a2a.utils.constants import VERSION_HEADER
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from codin.gateway.errors import LimitReached, Unauthenticated
from codin.gateway.jwks import JWKS_PATH
from codin.gateway.quota import Quota, turn_of
from codin.gateway.responses import error_response, limit_response
from codin.security import LOCAL_USER, NOBODY, CredentialError, Principal, SecurityFailure
from codin.task.door import NEW_TASK, ORIGIN, PRINCIPAL

if TYPE_CHECKING:
    from codin.security import Bearers

_log = logging.getLogger(__name__)

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_OPEN = frozenset(
    {"/", "/favicon.ico", "/healthz", "/readyz", "/.well-known/agent-card.json", JWKS_PATH}
)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Caller:
    """What a call says of who makes it, whatever binding it came by.

    ``headers`` are HTTP's headers or gRPC's metadata, by their names in lower case; what is said
    more than once is joined by commas, so that no credential can be hidden behind another.
    ``host`` is the IP address at the other end; ``None`` when there is none (a Unix socket).
    """

    headers: Mapping[str, str]
    host: str | None

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]], host: str | None) -> Self:
        """The caller behind header ``pairs``, which may repeat a name."""
        headers: dict[str, str] = {}
        for name, value in pairs:
            key = name.lower()
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
        return cls(headers, host)


class Authenticator(ABC):
    """Tells who a call comes from."""

    shows_open: ClassVar[bool] = False
    """Whether what is open to everybody is shown to those who show no credential."""

    @abstractmethod
    async def authenticate(self, caller: Caller) -> Principal:
        """The principal that calls.

        Raises:
            Unauthenticated: it cannot be told, or is nobody who may call.
        """


class LoopbackAuthenticator(Authenticator):
    """Whoever calls from this machine is its one local user; nobody else is anybody."""

    async def authenticate(self, caller: Caller) -> Principal:
        if caller.host is None or not _is_loopback(caller.host):
            raise Unauthenticated("this gateway answers callers on its own machine only")
        return LOCAL_USER


class BearerAuthenticator(Authenticator):
    """Whoever shows a key or a token, after ``Authorization: Bearer`` (RFC 6750, section 2.1)."""

    shows_open = True

    def __init__(self, bearers: Bearers) -> None:
        self._bearers = bearers

    async def authenticate(self, caller: Caller) -> Principal:
        scheme, _, credential = caller.headers.get("authorization", "").strip().partition(" ")
        if not scheme:
            raise Unauthenticated(
                "who calls? Send a key or a token as Authorization: Bearer ...; `codin auth key"
                " add` makes keys"
            )
        if scheme.lower() != "bearer":
            raise Unauthenticated(f"credentials are sent as Bearer here, not as {scheme[:20]!r}")
        try:
            return await self._bearers.principal_of_bearer(credential.strip())
        except CredentialError as error:
            raise Unauthenticated(str(error)) from error


def is_open(method: str, path: str) -> bool:
    """Whether everybody may ask this: the card and the keys that others verify us by, whether the
    gateway lives, and the page as far as it is the same for all."""
    return method in {"GET", "HEAD"} and (path in _OPEN or path.startswith("/static/"))


class GuardMiddleware:
    """Refuses what a foreign web page could have sent, and resolves the principal.

    The Host header must name this machine, because a page may point its own name at a loopback
    address (DNS rebinding), or be one of ``host_names``. A request that changes something must
    come from no page or from ours: a browser states the origin on each of them. Any port will do,
    so that tunnels work. Who shows no good credential too often is told so (``quota``); it keeps
    out nobody who shares the address and has one.
    """

    def __init__(
        self,
        app: ASGIApp,
        authenticator: Authenticator,
        host_names: frozenset[str] = frozenset(),
        quota: Quota | None = None,
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._names = LOOPBACK_NAMES | host_names
        self._quota = quota or Quota()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # websockets are not served; the server closes the handshake
        caller = caller_of(scope)
        refusal = self.refusal(caller, scope["method"])
        if refusal:
            await error_response(403, "forbidden", refusal)(scope, receive, send)
            return
        try:
            principal = await self._principal(caller, scope)
        except Unauthenticated as error:
            await self._unknown(error, caller)(scope, receive, send)
            return
        except SecurityFailure as error:
            _log.error("who calls cannot be told: %s", error)
            sentence = "who calls cannot be told at the moment: try again later"
            await error_response(503, "unavailable", sentence)(scope, receive, send)
            return
        scope.setdefault("state", {})["principal"] = principal
        await self._app(scope, receive, send)

    def refusal(self, caller: Caller, method: str, *, own_host: bool = False) -> str | None:
        """Why a request is refused, whoever makes it. ``own_host`` says that it came by a name
        that only one who was told of it can know."""
        host = None if own_host else self._host_problem(caller)
        return host or _origin_problem(caller, method)

    def _unknown(self, error: Unauthenticated, caller: Caller) -> Response:
        try:
            self._quota.failed(caller.host)
        except LimitReached as reached:
            return limit_response(reached)
        headers = {"www-authenticate": "Bearer"}  # RFC 9110, section 11.6.1
        return error_response(401, "unauthenticated", str(error), headers=headers)

    async def _principal(self, caller: Caller, scope: Scope) -> Principal:
        try:
            return await self._authenticator.authenticate(caller)
        except Unauthenticated:
            anonymous = "authorization" not in caller.headers and self._authenticator.shows_open
            if anonymous and is_open(scope["method"], scope["path"]):
                return NOBODY
            raise

    def _host_problem(self, caller: Caller) -> str | None:
        # said twice it is no name
        if _host_name(caller.headers.get("host", "")) in self._names:
            return None
        return (
            "the Host header must name this machine: open the page at http://localhost, or say by"
            " what other name it is called (server.public_url)"
        )


class CallContexts(DefaultServerCallContextBuilder):
    """The SDK's call context with our principal, and the version from the query where a client
    cannot set headers (A2A 1.0, section 3.6.1)."""

    def build(self, request: Request) -> ServerCallContext:
        context = super().build(request)
        context.state[PRINCIPAL] = principal_of(request)
        context.state[NEW_TASK] = turn_of(request).task
        if request.client is not None:
            context.state[ORIGIN] = request.client.host
        headers = context.state["headers"]
        version = request.query_params.get(VERSION_HEADER)
        if version and VERSION_HEADER.lower() not in headers:
            headers[VERSION_HEADER.lower()] = version
        return context


def principal_of(request: HTTPConnection) -> Principal:
    """The principal that the guard put there; a request without one never gets this far."""
    return principal_in(request.scope)


def principal_in(scope: Scope) -> Principal:
    """As ``principal_of``, by the request's scope."""
    principal = scope["state"]["principal"]
    assert isinstance(principal, Principal)
    return principal


def caller_of(scope: Scope) -> Caller:
    """Who makes a request, as its head says."""
    pairs = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    client = scope.get("client")
    return Caller.of(pairs, client[0] if client else None)


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _host_name(host: str) -> str | None:
    name, colon, port = host.rpartition(":")
    if not colon or name.endswith(":") or host.endswith("]"):
        name, port = host, "80"
    return name.lower() if port.isascii() and port.isdigit() else None


def _origin_problem(caller: Caller, method: str) -> str | None:
    headers = caller.headers
    site = headers.get("sec-fetch-site", "none")
    navigating = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    if site not in {"none", "same-origin"} and not navigating:
        return "requests that pages of other sites make are refused"
    if method in _SAFE_METHODS or "origin" not in headers:
        return None
    origin = urlsplit(headers["origin"])
    ours = origin.scheme in {"http", "https"} and origin.netloc.lower() == headers["host"].lower()
    if ours:
        return None
    return "requests that pages of other sites make are refused"
