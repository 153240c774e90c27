"""What stands around agent hosts in tests: the real host API, tools, models and sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from a2a.types import Message

from codin.agent import Agent, Outcome, Task
from codin.agent.a2a import user_message
from codin.agent.host import AgentHosts
from codin.agent.host.server import Server
from codin.gateway.host_api import host_api, model_authenticator
from codin.gateway.host_memory import HostMemory
from codin.memory import InMemoryMemory, MemorySystem
from codin.model.metering import MemoryMeter
from codin.model.proxy import model_proxy
from codin.model.upstream import HttpUpstream
from codin.runtime import LocalRuntime
from codin.sandbox import SandboxProvider
from codin.security import (
    DEFAULT_ROLES,
    LOCAL_USER,
    Principal,
    RoleAuthorizer,
    RunGrant,
    RunGrants,
)
from codin.testing.scripted_model import RecordedRequest, ScriptedModel, Turn, text
from codin.tool.execution.executor import ToolExecutor
from codin.tool.functions.function import FunctionTool
from codin.tool.registry import ToolRegistry
from codin.tool.session import GoalSandboxes
from codin.tool.workspace import Workspaces

PROVIDER_KEY = "sk-provider-key-of-this-test"


@dataclass
class Platform:
    hosts: AgentHosts
    grants: RunGrants
    meter: MemoryMeter
    model: ScriptedModel
    runtime: LocalRuntime
    socket: Path
    added: list[tuple[int, int]]
    ticks: list[float]
    memory: MemorySystem
    _numbers: count[int]

    def task(
        self,
        words: str,
        *,
        tools: Sequence[str] = ("add", "tick"),
        token: str | None = "",
        seconds: float = 60.0,
        history: Sequence[Message] = (),
        principal: Principal = LOCAL_USER,
        agent_id: str = "puppet",
    ) -> Task:
        """A task with a grant of its own; ``token`` replaces the grant's."""
        name = f"task-{next(self._numbers)}"
        ends = time.time() + seconds
        grant = RunGrant(name, "goal", "context", agent_id, principal, frozenset(tools), ends)
        issued = self.grants.issue(grant)
        return Task(
            name,
            "context",
            user_message(words, context_id="context", task_id=name),
            principal,
            history=tuple(history),
            token=issued if token == "" else token,
        )

    async def run(self, agent: Agent, words: str, **options: object) -> Outcome:
        return await (await agent.handle(self.task(words, **options)))  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def platform(
    folder: Path,
    script: Callable[[RecordedRequest], Turn] = lambda request: text("forty-two"),
    *,
    ready_seconds: float = 60.0,
    provider: SandboxProvider | None = None,
    memory: MemorySystem | None = None,
) -> AsyncIterator[Platform]:
    """The platform's parts for as long as the block lasts, with hosts that are ended after it."""
    added: list[tuple[int, int]] = []
    ticks: list[float] = []

    def add(a: int, b: int) -> int:
        """Add two numbers."""
        added.append((a, b))
        return a + b

    def tick() -> str:
        """Tick."""
        ticks.append(time.monotonic())
        return "tock"

    tools = [FunctionTool.from_function(fn, trusted=True) for fn in (add, tick)]
    authorizer = RoleAuthorizer(DEFAULT_ROLES)
    registry = ToolRegistry(authorizer, tools)
    remembered = memory or InMemoryMemory()
    runtime = LocalRuntime(provider)
    sandboxes = GoalSandboxes(runtime.provider, Workspaces(folder / "work"))
    executor = ToolExecutor(registry, runtime=runtime, sandboxes=sandboxes)
    grants, meter = RunGrants(), MemoryMeter()
    model = ScriptedModel(script, api_key=PROVIDER_KEY)
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(folder / "platform.sock"))
    async with model.serve() as url:
        upstream = HttpUpstream(url, "scripted", PROVIDER_KEY)
        proxy = model_proxy(upstream, model_authenticator(grants), meter)
        app = host_api(
            grants,
            executor,
            model_proxy=proxy,
            model_name="scripted",
            memory=HostMemory(remembered, authorizer),
        )
        server = Server(app)
        serving = asyncio.create_task(server.serve(sockets=[door]))
        hosts = AgentHosts(
            runtime, folder / "platform.sock", run_root=folder, ready_seconds=ready_seconds
        )
        try:
            door_path = folder / "platform.sock"
            yield Platform(
                *(hosts, grants, meter, model, runtime, door_path, added, ticks),
                memory=remembered,
                _numbers=count(1),
            )
        finally:
            await hosts.stop()
            server.should_exit = True
            await serving
            await upstream.aclose()
            await runtime.close()
