"""Where each agent is found, and for whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from a2a.utils.constants import AGENT_CARD_WELL_KNOWN_PATH
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from codin.agent.cards import Cards
from codin.gateway.a2a.calling import AgentCalls
from codin.gateway.a2a.card import CardEndpoint
from codin.gateway.a2a.jsonrpc import JsonRpc
from codin.gateway.a2a.rest import rest_routes
from codin.gateway.a2a.v03 import old_routes
from codin.gateway.auth import principal_of
from codin.gateway.base import ServedAgent
from codin.gateway.streams import StreamLimits
from codin.security import Principal


@dataclass(frozen=True, slots=True)
class Serving:
    """What is the same for all agents: their cards, how their streams are bounded, and where they
    are, if that is not where a request says that it went."""

    cards: Cards
    limits: StreamLimits = field(default_factory=StreamLimits)
    public_url: str | None = None


def a2a_routes(agent: ServedAgent, serving: Serving, path: str = "") -> list[BaseRoute]:
    """The routes of one agent: its card, JSON-RPC by ``POST {path}/``, HTTP+JSON below it."""
    calls = AgentCalls(path, serving.public_url)
    card = CardEndpoint(agent.info, serving.cards, path, public_url=serving.public_url)
    return [
        Route(AGENT_CARD_WELL_KNOWN_PATH, card.answer, methods=["GET"]),
        Route("/", JsonRpc(agent.handler, calls, serving.limits).answer, methods=["POST"]),
        *old_routes(agent.handler, calls),
        *rest_routes(agent.handler, calls, serving.limits),
    ]


class AgentsApp:
    """What is below ``/agents``: the agent named by the next part of the path, if there is one
    that the caller may use; unknown and forbidden look the same."""

    def __init__(
        self,
        agents: Callable[[Principal], Sequence[ServedAgent]],
        serving: Serving,
    ) -> None:
        self._agents = agents
        self._serving = serving
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
            routes = a2a_routes(served, self._serving, path)
            kept = self._routers[agent_id] = (served, Router(routes, redirect_slashes=False))
        return kept[1]
