"""Agent hosts with what the platform has around them: host API, model proxy, sandbox."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path

from codin.agent.a2a import user_message
from codin.agent.base import Agent, Task
from codin.agent.host import AgentHost, AgentHosts
from codin.agent.host.packages import Environment
from codin.agent.response import Outcome
from codin.bench import subjects
from codin.security import DEFAULT_ROLES, LOCAL_USER, RoleAuthorizer, RunGrant, RunGrants

_SECONDS = 600.0


class Hosts:
    """Starts hosts of the agents that are measured, and asks them."""

    def __init__(self, hosts: AgentHosts, grants: RunGrants) -> None:
        self._hosts = hosts
        self._grants = grants
        self._numbers = count(1)

    async def start(self, subject: str, requirements: Sequence[str] = ()) -> AgentHost:
        """A host of the agent ``subject`` of ``codin.bench.subjects``, ready."""
        file = Path(subjects.__file__).with_name(f"{subject}.py")
        return await self._hosts.start([str(file)], environment=Environment(tuple(requirements)))

    async def ask(self, agent: Agent, words: str) -> Outcome:
        """One run of the agent, with a grant of its own."""
        return await (await agent.handle(self.task(words)))

    def task(self, words: str) -> Task:
        """A task with a grant of its own."""
        name = f"task-{next(self._numbers)}"
        ends = time.time() + _SECONDS
        grant = RunGrant(name, name, name, "bench", LOCAL_USER, frozenset(), ends)
        message = user_message(words, context_id=name, task_id=name)
        return Task(name, name, message, LOCAL_USER, token=self._grants.issue(grant))


@asynccontextmanager
async def hosts(model_url: str) -> AsyncIterator[Hosts]:
    """Hosts whose agents ask the model at ``model_url``; ended with the block."""
    from codin.agent.host.server import Server
    from codin.gateway.host_api import host_api, model_authenticator
    from codin.model.metering import MemoryMeter
    from codin.model.proxy import model_proxy
    from codin.model.upstream import HttpUpstream
    from codin.runtime import LocalRuntime
    from codin.tool.execution.executor import ToolExecutor
    from codin.tool.registry import ToolRegistry
    from codin.tool.session import GoalSandboxes
    from codin.tool.workspace import Workspaces

    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory("", "cb-")))
        runtime = LocalRuntime()
        stack.push_async_callback(runtime.close)
        registry = ToolRegistry(RoleAuthorizer(DEFAULT_ROLES), [])
        sandboxes = GoalSandboxes(runtime.provider, Workspaces(folder / "work"))
        executor = ToolExecutor(registry, runtime=runtime, sandboxes=sandboxes)
        grants = RunGrants()
        upstream = HttpUpstream(model_url, "scripted", "key")
        stack.push_async_callback(upstream.aclose)
        proxy = model_proxy(upstream, model_authenticator(grants), MemoryMeter())
        door = folder / "platform.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(door))
        server = Server(host_api(grants, executor, model_proxy=proxy, model_name="scripted"))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        agent_hosts = AgentHosts(runtime, door, run_root=folder, ready_seconds=120)
        try:
            yield Hosts(agent_hosts, grants)
        finally:
            await agent_hosts.stop()
            server.should_exit = True
            await serving
