"""The HTTP face of an agent host: its agents over A2A, what they are, and whether it is well."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from codin.agent.base import Agent, AgentInfo
from codin.agent.cards import agent_card
from codin.agent.host.executor import HostedExecutor
from codin.agent.host.platform_client import PlatformClient
from codin.agent.host.runs import ActiveRuns
from codin.agent.host.sdk import (
    DefaultRequestHandler,
    InMemoryTaskStore,
    create_agent_card_routes,
    create_jsonrpc_routes,
    create_rest_routes,
)
from codin.agent.host.wire import (
    AGENTS_INSIDE,
    HOST_URL,
    MAX_FILES,
    HostedInfo,
    HostListing,
    HostProblem,
    HostRuns,
)
from codin.agent.wrapping import info_of


class HostApp:
    """``/healthz``, ``/agents``, ``/runs``, and each agent over A2A at ``/agents/{id}/``.

    Tasks are kept in memory: what has to last is in the platform's log.
    """

    def __init__(
        self,
        agents: Sequence[Agent],
        problems: Sequence[HostProblem],
        platform: PlatformClient,
        runs: ActiveRuns,
        model_url: str,
    ) -> None:
        self._runs = runs
        self._listing = HostListing(
            agents=tuple(_claims(info_of(agent)) for agent in agents),
            problems=tuple(problems),
            files=_loaded(),
        )
        self._handlers: list[DefaultRequestHandler] = []
        mounts = []
        for agent in agents:
            executor = HostedExecutor(agent, platform, runs, model_url)
            mounts.append(self._mount(info_of(agent), executor))
        routes = [
            Route("/healthz", self._healthz),
            Route("/agents", self._list_agents),
            Route("/runs", self._list_runs),
            *mounts,
        ]
        self.app = Starlette(routes=routes)

    async def aclose(self) -> None:
        """End the runs that are under way."""
        await asyncio.gather(*(handler.aclose() for handler in self._handlers))

    def _mount(self, info: AgentInfo, executor: HostedExecutor) -> Mount:
        card = agent_card(info, f"{HOST_URL}/agents/{info.id}/")
        handler = DefaultRequestHandler(executor, InMemoryTaskStore(), card)
        self._handlers.append(handler)
        routes = [
            *create_agent_card_routes(card),
            *create_jsonrpc_routes(handler, "/"),
            *create_rest_routes(handler),
        ]
        return Mount(f"/agents/{info.id}", routes=routes)

    async def _healthz(self, request: Request) -> Response:
        agents = len(self._listing.agents)
        return JSONResponse({"status": "ok", "agents": agents, "runs": len(self._runs)})

    async def _list_runs(self, request: Request) -> Response:
        return JSONResponse(HostRuns(tasks=self._runs.task_ids).model_dump(mode="json"))

    async def _list_agents(self, request: Request) -> Response:
        return JSONResponse(self._listing.model_dump(mode="json"))


def _loaded() -> tuple[str, ...]:
    """The agents' files, and those beside them that they have imported."""
    files = {str(getattr(module, "__file__", None)) for module in list(sys.modules.values())}
    return tuple(sorted(file for file in files if file.startswith(f"{AGENTS_INSIDE}/")))[:MAX_FILES]


def _claims(info: AgentInfo) -> HostedInfo:
    return HostedInfo(
        id=info.id,
        name=info.name,
        description=info.description,
        framework=info.framework,
        version=info.version,
        tools=info.tools,
        skills=info.skills,
        input_modes=info.input_modes,
    )
