"""Where each agent is found, and for whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from a2a.utils.constants import AGENT_CARD_WELL_KNOWN_PATH
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from codin.agent.cards import Cards
from codin.gateway.a2a.calling import AgentCalls
from codin.gateway.a2a.card import CardEndpoint
from codin.gateway.a2a.jsonrpc import JsonRpc
from codin.gateway.a2a.rest import rest_routes
from codin.gateway.a2a.v03 import old_routes
from codin.gateway.auth import principal_in
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
        Route("/", _rpc(agent, serving, path).answer, methods=["POST"]),
        *old_routes(agent.handler, calls),
        *rest_routes(agent.handler, calls, serving.limits),
    ]


def _rpc(agent: ServedAgent, serving: Serving, path: str) -> JsonRpc:
    return JsonRpc(agent.handler, AgentCalls(path, serving.public_url), serving.limits)


@dataclass(frozen=True, slots=True)
class _Served:
    agent: ServedAgent
    rpc: JsonRpc
    router: ASGIApp


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
        self._served: dict[str, _Served] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        below = scope["path"].removeprefix(scope["root_path"]).lstrip("/")
        agent_id, _, rest = below.partition("/")
        served = self._kept(self._find(principal_in(scope), agent_id))
        root = f"{scope['root_path']}/{agent_id}"
        inner = {**scope, "root_path": root, "path": f"{root}/{rest}"}
        if rest or scope["method"] != "POST":
            await served.router(inner, receive, send)
            return
        # most requests are JSON-RPC: they need not be matched against all routes
        response = await served.rpc.answer(Request(inner, receive, send))
        await response(inner, receive, send)

    def _find(self, principal: Principal, agent_id: str) -> ServedAgent:
        for served in self._agents(principal):
            if served.info.id == agent_id:
                return served
        raise HTTPException(404, f"no agent {agent_id!r} here: GET /api/agents lists them")

    def _kept(self, agent: ServedAgent) -> _Served:
        agent_id = agent.info.id
        kept = self._served.get(agent_id)
        if kept is None or kept.agent != agent:
            path = f"/agents/{agent_id}"
            rpc = _rpc(agent, self._serving, path)
            router = Router(a2a_routes(agent, self._serving, path), redirect_slashes=False)
            kept = self._served[agent_id] = _Served(agent, rpc, router)
        return kept
