"""The E2B face as one application: who calls, which sandbox it is for, and what answers."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from codin.errors import CodinError
from codin.gateway.auth import Authenticator, Caller, GuardMiddleware, caller_of
from codin.gateway.e2b import code_calls, control, files, filesystem_calls, process_calls
from codin.gateway.e2b.errors import (
    BadRequest,
    E2bError,
    NotAllowed,
    NotThere,
    SandboxNotFound,
    UnknownCaller,
    told,
)
from codin.gateway.e2b.paths import SANDBOX
from codin.gateway.e2b.ports import PortProxy
from codin.gateway.e2b.sandboxes import SandboxService, ServedSandbox
from codin.gateway.errors import LimitReached, Unauthenticated
from codin.gateway.headers import SecurityHeadersMiddleware
from codin.gateway.quota import TURN, Quota, Turn
from codin.gateway.responses import FastJson
from codin.security import Principal

_log = logging.getLogger(__name__)

PREFIX = "/e2b"
ENVD_PORT = 49983
CODE_PORT = 49999
MIB = 1024 * 1024

_HOST = re.compile(r"(\d{1,5})-([0-9a-f]{20})\..+")
_ENVD = [*process_calls.ROUTES, *filesystem_calls.ROUTES, *files.ROUTES]


@dataclass(frozen=True, slots=True)
class _Target:
    """What a request is for: a port of a sandbox, or with no sandbox the API itself."""

    path: str
    sandbox: str | None = None
    port: int = ENVD_PORT
    own_host: bool = False


class E2bApp:
    """Answers what the SDKs ask, and passes all else on to ``inner``.

    The API asks for a key, which is one of the platform's own: ``authenticator`` knows it. What is
    for a sandbox shows a token of it. ``open_ports`` says that what programs in sandboxes listen on
    is there for everybody who reaches the gateway.
    """

    def __init__(
        self,
        inner: ASGIApp,
        service: SandboxService,
        proxy: PortProxy,
        *,
        authenticator: Authenticator,
        guard: GuardMiddleware,
        quota: Quota,
        open_ports: bool,
    ) -> None:
        self._inner = inner
        self._service = service
        self._authenticator = authenticator
        self._guard = guard
        self._quota = quota
        self._open_ports = open_ports
        self._proxy = proxy
        self._control = _app(control.ROUTES, service, _control_error)
        self._envd = _app(_ENVD, service, _envd_error)
        self._code = _app(code_calls.ROUTES, service, _code_error)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        target = _target(scope) if scope["type"] == "http" else None
        if target is None:
            await self._inner(scope, receive, send)
            return
        scope = _rooted(scope, target)
        app, error_of = self._answering(target)
        guarded = _Guarded(self._enter, target, app, error_of)
        # what a program inside serves by a name of its own is for it to say all of
        plain = target.own_host and app is self._proxy
        await (guarded if plain else SecurityHeadersMiddleware(guarded))(scope, receive, send)

    async def _enter(self, scope: Scope, target: _Target) -> Turn:
        """Let a request in, with what it is for in its state.

        Raises:
            E2bError, LimitReached: it is not let in.
        """
        self._service.busy()
        caller = caller_of(scope)
        refusal = self._guard.refusal(caller, scope["method"], own_host=target.own_host)
        if refusal:
            raise NotAllowed(refusal)
        try:
            principal = await self._principal(scope, target, caller)
        except (UnknownCaller, SandboxNotFound):
            self._quota.failed(caller.host)  # who shows no good credential too often is told so
            raise
        scope["state"]["principal"] = principal
        return self._quota.enter(principal, caller.host)

    def _answering(self, target: _Target) -> tuple[ASGIApp, _Errors]:
        if target.sandbox is None and target.path != "/files":
            return self._control, _control_error
        if target.port == ENVD_PORT:
            return self._envd, _envd_error
        if target.port == CODE_PORT:
            return self._code, _code_error
        return self._proxy, _envd_error

    async def _principal(self, scope: Scope, target: _Target, caller: Caller) -> Principal:
        """Who is let in, with the sandbox that it is for in the request's state.

        Raises:
            UnknownCaller, SandboxNotFound, BadRequest
        """
        if target.sandbox is not None:
            served = self._service.find(target.sandbox)
            if served is None:
                raise SandboxNotFound(target.sandbox)
            self._check_token(served, target, caller, scope)
        elif target.path == "/files":
            served = self._signed(scope)
        else:
            return await self._of_key(caller)
        scope["state"] |= {SANDBOX: served, "e2b_id": served.id, "e2b_port": target.port}
        return served.owner

    def _check_token(
        self, served: ServedSandbox, target: _Target, caller: Caller, scope: Scope
    ) -> None:
        token = caller.headers.get("x-access-token", "")
        if compare_digest(token.encode(), served.token.encode()):
            return
        if target.port == ENVD_PORT:
            if target.path == "/health" or (
                target.path == "/files" and _signature(scope) and self._signed(scope) is served
            ):
                return
        elif target.port != CODE_PORT and self._open_ports:
            return
        else:
            traffic = caller.headers.get("e2b-traffic-access-token", "")
            if compare_digest(traffic.encode(), served.traffic_token.encode()):
                return
        raise UnknownCaller("the access token of the sandbox is missing, or is not its own")

    def _signed(self, scope: Scope) -> ServedSandbox:
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)

        def of(name: str) -> str:
            found: str = query.get(name, [""])[0]
            return found

        operation = "read" if scope["method"] in {"GET", "HEAD"} else "write"
        until = of("signature_expiration")
        found = self._service.find_signed(
            of("signature"), of("path"), operation, of("username"), until
        )
        if found is None:
            raise UnknownCaller("the signature of the address is not good, or not any more")
        return found

    async def _of_key(self, caller: Caller) -> Principal:
        """The principal whose key is shown, as E2B has it: in a header of its own."""
        headers = dict(caller.headers)
        if key := headers.get("x-api-key"):
            headers["authorization"] = f"Bearer {key}"
        try:
            return await self._authenticator.authenticate(Caller(headers, caller.host))
        except Unauthenticated as error:
            raise UnknownCaller(str(error)) from error


class _Guarded:
    """An application that answers those who are let in; the others are told why they are not."""

    def __init__(
        self,
        enter: Callable[[Scope, _Target], Awaitable[Turn]],
        target: _Target,
        app: ASGIApp,
        tell: _Errors,
    ) -> None:
        self._enter = enter
        self._target = target
        self._app = app
        self._tell = tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        try:
            turn = await self._enter(scope, self._target)
        except CodinError as error:
            await self._tell(request, error)(scope, receive, send)
            return
        scope["state"][TURN] = turn
        try:
            await self._app(scope, receive, send)
        except CodinError as error:  # of the proxy, which is no Starlette application
            await self._tell(request, error)(scope, receive, send)
        finally:
            turn.leave()


def _target(scope: Scope) -> _Target | None:
    """What a request is for; ``None`` when it is not for this face."""
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    path: str = scope["path"]
    if found := _HOST.fullmatch(headers.get(b"host", "").lower()):
        return _Target(path, found[2], int(found[1]), own_host=True)
    if path != PREFIX and not path.startswith(f"{PREFIX}/"):
        return _Target("/files") if path == "/files" and _signature(scope) else None
    inside = path.removeprefix(PREFIX) or "/"
    if (identity := headers.get(b"e2b-sandbox-id")) is not None:
        port = headers.get(b"e2b-sandbox-port", str(ENVD_PORT))
        number = int(port) if port.isascii() and port.isdigit() and len(port) < 6 else 0
        return _Target(inside, identity[:100], number)
    return _Target(inside)


def _signature(scope: Scope) -> bool:
    return b"signature=" in scope["query_string"]


def _rooted(scope: Scope, target: _Target) -> Scope:
    """The scope as the application sees it that answers."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    if not target.own_host:
        raw = raw.removeprefix(PREFIX.encode())
    return {**scope, "path": target.path, "raw_path": raw, "root_path": "", "state": {}}


class _Errors:
    """How one application tells errors."""

    def __init__(self, *, plain: bool = False, connect: bool = False) -> None:
        self._plain = plain
        self._connect = connect

    def __call__(self, request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            kind = NotThere if error.status_code == 404 else BadRequest
            error = kind(f"{request.method} {request.url.path}: {error.detail}")
        as_told = told(error, request.scope["state"].get("e2b_id", ""))
        if type(as_told) is E2bError:
            _log.error("%s failed", request.url.path, exc_info=error)
        headers = {}
        if isinstance(error, LimitReached):
            headers["retry-after"] = str(error.retry_after)
        if self._plain:
            return PlainTextResponse(str(as_told), as_told.status, headers)
        code = as_told.code if self._connect else as_told.status
        return FastJson({"code": code, "message": str(as_told)}, as_told.status, headers)


_control_error, _envd_error, _code_error = _Errors(), _Errors(connect=True), _Errors(plain=True)


def _app(routes: Sequence[Route], service: SandboxService, tell: _Errors) -> Starlette:
    async def handler(request: Request, error: Exception) -> Response:
        return tell(request, error)

    async def gone(request: Request, error: Exception) -> Response:
        return Response(status_code=400)  # nobody reads it

    handlers = {
        CodinError: handler,
        HTTPException: handler,
        ClientDisconnect: gone,
        Exception: handler,
    }
    app = Starlette(routes=list(routes), exception_handlers=handlers)
    app.router.redirect_slashes = False
    app.state.service = service
    app.state.upload_bytes = service.settings.upload_mb * MIB
    return app
