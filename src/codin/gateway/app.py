"""The gateway's HTTP application, put together."""

from __future__ import annotations

import logging

from a2a.utils.errors import (
    A2A_ERROR_MAPPING,
    A2AError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from codin.errors import CodinError, InvalidInputError, NotFoundError
from codin.gateway.a2a import AgentsApp, Serving, a2a_routes
from codin.gateway.api import PageApi
from codin.gateway.auth import GuardMiddleware
from codin.gateway.base import GatewayParts
from codin.gateway.errors import LimitReached, inside
from codin.gateway.headers import SecurityHeadersMiddleware
from codin.gateway.health import health_routes
from codin.gateway.jwks import jwks_routes
from codin.gateway.limits import BodyLimitMiddleware, QuotaMiddleware
from codin.gateway.page import page_routes
from codin.gateway.responses import error_response, limit_response
from codin.gateway.sdk_logs import quiet_client_faults
from codin.gateway.streams import StreamLimits
from codin.security import ForbiddenError
from codin.task.errors import is_away

logger = logging.getLogger(__name__)


def create_app(parts: GatewayParts) -> ASGIApp:
    """The application: the page, its API, and every agent over A2A.

    The agent in front, the orchestrator if the parts name no other, answers JSON-RPC by ``POST /``
    and HTTP+JSON at the root; each other agent does the same below ``/agents/{id}``.
    """
    quiet_client_faults()
    limits = StreamLimits(heartbeat=parts.heartbeat_seconds, stall=parts.stall_seconds)
    serving = Serving(parts.cards, limits, parts.public_url)
    routes = [
        # first, as most requests are theirs, and each route before costs them
        Mount("/agents", app=AgentsApp(parts.agents, serving)),
        *page_routes(),
        *health_routes(parts.readiness),
        *(jwks_routes(parts.jwks) if parts.jwks else ()),
        *PageApi(parts).routes(),
        *([Route("/mcp", endpoint=parts.mcp)] if parts.mcp is not None else ()),
        *a2a_routes(parts.front, serving),
    ]
    inner = Starlette(
        routes=routes,
        exception_handlers={
            HTTPException: _http_error,
            A2AError: _a2a_error,
            CodinError: _codin_error,
            Exception: _unexpected,
        },
    )
    inner.router.redirect_slashes = False
    bounded = BodyLimitMiddleware(inner, parts.quota.limits.body_bytes)
    limited = QuotaMiddleware(bounded, parts.quota)
    guard = GuardMiddleware(limited, parts.authenticator, parts.host_names, parts.quota)
    # outermost, so that refusals and crashes carry the headers too
    outer = SecurityHeadersMiddleware(guard)
    if parts.e2b is not None:
        return parts.e2b.around(outer, parts.authenticator, guard, parts.quota)
    return outer


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed"}
    code = codes.get(error.status_code, "invalid_request")
    headers = dict(error.headers) if error.headers else None
    return error_response(error.status_code, code, error.detail, headers=headers)


async def _a2a_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, A2AError)
    if isinstance(error, TaskNotFoundError):
        return error_response(404, "not_found", error.message)
    mapping = A2A_ERROR_MAPPING.get(type(error))
    status = mapping.http_code if mapping else 500
    if isinstance(error, TaskNotCancelableError | UnsupportedOperationError):
        status = 409  # what was asked is well formed; the task is not where it can be done
    reason = mapping.reason.lower() if mapping else "internal"
    return error_response(status, reason, error.message)


async def _codin_error(request: Request, error: Exception) -> Response:
    if isinstance(error, NotFoundError):
        return error_response(404, "not_found", str(error))
    if isinstance(error, InvalidInputError):
        return error_response(400, "invalid_request", str(error))
    if isinstance(error, ForbiddenError):
        return error_response(403, "forbidden", str(error))
    if isinstance(error, LimitReached):
        return limit_response(error)
    logger.error("%s %s failed: %s", request.method, request.url.path, error)
    if is_away(error):
        return error_response(503, "unavailable", inside(error))
    return error_response(500, "internal", str(error))


async def _unexpected(request: Request, error: Exception) -> Response:
    # the server logs the traceback; the caller learns nothing of the inside
    return error_response(500, "internal", inside(error))
