"""The HTTP+JSON binding (A2A 1.0, section 11)."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from a2a.utils.constants import A2A_JSON_MEDIA_TYPE
from a2a.utils.error_handlers import build_rest_error_payload
from a2a.utils.errors import (
    A2AError,
    ContentTypeNotSupportedError,
    InternalError,
    InvalidParamsError,
    InvalidRequestError,
)
from google.protobuf.descriptor import FieldDescriptor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from codin.gateway.a2a.calling import (
    AgentCalls,
    check_tenant,
    check_version,
    tenant_is_known,
    version_of,
)
from codin.gateway.a2a.operations import OPERATIONS, Operation
from codin.gateway.a2a.streaming import update_stream
from codin.gateway.errors import LimitReached, inside
from codin.gateway.quota import turn_of
from codin.gateway.responses import FastJson, rest_limit_response
from codin.gateway.streams import StreamLimits
from codin.security import ForbiddenError
from codin.task.errors import is_away
from codin.task.handler import AgentRequestHandler

_log = logging.getLogger(__name__)

_PUSH = "/tasks/{taskId}/pushNotificationConfigs"
_ROUTES = (
    ("POST", "/message:send", "SendMessage"),
    ("POST", "/message:stream", "SendStreamingMessage"),
    ("POST", "/tasks/{id}:cancel", "CancelTask"),
    # the protocol's proto says GET, the text of its specification POST
    ("GET", "/tasks/{id}:subscribe", "SubscribeToTask"),
    ("POST", "/tasks/{id}:subscribe", "SubscribeToTask"),
    ("GET", _PUSH + "/{id}", "GetTaskPushNotificationConfig"),
    ("DELETE", _PUSH + "/{id}", "DeleteTaskPushNotificationConfig"),
    ("POST", _PUSH, "CreateTaskPushNotificationConfig"),
    ("GET", _PUSH, "ListTaskPushNotificationConfigs"),
    ("GET", "/tasks/{id}", "GetTask"),
    ("GET", "/tasks", "ListTasks"),
    ("GET", "/extendedAgentCard", "GetExtendedAgentCard"),
)


_PLAIN = "application/json"


class _UnreadableType(Exception):
    """The request's own Content-Type, which is HTTP's business before it is A2A's."""


def rest_routes(
    handler: AgentRequestHandler, calls: AgentCalls, limits: StreamLimits
) -> list[Route]:
    """The routes of one agent, each of them below a tenant too."""
    return [
        Route(
            f"{tenant}{path}",
            _Endpoint(OPERATIONS[name], handler, calls, limits).answer,
            methods=[method],
        )
        for tenant in ("", "/{tenant}")
        for method, path, name in _ROUTES
    ]


class _Endpoint:
    def __init__(
        self,
        operation: Operation,
        handler: AgentRequestHandler,
        calls: AgentCalls,
        limits: StreamLimits,
    ) -> None:
        self._operation = operation
        self._handler = handler
        self._calls = calls
        self._limits = limits

    async def answer(self, request: Request) -> Response:
        tenant = request.path_params.get("tenant", "")
        if not tenant_is_known(request, tenant):
            raise HTTPException(404, "nothing is here: the agent's card has its addresses")
        try:
            return await self._answer(request, tenant)
        except _UnreadableType as error:
            payload = build_rest_error_payload(ContentTypeNotSupportedError(str(error)))
            payload["error"]["code"] = 415
        except A2AError as error:
            payload = build_rest_error_payload(error)
        except ForbiddenError as error:
            payload = _forbidden(error)
        except LimitReached as error:
            return rest_limit_response(error)
        except Exception as error:
            _log.exception("%s %s failed", request.method, request.url.path[:200])
            payload = build_rest_error_payload(InternalError(inside(error)))
            if is_away(error):
                payload["error"] |= {"code": 503, "status": "UNAVAILABLE"}
        return FastJson(payload, payload["error"]["code"])

    async def _answer(self, request: Request, tenant: str) -> Response:
        check_version(version_of(request))
        given = await _body(request) if request.method == "POST" else self._query(request)
        params = self._operation.parse({**given, **request.path_params})
        check_tenant(request, params.tenant)
        context = self._calls.build(request)
        context.tenant = params.tenant
        headers = self._handler.activated(context)
        if self._operation.stream is not None:
            turn_of(request).stream()
            return await update_stream(
                self._operation.stream(self._handler, params, context),
                dress=dict,
                refuse=build_rest_error_payload,
                limits=self._limits,
                headers=headers,
            )
        assert self._operation.ask is not None
        found = await self._operation.ask(self._handler, params, context)
        return FastJson(found, headers=headers, media_type=_answered_as(request))

    def _query(self, request: Request) -> dict[str, Any]:
        """The parameters of a request without a body (section 11.5)."""
        fields = {field.json_name: field for field in self._operation.request.DESCRIPTOR.fields}
        asked = request.query_params
        return {name: _value(fields[name], asked[name]) for name in asked if name in fields}


def _forbidden(error: ForbiddenError) -> dict[str, Any]:
    return {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": str(error)}}


def _value(field: FieldDescriptor, text: str) -> Any:
    if field.json_name == "status" and text.islower():
        return f"TASK_STATE_{text.upper().replace('-', '_')}"  # section 11.5 writes status=working
    if field.type != FieldDescriptor.TYPE_BOOL:
        return text
    if text not in {"true", "false"}:
        raise InvalidParamsError(f"{field.json_name} is true or false")
    return text == "true"


def _sent_as(request: Request) -> str:
    given = request.headers.get("content-type", A2A_JSON_MEDIA_TYPE)
    return given.partition(";")[0].strip().lower()


def _answered_as(request: Request) -> str:
    """1.0.1 says application/a2a+json should be used, 1.0.0 said application/json: a client that
    sends the one of 1.0.0 is answered in it."""
    return _PLAIN if _sent_as(request) == _PLAIN else A2A_JSON_MEDIA_TYPE


async def _body(request: Request) -> Mapping[str, Any]:
    raw = await request.body()
    kind = _sent_as(request)
    if raw and kind not in {A2A_JSON_MEDIA_TYPE, _PLAIN}:
        raise _UnreadableType(f"a request is sent as {A2A_JSON_MEDIA_TYPE}, not {kind[:80]}")
    try:
        found = json.loads(raw.decode()) if raw.strip() else {}
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError("the request is no JSON that can be read") from error
    if not isinstance(found, Mapping):
        raise InvalidRequestError("the request has to be an object")
    return found
