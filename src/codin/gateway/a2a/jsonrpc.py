"""The JSON-RPC binding (A2A 1.0, section 9; JSON-RPC 2.0)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from a2a.server.context import ServerCallContext
from a2a.utils.error_handlers import build_error_details
from a2a.utils.errors import (
    A2A_ERROR_REASONS,
    JSON_RPC_ERROR_CODE_MAP,
    A2AError,
    ContentTypeNotSupportedError,
    InternalError,
    InvalidRequestError,
    JSONParseError,
    MethodNotFoundError,
)
from starlette.requests import Request
from starlette.responses import Response

from codin.gateway.a2a.calling import (
    AgentCalls,
    check_tenant,
    check_version,
    is_old,
    version_of,
)
from codin.gateway.a2a.operations import OPERATIONS, Operation
from codin.gateway.a2a.streaming import update_stream
from codin.gateway.a2a.v03 import OldRpc
from codin.gateway.errors import LimitReached, inside
from codin.gateway.quota import turn_of
from codin.gateway.responses import FastJson, rpc_limit_error, rpc_limit_response
from codin.gateway.streams import StreamLimits
from codin.security import ForbiddenError
from codin.task.handler import AgentRequestHandler

_INTERNAL = -32603
FORBIDDEN = -32000
"""A2A has no code for it: HTTP's status says it (A2A 1.0, section 7.5), and a code out of those
that JSON-RPC leaves to servers."""

MAX_BATCH = 50
MAX_ID_CHARS = 1024
"""The id is sent again with each event of a stream, so that it has to have a bound."""

_log = logging.getLogger(__name__)

Id = str | int | float | None
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Call:
    """A request that is well formed. ``notification`` has no id, and is never answered."""

    method: str
    params: Any
    id: Id
    notification: bool


class _Refused(Exception):
    """The request cannot be read; ``id`` is its own when at least that could be."""

    def __init__(self, error: A2AError, call_id: Id = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.id = call_id


class JsonRpc:
    """Answers ``POST`` for one agent."""

    def __init__(
        self, handler: AgentRequestHandler, calls: AgentCalls, limits: StreamLimits
    ) -> None:
        self._handler = handler
        self._calls = calls
        self._limits = limits
        self._old = OldRpc(handler, calls)

    async def answer(self, request: Request) -> Response:
        """The answer to whatever came."""
        if not _is_json(request.headers.get("content-type")):
            sentence = "JSON-RPC is sent as Content-Type: application/json"
            return FastJson(_error(None, ContentTypeNotSupportedError(sentence)), 415)
        try:
            body = _decoded(await request.body())
            if isinstance(body, list):
                return await self._batch(request, body)
            call = _call_of(body)
        except _Refused as refused:
            return FastJson(_error(refused.id, refused.error))
        if is_old(version_of(request)) and self._old.serves(call.method):
            return await self._old.answer(request, body, call.id, call.method)
        try:
            return await self._answered(request, call)
        except LimitReached as error:
            return rpc_limit_response(call.id, error)

    async def _answered(self, request: Request, call: _Call) -> Response:
        operation = OPERATIONS.get(call.method)
        if operation is not None and operation.stream is not None and not call.notification:
            return await self._stream(request, call, operation)
        found = await self._one(request, call)
        return Response(status_code=204) if found is None else _response(found)

    async def _batch(self, request: Request, body: list[Any]) -> Response:
        if not body or len(body) > MAX_BATCH:
            raise _Refused(InvalidRequestError(f"a batch has 1 to {MAX_BATCH} requests"))
        found = await asyncio.gather(*(self._in_batch(request, one) for one in body))
        answers = [one for one in found if one is not None]
        return FastJson(answers) if answers else Response(status_code=204)

    async def _in_batch(self, request: Request, body: Any) -> Json | None:
        try:
            call = _call_of(body)
            operation = OPERATIONS.get(call.method)
            if operation is not None and operation.stream is not None and not call.notification:
                refusal = InvalidRequestError(f"{call.method} gives a stream: send it by itself")
                raise _Refused(refusal, call.id)
        except _Refused as refused:
            return _error(refused.id, refused.error)
        try:
            return await self._one(request, call)
        except LimitReached as error:
            limited = {"jsonrpc": "2.0", "id": call.id, "error": rpc_limit_error(error)}
            return None if call.notification else limited

    async def _one(self, request: Request, call: _Call) -> Json | None:
        """The answer to one request; ``None`` to a notification."""
        try:
            operation, params, context = self._admit(request, call)
            if call.notification:
                await self._silently(operation, params, context)
                return None
            assert operation.ask is not None
            found = await operation.ask(self._handler, params, context)
        except (A2AError, ForbiddenError) as error:
            return None if call.notification else _error(call.id, error)
        except LimitReached:
            raise
        except Exception as error:
            _log.exception("%s failed", call.method[:60])
            return None if call.notification else _error(call.id, InternalError(inside(error)))
        return {"jsonrpc": "2.0", "id": call.id, "result": found}

    async def _silently(
        self, operation: Operation, params: Any, context: ServerCallContext
    ) -> None:
        """Do what nobody waits for: a message is sent, and its task not waited for."""
        if operation.request is OPERATIONS["SendMessage"].request:
            params.configuration.return_immediately = True
            await self._handler.on_message_send(params, context)
        elif operation.ask is not None:
            await operation.ask(self._handler, params, context)

    async def _stream(self, request: Request, call: _Call, operation: Operation) -> Response:
        assert operation.stream is not None
        try:
            _, params, context = self._admit(request, call)
            turn_of(request).stream()
            return await update_stream(
                operation.stream(self._handler, params, context),
                dress=lambda body: {"jsonrpc": "2.0", "id": call.id, "result": body},
                refuse=partial(_error, call.id),
                limits=self._limits,
                headers=self._handler.activated(context),
            )
        except (A2AError, ForbiddenError) as error:
            return _response(_error(call.id, error))
        except LimitReached:
            raise
        except Exception as error:
            _log.exception("%s failed", call.method[:60])
            return FastJson(_error(call.id, InternalError(inside(error))))

    def _admit(self, request: Request, call: _Call) -> tuple[Operation, Any, ServerCallContext]:
        operation = OPERATIONS.get(call.method)
        if operation is None:
            raise MethodNotFoundError
        check_version(version_of(request))
        params = operation.parse({} if call.params is None else call.params)
        check_tenant(request, params.tenant)
        context = self._calls.build(request)
        context.tenant = params.tenant
        return operation, params, context


def _is_json(content_type: str | None) -> bool:
    kind = (content_type or "application/json").partition(";")[0].strip().lower()
    return kind in {"application/json", "application/a2a+json"}


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _Refused(JSONParseError("the request is no JSON that can be read")) from error


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _call_of(body: Any) -> _Call:
    if not isinstance(body, Mapping):
        raise _Refused(InvalidRequestError("a request has to be an object"))
    call_id = body.get("id")
    if not _is_id(call_id):
        raise _Refused(
            InvalidRequestError(
                f"the id has to be a text of at most {MAX_ID_CHARS} characters, or a number"
            )
        )
    if body.get("jsonrpc") != "2.0":
        raise _Refused(InvalidRequestError("'jsonrpc' has to be '2.0'"), call_id)
    method = body.get("method")
    if not isinstance(method, str) or not method:
        raise _Refused(InvalidRequestError("'method' has to be a text"), call_id)
    return _Call(method, body.get("params"), call_id, notification="id" not in body)


def _is_id(given: Any) -> bool:
    if given is None:
        return True
    if isinstance(given, str):
        # a lone surrogate cannot be sent back
        return len(given) <= MAX_ID_CHARS and given.isprintable()
    return isinstance(given, int | float) and not isinstance(given, bool)


def _response(found: Json) -> Response:
    forbidden = found.get("error", {}).get("code") == FORBIDDEN
    return FastJson(found, 403 if forbidden else 200)


def _error(call_id: Id, error: A2AError | ForbiddenError) -> Json:
    if isinstance(error, ForbiddenError):
        forbidden = {"code": FORBIDDEN, "message": str(error)}
        return {"jsonrpc": "2.0", "id": call_id, "error": forbidden}
    code = JSON_RPC_ERROR_CODE_MAP.get(type(error), _INTERNAL)
    found: Json = {"code": code, "message": str(error)}
    if type(error) in A2A_ERROR_REASONS:
        found["data"] = build_error_details(error)
    return {"jsonrpc": "2.0", "id": call_id, "error": found}
