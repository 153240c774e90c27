"""A gateway with agents of a few lines each, over the real log, runner and handlers.

For tests of whatever talks to a gateway: clients, pages, tools. No model is asked.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from codin.agent.base import AgentInfo, Task
from codin.agent.events import AgentEvent
from codin.agent.response import AgentResponse
from codin.gateway.app import create_app
from codin.gateway.auth import LoopbackAuthenticator
from codin.gateway.base import GatewayParts, ModelBadge, ServedAgent
from codin.gateway.server import HttpServer
from codin.security import RunGrants
from codin.task.handler import AgentRequestHandler
from codin.task.log import SqliteEventLog
from codin.task.runner import TaskRunner
from codin.task.work import AgentWork, RunServices, Work
from codin.tool.base import Tool, ToolSpec
from codin.tool.workspace import Workspaces

Events = Callable[[Task], AsyncGenerator[AgentEvent, None]]


@dataclass
class ScriptedAgent:
    """An agent whose events an async generator function gives."""

    id: str
    events: Events
    name: str = ""
    description: str = "an agent of a few lines"
    tools: list[Tool] = field(default_factory=list)

    async def handle(self, task: Task) -> AgentResponse:
        return AgentResponse(self.events(task))

    @property
    def info(self) -> AgentInfo:
        return AgentInfo(self.id, self.name or self.id, self.description)


@dataclass(frozen=True)
class Served:
    """A running gateway and what is behind it."""

    url: str
    log: SqliteEventLog
    runner: TaskRunner
    workspaces: Workspaces


Orchestrate = Callable[[TaskRunner, Workspaces, dict[str, Work]], Work]
"""Makes the orchestrator's work from the runner, the workspaces and the agents' works by id."""


@asynccontextmanager
async def serve_agents(
    home: Path,
    agents: Sequence[ScriptedAgent],
    orchestrate: Orchestrate,
    *,
    port: int = 0,
    tools: Sequence[ToolSpec] = (),
    heartbeat_seconds: float = 15.0,
) -> AsyncIterator[Served]:
    """Serve ``agents`` from the folder ``home`` on a loopback port, until the block ends."""
    from codin.agent.cards import agent_card

    async with AsyncExitStack() as stack:
        log = await SqliteEventLog.open(home / "codin.db")
        stack.push_async_callback(log.close)
        runner = TaskRunner(log, grace_seconds=0.5, pulse_seconds=0.1)
        await runner.recover()
        stack.push_async_callback(runner.aclose)
        workspaces = Workspaces(home / "work")
        services = RunServices(grants=RunGrants(), seconds=60.0)
        works: dict[str, Work] = {a.id: AgentWork(a, a.info, services) for a in agents}
        served = [ServedAgent(a.info, _handler(works[a.id], runner)) for a in agents]
        goal = orchestrate(runner, workspaces, works)
        info = AgentInfo(goal.id, "codin", "Plans a goal and has it done by agents.")
        parts = GatewayParts(
            orchestrator=ServedAgent(info, _handler(goal, runner)),
            agents=lambda _: served,
            tools=lambda _: tools,
            log=log,
            workspaces=workspaces,
            card=agent_card,
            authenticator=LoopbackAuthenticator(),
            model=lambda: ModelBadge("scripted agents"),
            heartbeat_seconds=heartbeat_seconds,
        )
        server = HttpServer(create_app(parts), port=port)
        await stack.enter_async_context(server)
        yield Served(server.url, log, runner, workspaces)


def _handler(work: Work, runner: TaskRunner) -> AgentRequestHandler:
    return AgentRequestHandler(work.id, lambda _: work, runner)
