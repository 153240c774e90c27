"""Where each agent is found, and for whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from a2a.utils.constants import AGENT_CARD_WELL_KNOWN_PATH
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from codin.gateway.a2a.calling import AgentCalls
from codin.gateway.a2a.card import CardEndpoint
from codin.gateway.a2a.jsonrpc import JsonRpc
from codin.gateway.a2a.rest import rest_routes
from codin.gateway.a2a.v03 import old_routes
from codin.gateway.auth import principal_of
from codin.gateway.base import CardBuilder, ServedAgent
from codin.gateway.streams import StreamLimits
from codin.security import Principal


def a2a_routes(
    agent: ServedAgent, card: CardBuilder, path: str = "", *, limits: StreamLimits | None = None
) -> list[BaseRoute]:
    """The routes of one agent: its card, JSON-RPC by ``POST {path}/``, HTTP+JSON below it."""
    bounds = limits or StreamLimits()
    calls = AgentCalls(path)
    return [
        Route(
            AGENT_CARD_WELL_KNOWN_PATH, CardEndpoint(agent.info, card, path).answer, methods=["GET"]
        ),
        Route("/", JsonRpc(agent.handler, calls, bounds).answer, methods=["POST"]),
        *old_routes(agent.handler, calls),
        *rest_routes(agent.handler, calls, bounds),
    ]


class AgentsApp:
    """What is below ``/agents``: the agent named by the next part of the path, if there is one
    that the caller may use; unknown and forbidden look the same."""

    def __init__(
        self,
        agents: Callable[[Principal], Sequence[ServedAgent]],
        card: CardBuilder,
        *,
        limits: StreamLimits | None = None,
    ) -> None:
        self._agents = agents
        self._card = card
        self._limits = limits
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
            path = f"/agents/{agent_id}"
            routes = a2a_routes(served, self._card, path, limits=self._limits)
            kept = self._routers[agent_id] = (served, Router(routes, redirect_slashes=False))
        return kept[1]
