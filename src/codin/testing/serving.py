"""A gateway with agents of a few lines each, over the real log, task manager and handlers.

For tests of whatever talks to a gateway: clients, pages, tools. No model is asked.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from codin.agent.base import AgentInfo, Task
from codin.agent.cards import Cards, bearer_scheme
from codin.agent.events import AgentEvent
from codin.agent.planning.planner import Planner
from codin.agent.registry import AgentRegistry
from codin.agent.response import AgentResponse
from codin.database import SqliteDatabase
from codin.gateway.app import create_app
from codin.gateway.auth import BearerAuthenticator, LoopbackAuthenticator
from codin.gateway.base import GatewayParts, ModelBadge, ServedAgent
from codin.gateway.server import HttpServer
from codin.memory import InMemoryMemory
from codin.security import (
    DEFAULT_ROLES,
    Access,
    CardSigner,
    PeerVerifier,
    Principal,
    RoleAuthorizer,
    RunGrant,
    RunGrants,
    SecurityStore,
)
from codin.task._taking_up import Rights, as_begun
from codin.task.artifacts import open_artifacts
from codin.task.artifacts.kept import INLINE_BYTES
from codin.task.files import GoalFiles
from codin.task.log import EventLog, open_log
from codin.task.manager import ORCHESTRATOR_INFO, TaskManager
from codin.task.push import UrlGuard, open_push
from codin.task.runner import TaskRunner
from codin.task.work import RunServices
from codin.tool.base import Tool, ToolSpec
from codin.tool.workspace import Workspaces

Events = Callable[[Task], AsyncGenerator[AgentEvent, None]]

LABEL = "scripted agents"

AUDIENCE = "http://codin.test"
"""What a token has to be for at a gateway that asks for one."""


@dataclass
class ScriptedAgent:
    """An agent whose events an async generator function gives. Its runs have the tool ``save``."""

    id: str
    events: Events
    name: str = ""
    description: str = "an agent of a few lines"
    tools: list[Tool] = field(default_factory=list)

    async def handle(self, task: Task) -> AgentResponse:
        return AgentResponse(self.events(task))

    @property
    def info(self) -> AgentInfo:
        return AgentInfo(self.id, self.name or self.id, self.description, tools=("save",))


class Save:
    """A tool that writes a file into the goal's workspace, from base64."""

    name = "save"
    spec = ToolSpec(name="save", description="Writes a file.")

    def __init__(self, workspaces: Workspaces, grant: RunGrant) -> None:
        self._workspaces = workspaces
        self._grant = grant

    async def invoke(self, *args: Any, **kwargs: Any) -> Any:
        folder = await self._workspaces.folder(self._grant.principal, self._grant.goal_id)
        (folder / kwargs["path"]).write_bytes(base64.b64decode(kwargs["content"]))


async def save(task: Task, path: str, content: bytes) -> None:
    """Have ``content`` written by the run's own tool."""
    [tool] = task.tools
    await tool.invoke(path=path, content=base64.b64encode(content).decode())


@dataclass(frozen=True)
class Served:
    """A running gateway and what is behind it."""

    url: str
    log: EventLog
    manager: TaskManager
    workspaces: Workspaces
    parts: GatewayParts


@asynccontextmanager
async def serve_agents(
    home: Path,
    agents: Sequence[ScriptedAgent],
    planner: Planner,
    *,
    port: int = 0,
    heartbeat_seconds: float = 15.0,
    push_guard: UrlGuard | None = None,
    stall_seconds: float = 30.0,
    security: SecurityStore | None = None,
    peers: Sequence[PeerVerifier] = (),
    inline_bytes: int = INLINE_BYTES,
) -> AsyncIterator[Served]:
    """Serve ``agents`` from the folder ``home`` on a loopback port, until the block ends; with push
    notifications to wherever ``push_guard`` lets them, when there is one. With ``security``, which
    is the caller's to close, everybody has to show a key or a token for ``AUDIENCE``, its own or
    that of one of ``peers``; what is done is written down, and cards are signed. What has more than
    ``inline_bytes`` is given as its address at ``AUDIENCE``."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(SqliteDatabase(home / "codin.db"))
        log = await open_log(
            database,
            artifacts=open_artifacts(database, inline_bytes=inline_bytes, address=AUDIENCE),
        )
        stack.push_async_callback(log.close)
        workspaces = Workspaces(home / "work")
        push = None
        if push_guard is not None:
            push = await stack.enter_async_context(
                open_push(home / "push.db", log, guard=push_guard)
            )
        cards = Cards(push=push is not None, **(_signed(security) if security else {}))
        access = Access(RoleAuthorizer(DEFAULT_ROLES), security.audit if security else None)
        manager = _manager(
            *(log, workspaces, agents, planner),
            rights=security.keys.standing if security else as_begun,
            push=push,
            access=access,
            cards=cards,
        )
        stack.push_async_callback(manager.aclose)
        await manager.start()
        parts = replace(
            _parts(manager, log, workspaces, access=access, cards=cards),
            heartbeat_seconds=heartbeat_seconds,
            stall_seconds=stall_seconds,
            push=push,
        )
        if security is not None:
            bearers = BearerAuthenticator(security.bearers(AUDIENCE, peers=peers))
            parts = replace(parts, authenticator=bearers, jwks=security.jwks)
        server = await stack.enter_async_context(HttpServer(create_app(parts), port=port))
        yield Served(server.url, log, manager, workspaces, parts)


def _manager(
    log: EventLog,
    workspaces: Workspaces,
    agents: Sequence[ScriptedAgent],
    planner: Planner,
    *,
    rights: Rights,
    **given: Any,
) -> TaskManager:
    def tools_for(grant: RunGrant) -> Sequence[Tool]:
        return (Save(workspaces, grant),)

    return TaskManager(
        TaskRunner(log, grace_seconds=0.5, pulse_seconds=0.1, rights=rights),
        AgentRegistry(RoleAuthorizer(DEFAULT_ROLES), agents),
        planner,
        RunServices(RunGrants(), tools_for=tools_for, seconds=60.0),
        files=GoalFiles(workspaces),
        notes=lambda: [{"type": "model", "label": LABEL, "basic": False}],
        **given,
    )


def _signed(security: SecurityStore) -> dict[str, Any]:
    return {"sign": CardSigner(security.card_ring), "schemes": {"bearer": bearer_scheme()}}


def _parts(
    manager: TaskManager,
    log: EventLog,
    workspaces: Workspaces,
    *,
    access: Access,
    cards: Cards,
) -> GatewayParts:
    def agents(principal: Principal) -> list[ServedAgent]:
        infos = manager.agents(principal)
        return [ServedAgent(i, manager.agent_handler(principal, i.id)) for i in infos]

    return GatewayParts(
        orchestrator=ServedAgent(ORCHESTRATOR_INFO, manager.handler),
        agents=agents,
        tools=lambda _: [Save.spec],
        log=log,
        memory=InMemoryMemory(),
        workspaces=workspaces,
        cards=cards,
        access=access,
        authenticator=LoopbackAuthenticator(),
        model=lambda: ModelBadge(LABEL),
    )
