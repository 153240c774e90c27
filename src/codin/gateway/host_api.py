"""The host API: what the platform gives to agent hosts, over a Unix socket, to a run's token.

The token is all that a host has. It stands for one run: its principal, its tools, its context,
its time. Everything asked here is answered for that run and nothing else.

    GET  /run                  what the run is, with the specs of its tools
    GET  /tools                the specs alone
    POST /tools/{name}         call a tool; the tool's own failure is an answer with ``is_error``
    GET  /memory/history       the newest messages of the run's own context
    POST /memory/...           what the agent keeps of its caller (host_memory.py)
    POST /logs                 a line for the platform's log
    /v1, /anthropic, /google   the model proxy, which looks at the token itself
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from codin.agent.host.wire import MAX_BODY, LogRecord, RunInfo, ToolAnswer, ToolRequest
from codin.disconnect import ClientLeft, while_connected
from codin.gateway._host_bodies import read_body
from codin.gateway.host_memory import HostMemory
from codin.gateway.limits import BodyLimitMiddleware
from codin.memory.base import MemoryMessage, MemorySystem
from codin.memory.history import sources_of
from codin.model.base import CallContext
from codin.security import GrantError, RunGrant, RunGrants
from codin.security import Scope as MemoryScope
from codin.task.conversation import SUMMED_UP
from codin.tool.base import ToolError, ToolSpec

_log = logging.getLogger("codin.host_api")

MODEL_PREFIXES = ("/v1", "/anthropic", "/google")
MAX_HISTORY = 200


class Outcome(Protocol):
    """The end of a tool call, as the executor gives it."""

    @property
    def value(self) -> Any: ...
    @property
    def text(self) -> str: ...
    @property
    def is_error(self) -> bool: ...
    @property
    def error_type(self) -> str | None: ...
    @property
    def truncated(self) -> bool: ...


class Executor(Protocol):
    """What this API needs of the tool executor."""

    def specs(self, grant: RunGrant) -> Sequence[ToolSpec]:
        """The tools that ``grant`` allows."""
        ...

    async def call(
        self,
        grant: RunGrant,
        name: str,
        arguments: Mapping[str, Any],
        *,
        call_id: str | None = None,
    ) -> Outcome:
        """Call a tool for ``grant``, with every check."""
        ...


HistoryReader = Callable[[RunGrant, int], Awaitable[Sequence[Mapping[str, Any]]]]
"""The newest messages of the grant's own context, oldest first, as A2A JSON; at most so many."""

LogWriter = Callable[[RunGrant, LogRecord], Awaitable[None]]


async def write_to_logger(grant: RunGrant, record: LogRecord) -> None:
    """The log writer that is used when none is given: the ``codin.host_api`` logger."""
    level = logging.getLevelNamesMapping()[record.level.upper()]
    _log.log(level, "%s (task %s): %s", grant.agent_id, grant.task_id, record.message)


def history_of(memory: MemorySystem) -> HistoryReader:
    """Reads the messages of a run's context from ``memory``, in the scope of the run's caller."""

    async def read(grant: RunGrant, limit: int) -> Sequence[Mapping[str, Any]]:
        scope = MemoryScope.of(grant.principal, session=grant.context_id)
        messages = await memory.history.window(scope, max_messages=limit)
        return [
            _as_a2a(one, grant) if one.body is None or sources_of(one) is not None else one.body
            for one in messages
        ]

    return read


def model_authenticator(grants: RunGrants) -> Callable[[str], Awaitable[CallContext]]:
    """What the model proxy asks about a token: the run behind it, for metering and its budget."""

    async def authenticate(token: str) -> CallContext:
        grant = grants.resolve(token)
        return CallContext(grant.principal, grant.task_id, grant.max_model_tokens)

    return authenticate


async def _no_history(grant: RunGrant, limit: int) -> Sequence[Mapping[str, Any]]:
    return ()


def host_api(
    grants: RunGrants,
    executor: Executor,
    *,
    model_proxy: ASGIApp | None = None,
    model_name: str | None = None,
    history: HistoryReader = _no_history,
    memory: HostMemory | None = None,
    log: LogWriter = write_to_logger,
    max_body: int = MAX_BODY,
) -> ASGIApp:
    """The host API as an ASGI app.

    Args:
        grants: resolves tokens.
        executor: calls tools, with every check again.
        model_proxy: answers below ``/v1``, ``/anthropic`` and ``/google``. It gets the whole path
            and authenticates the token itself.
        model_name: the name of the model that runs get, told to agents that ask for one.
        history: reads the messages of a run's context.
        memory: what agents keep of their callers; without it they keep nothing.
        log: takes the hosts' log lines.
        max_body: bytes of one request's body; more is answered with 413.
    """
    api = _HostApi(grants, executor, model_name, history=history, memory=memory, log=log)
    routes: list[BaseRoute] = [
        Route("/run", api.run, methods=["GET"]),
        Route("/tools", api.tools, methods=["GET"]),
        Route("/tools/{name}", api.call_tool, methods=["POST"]),
        Route("/memory/history", api.read_history, methods=["GET"]),
        Route("/logs", api.write_log, methods=["POST"]),
    ]
    if memory is not None:
        routes += memory.routes(api.grant_of)
    if model_proxy is not None:
        proxy = _WholePath(model_proxy)
        routes += [Mount(prefix, app=proxy) for prefix in MODEL_PREFIXES]
    app = Starlette(
        routes=routes,
        exception_handlers={HTTPException: _refusal, Exception: _breakdown},
    )
    return BodyLimitMiddleware(app, max_body)


class _HostApi:
    def __init__(
        self,
        grants: RunGrants,
        executor: Executor,
        model_name: str | None,
        *,
        history: HistoryReader,
        memory: HostMemory | None,
        log: LogWriter,
    ) -> None:
        self._grants = grants
        self._executor = executor
        self._model_name = model_name
        self._history = history
        self._memory = memory
        self._write_log = log

    async def run(self, request: Request) -> Response:
        grant = self.grant_of(request)
        info = RunInfo(
            task_id=grant.task_id,
            goal_id=grant.goal_id,
            context_id=grant.context_id,
            agent_id=grant.agent_id,
            tenant=grant.principal.tenant,
            subject=grant.principal.subject,
            expires_at=grant.expires_at,
            tools=tuple(self._executor.specs(grant)),
            model=self._model_name,
            memory=None if self._memory is None else self._memory.info(grant),
        )
        return _json(info)

    async def tools(self, request: Request) -> Response:
        grant = self.grant_of(request)
        specs = [spec.model_dump(mode="json") for spec in self._executor.specs(grant)]
        return JSONResponse({"tools": specs})

    async def call_tool(self, request: Request) -> Response:
        grant = self.grant_of(request)
        asked = await read_body(request, ToolRequest)
        name = request.path_params["name"]
        call = self._executor.call(grant, name, asked.arguments, call_id=asked.call_id)
        try:
            outcome = await while_connected(request, _awaited(call))
        except ClientLeft:
            return Response(status_code=499)
        except ToolError as error:
            kind = type(error).__name__
            return _json(ToolAnswer(text=str(error), is_error=True, error_type=kind))
        return _json(_answer(outcome))

    async def read_history(self, request: Request) -> Response:
        grant = self.grant_of(request)
        asked = request.query_params.get("limit", "50")
        if not asked.isdecimal() or not 1 <= int(asked) <= MAX_HISTORY:
            raise HTTPException(400, f"limit is a number from 1 to {MAX_HISTORY}, not {asked!r}")
        messages = await self._history(grant, int(asked))
        return JSONResponse({"messages": [dict(message) for message in messages]})

    async def write_log(self, request: Request) -> Response:
        grant = self.grant_of(request)
        await self._write_log(grant, await read_body(request, LogRecord))
        return Response(status_code=204)

    def grant_of(self, request: Request) -> RunGrant:
        """The run behind the token of ``request``; refuses one that is not good."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise HTTPException(401, "the host API needs a run's token: Authorization: Bearer ...")
        try:
            return self._grants.resolve(token)
        except GrantError as error:
            raise HTTPException(401, str(error)) from None


def _as_a2a(message: MemoryMessage, grant: RunGrant) -> Mapping[str, Any]:
    summary = sources_of(message) is not None
    return {
        "messageId": message.id,
        "contextId": grant.context_id,
        "role": "ROLE_USER" if message.role == "user" else "ROLE_AGENT",
        "parts": [{"text": f"{SUMMED_UP}\n{message.text}" if summary else message.text}],
    }


def _answer(outcome: Outcome) -> ToolAnswer:
    return ToolAnswer(
        value=outcome.value,
        text=outcome.text,
        is_error=outcome.is_error,
        error_type=outcome.error_type,
        truncated=outcome.truncated,
    )


async def _awaited(call: Awaitable[Outcome]) -> Outcome:
    return await call


def _json(model: BaseModel) -> Response:
    return Response(model.model_dump_json(), media_type="application/json")


def _error(status: int, message: str) -> Response:
    # The shape that OpenAI's clients read, so that one shape serves the whole socket.
    kind = "authentication_error" if status == 401 else "invalid_request_error"
    kind = kind if status < 500 else "server_error"
    return JSONResponse(
        {"error": {"message": message, "type": kind, "param": None, "code": None}}, status
    )


async def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, error.detail)


async def _breakdown(request: Request, error: Exception) -> Response:
    # What went wrong is in the platform's log; a sandbox is not told of the platform's inside.
    return _error(500, "the platform failed at this request; its log says why")


class _WholePath:
    """Undoes what mounting does to the path: the proxy's routes have their prefix themselves."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "root_path": scope.get("app_root_path", "")}, receive, send)
