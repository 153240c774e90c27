"""The gateway that is killed: ``python -m codin.testing.kills.server``.

It is the real one, over the real log in a file or in Postgres, with permissions, audit and agents
in hosts or, where there is no sandbox for those, in the process. What it lacks is a language model.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click

import codin
from codin.agent.base import Agent
from codin.agent.cards import Cards
from codin.agent.host.launcher import AgentHosts
from codin.agent.planning.plan import Plan, Step
from codin.agent.planning.planner import Planner, PlanRequest
from codin.agent.registry import AgentRegistry
from codin.database import open_database
from codin.gateway import GatewayParts, HttpServer, LoopbackAuthenticator, ServedAgent, create_app
from codin.gateway.host_api import host_api
from codin.gateway.server import UnixServer, stop_signals
from codin.runtime import LocalRuntime
from codin.sandbox.local import LocalSandboxProvider
from codin.security import Access, Principal, RunGrants, SecurityStore
from codin.task import EventLog, RunServices, TaskRunner
from codin.task.manager import ORCHESTRATOR_INFO, TaskManager
from codin.task.scheduler import RunLimits
from codin.testing.kills.agents import asker, talk, talker
from codin.testing.kills.doom import MOMENTS, Doom, doomed_log
from codin.tool.execution.executor import ToolExecutor
from codin.tool.registry import ToolRegistry
from codin.tool.session import GoalSandboxes
from codin.tool.workspace import Workspaces

_AGENTS = "codin.testing.kills.agents"


class TwoSteps(Planner):
    """Plans every goal as two steps, one after the other."""

    async def plan(self, request: PlanRequest) -> Plan:
        steps = (
            Step(id="one", agent="talker", instruction=talk(4, 100)),
            Step(id="two", agent="talker", instruction=talk(4, 100), needs=("one",)),
        )
        return Plan(goal=request.goal, steps=steps, reason="One after the other.")


class _Gateway:
    def __init__(self, place: str, folder: Path, port: int, doom: Doom) -> None:
        self._place = place
        self._folder = folder
        self._port = port
        self._doom = doom
        self._stack = AsyncExitStack()

    async def run(self, *, hosts: bool) -> None:
        async with stop_signals() as asked, self._stack:
            database = await open_database(self._place)
            self._stack.push_async_callback(database.close)
            log = await doomed_log(database, self._doom)
            self._stack.push_async_callback(log.close)
            store = SecurityStore(self._folder, database=database)
            access = Access(store.authorizer, store.audit)
            manager = await self._manager(log, access, hosts=hosts)
            parts = self._parts(log, manager, access)
            await self._stack.enter_async_context(HttpServer(create_app(parts), port=self._port))
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGUSR1, self._doom.arm)
            loop.add_reader(sys.stdin.fileno(), asked.set)  # its end: whoever started it is gone
            click.echo("ready")
            await asked.wait()

    async def _manager(self, log: EventLog, access: Access, *, hosts: bool) -> TaskManager:
        # what only talks begins anew each time, and is killed more often than it takes
        runner, grants = TaskRunner(log, limits=RunLimits(stalls=1000)), RunGrants()
        tools = ToolRegistry(access.authorizer)
        agents: Sequence[Agent] = (talker, asker)
        if hosts:
            agents = await self._hosted(grants, tools)
        registry = AgentRegistry(access.authorizer, agents)
        manager = TaskManager(runner, registry, TwoSteps(), RunServices(grants), access=access)
        self._stack.push_async_callback(manager.aclose)
        await manager.start()
        return manager

    async def _hosted(self, grants: RunGrants, tools: ToolRegistry) -> Sequence[Agent]:
        provider = LocalSandboxProvider()
        self._stack.push_async_callback(provider.close)
        runtime = LocalRuntime(provider)
        self._stack.push_async_callback(runtime.close)
        sandboxes = GoalSandboxes(provider, Workspaces(self._folder / "work"))
        executor = ToolExecutor(tools, runtime=runtime, sandboxes=sandboxes)
        socket = self._folder / "platform.sock"
        await self._stack.enter_async_context(UnixServer(host_api(grants, executor), socket))
        started = AgentHosts(runtime, socket, run_root=self._folder)
        self._stack.push_async_callback(started.stop)
        # the very code that runs here, wherever it was imported from
        env = {"PYTHONPATH": str(Path(codin.__file__).parents[1])}
        sources = [f"{_AGENTS}:{name}" for name in ("talker", "asker")]
        one, two = await asyncio.gather(*(started.start([source], env=env) for source in sources))
        return (*one.agents, *two.agents)

    def _parts(self, log: EventLog, manager: TaskManager, access: Access) -> GatewayParts:
        def served(principal: Principal) -> list[ServedAgent]:
            infos = manager.agents(principal)
            return [ServedAgent(i, manager.agent_handler(principal, i.id)) for i in infos]

        nothing: Sequence[Any] = ()
        return GatewayParts(
            orchestrator=ServedAgent(ORCHESTRATOR_INFO, manager.handler),
            agents=served,
            tools=lambda _: nothing,
            log=log,
            workspaces=Workspaces(self._folder / "work"),
            cards=Cards(),
            authenticator=LoopbackAuthenticator(),
            access=access,
        )


@click.command()
@click.option("--database", required=True)
@click.option("--folder", required=True, type=click.Path(path_type=Path))
@click.option("--port", required=True, type=int)
@click.option("--hosts/--no-hosts", required=True)
@click.option("--moment", type=click.Choice(MOMENTS), default="any")
@click.option("--passages", type=int, default=1)
def main(
    *, database: str, folder: Path, port: int, hosts: bool, moment: Any, passages: int
) -> None:
    """Serve until SIGTERM, the end of the input, or the death that ``--moment`` names, counted from
    SIGUSR1 on."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(_Gateway(database, folder, port, Doom(moment, passages)).run(hosts=hosts))


if __name__ == "__main__":
    main()
