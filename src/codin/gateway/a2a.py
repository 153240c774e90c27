"""A2A over HTTP: each agent's card, JSON-RPC and HTTP+JSON under one base URL.

The SDK's routes do the protocol; here is only where they are found and for whom.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.utils.constants import AGENT_CARD_WELL_KNOWN_PATH
from a2a.utils.error_handlers import build_rest_error_payload
from a2a.utils.errors import InvalidRequestError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from codin.gateway.auth import CallContexts, principal_of
from codin.gateway.base import CardBuilder, ServedAgent
from codin.gateway.responses import rpc_error_response
from codin.security import Principal

_PARSE_ERROR = -32700


def a2a_routes(agent: ServedAgent, card: CardBuilder, path: str = "") -> list[BaseRoute]:
    """The routes of one agent: its card, JSON-RPC by ``POST {path}/``, HTTP+JSON below it."""

    async def serve_card(request: Request) -> Response:
        # made for the address by which the client came, which a tunnel may have changed
        built = card(agent.info, f"{request.url.scheme}://{request.url.netloc}{path}/")
        route = create_agent_card_routes(built, cache_control="no-cache")[0]
        response = await route.endpoint(request)
        assert isinstance(response, Response)
        return response

    contexts = CallContexts()
    sdk_routes = [
        *create_jsonrpc_routes(agent.handler, "/", contexts),
        *create_rest_routes(agent.handler, contexts),
    ]
    return [
        Route(AGENT_CARD_WELL_KNOWN_PATH, serve_card, methods=["GET"]),
        # no card declares a tenant in its address, and the mount for tenants would take any folder
        *(_readable(route) for route in sdk_routes if isinstance(route, Route)),
    ]


def _readable(route: Route) -> Route:
    """``route``, behind a look at the body: of JSON that is no UTF-8, or nested without end, the
    SDK would say that it failed itself."""

    async def checked(request: Request) -> Response:
        try:
            (await request.body()).decode()
            await request.json()
        except (UnicodeDecodeError, RecursionError):
            sentence = "the request is no JSON that can be read"
            if route.path == "/":
                return rpc_error_response(_PARSE_ERROR, sentence)
            return JSONResponse(build_rest_error_payload(InvalidRequestError(sentence)), 400)
        except ValueError:
            pass  # the SDK says this itself, and an operation may need no body
        response = await route.endpoint(request)
        assert isinstance(response, Response)
        return response

    posts = "POST" in (route.methods or ())
    return Route(route.path, checked, methods=route.methods) if posts else route


class AgentsApp:
    """What is below ``/agents``: the agent named by the next part of the path, if there is one
    that the caller may use; unknown and forbidden look the same."""

    def __init__(
        self, agents: Callable[[Principal], Sequence[ServedAgent]], card: CardBuilder
    ) -> None:
        self._agents = agents
        self._card = card
        self._routers: dict[str, tuple[ServedAgent, ASGIApp]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        below = scope["path"].removeprefix(scope["root_path"]).lstrip("/")
        agent_id, _, rest = below.partition("/")
        served = self._find(principal_of(HTTPConnection(scope)), agent_id)
        root = f"{scope['root_path']}/{agent_id}"
        inner = {**scope, "root_path": root, "path": f"{root}/{rest}"}
        await self._router(served)(inner, receive, send)

    def _find(self, principal: Principal, agent_id: str) -> ServedAgent:
        for served in self._agents(principal):
            if served.info.id == agent_id:
                return served
        raise HTTPException(404, f"no agent {agent_id!r} here: GET /api/agents lists them")

    def _router(self, served: ServedAgent) -> ASGIApp:
        agent_id = served.info.id
        kept = self._routers.get(agent_id)
        if kept is None or kept[0] != served:
            routes = a2a_routes(served, self._card, f"/agents/{agent_id}")
            kept = self._routers[agent_id] = (served, Router(routes, redirect_slashes=False))
        return kept[1]
