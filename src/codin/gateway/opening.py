"""Puts the platform together from its rooms, and takes it apart again."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.types import ASGIApp

from codin.agent.base import AgentInfo
from codin.agent.host.containers import Containers
from codin.agent.host.launcher import AgentHosts
from codin.agent.host.packages import Environments
from codin.agent.registry import AgentRegistry
from codin.config import Settings
from codin.database import Database, open_database
from codin.gateway.coordination import (
    AgentTools,
    coordinator_infos,
    missing_agents,
    register_coordinators,
)
from codin.gateway.host_api import history_of, host_api, model_authenticator
from codin.gateway.host_memory import HostMemory
from codin.gateway.mcp.app import McpApp
from codin.gateway.mcp.face import ToolFace
from codin.gateway.memory import open_platform_memory
from codin.gateway.planning import planner_of
from codin.gateway.platform import Platform
from codin.gateway.quota import Quota
from codin.gateway.sandboxes import local_provider, open_sandboxes
from codin.gateway.server import UnixServer
from codin.gateway.team import Say, Team, bring_up
from codin.gateway.tools import open_sources
from codin.gateway.trust import Trust, open_trust
from codin.gateway.unmet import unmet_in
from codin.memory import MemorySystem
from codin.model import ModelChoice, ModelService
from codin.model.record import ModelRecord
from codin.model.recorded import RecordedMeter
from codin.private_folder import private_folder
from codin.runtime import LocalRuntime, OmniRuntime, Runtime
from codin.security import LOCAL_USER, Authorizer, Principal, RunGrants
from codin.task import (
    LogCallRecorder,
    RunServices,
    TaskRunner,
)
from codin.task.artifacts import Artifacts, open_artifacts
from codin.task.calls import TaskApprover
from codin.task.chain import CallLimits
from codin.task.conversation import MemoryConversation
from codin.task.files import GoalFiles
from codin.task.goal import GoalLimits
from codin.task.log import open_log
from codin.task.manager import TaskManager
from codin.task.new_facts import telling
from codin.task.push import open_push
from codin.task.remembering import RememberedCalls
from codin.task.scheduler import RunLimits
from codin.tool.base import ToolSpec
from codin.tool.execution.executor import ToolExecutor
from codin.tool.finding.granted import Wanted
from codin.tool.finding.meanings import Embedder
from codin.tool.guide import READS_FILES, DataGuide
from codin.tool.policies.policy import Policies
from codin.tool.registry import ToolRegistry
from codin.tool.session import GoalSandboxes

LOGS = "logs"
"""The folder below the home in which the output of agent hosts is kept."""


def _quiet(text: str) -> None:
    """Say nothing."""


@asynccontextmanager
async def open_platform(
    settings: Settings, choice: ModelChoice, *, say: Say = _quiet, takes_over: bool = True
) -> AsyncIterator[Platform]:
    """The platform of ``settings`` over the model ``choice``, until the block is left. Tasks that
    are at work then are left to the next platform over the same database. This one goes on with
    what others left, unless it is not to take anything over.

    Agents and tools that cannot be brought up are in ``problems``. ``say`` is told in a line what
    goes on meanwhile.

    Raises:
        SandboxUnavailable: there is no sandbox on this machine; the message says how to get one.
        CodinError: a store cannot be opened.
    """
    async with AsyncExitStack() as stack:
        yield await _Opening(settings, choice, say, stack).platform(takes_over=takes_over)


@asynccontextmanager
async def open_team(settings: Settings, *, say: Say = _quiet) -> AsyncIterator[Team]:
    """The agents of ``settings`` alone, to see who is there; they cannot be given work."""
    async with AsyncExitStack() as stack:
        provider = local_provider(settings)
        stack.push_async_callback(provider.close)
        runtime = LocalRuntime(provider)
        stack.push_async_callback(runtime.close)
        hosts = await _open_hosts(stack, runtime, Starlette(), settings)
        team = await bring_up(settings.agents, hosts, say)
        infos = (*team.infos, *coordinator_infos(settings))
        team.others += [
            *missing_agents(infos),
            *await unmet_in(settings, infos, provider),
        ]
        yield team


async def _open_hosts(
    stack: AsyncExitStack, runtime: Runtime, app: ASGIApp, settings: Settings
) -> AgentHosts:
    """Hosts that reach ``app`` as their platform, and whose output is kept below the home."""
    folder = await asyncio.to_thread(private_folder, "platform")
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    socket = folder / "platform.sock"
    await stack.enter_async_context(UnixServer(app, socket))
    environments = Environments(containers=Containers(settings.sandbox.private_network))
    hosts = AgentHosts(runtime, socket, journals=settings.home / LOGS, environments=environments)
    stack.push_async_callback(hosts.stop)
    return hosts


class _Opening:
    """Opens the rooms from the bottom up; the stack closes them in the opposite order."""

    def __init__(
        self, settings: Settings, choice: ModelChoice, say: Say, stack: AsyncExitStack
    ) -> None:
        self._settings = settings
        self._choice = choice
        self._say = say
        self._stack = stack
        self._grants = RunGrants()
        self._record = ModelRecord()

    async def platform(self, *, takes_over: bool) -> Platform:
        home = self._settings.home
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        database = await open_database(
            self._settings.database_place, durability=self._settings.database.durability
        )
        self._stack.push_async_callback(database.close)
        log = await open_log(database, artifacts=self._artifacts(database))
        self._stack.push_async_callback(log.close)
        trust = await self._stack.enter_async_context(open_trust(self._settings, database))
        push = await self._stack.enter_async_context(
            open_push(database, log, guard=trust.guard, signer=trust.push_signer)
        )
        model = await self._stack.enter_async_context(
            ModelService(self._choice, RecordedMeter(self._record))
        )
        kept = await self._stack.enter_async_context(
            open_platform_memory(self._settings, trust.access.authorizer, model.client)
        )
        memory, remembering = kept.system, kept.remembering
        self._warm(model)
        tools = ToolRegistry(trust.access.authorizer)
        provider, runtime, sandboxes = await open_sandboxes(self._stack, self._settings)
        sources = await self._stack.enter_async_context(
            open_sources(tools, self._settings, trust.guard, provider)
        )
        runner = TaskRunner(
            log,
            conversation=MemoryConversation(memory, max_tokens=self._settings.memory.window),
            remembering=remembering,
            root_ended=sandboxes.close,
            rights=trust.store.keys.standing,
            limits=self._run_limits(),
            takes_over=takes_over,
        )
        executor = ToolExecutor(
            tools,
            runtime=runtime,
            sandboxes=sandboxes,
            recorder=RememberedCalls(LogCallRecorder(runner), remembering, _specs(tools)),
            sink=runner.emit,
            policies=Policies(self._settings.policies),
            approver=TaskApprover(runner),
            embedder=self._embedder(),
        )
        hosts = await self._hosts(runtime, executor, model, memory, trust.access.authorizer)
        team = await bring_up(self._settings.agents, hosts, self._say, trust.remote.wrap)
        agents = AgentRegistry(trust.access.authorizer, team.agents)
        team.others += [kept.problem] if kept.problem else []
        team.others += register_coordinators(self._settings, agents, model.client, self._record)
        files = GoalFiles(sandboxes.workspaces, DataGuide(runtime, sandboxes.workspaces))
        manager = TaskManager(
            runner,
            agents,
            planner_of(self._settings.goal, model.client),
            RunServices(self._grants, tools_for=executor.bind, seconds=self._settings.goal.seconds),
            files=files,
            limits=self._limits(),
            notes=lambda: [label_of(self._choice)],
            reads_files=_reader(tools),
            push=push,
            access=trust.access,
            cards=trust.cards,
            calls=CallLimits(self._settings.calls.depth, self._settings.calls.tasks),
            record=self._record,
        )
        seconds = self._settings.goal.seconds
        tell = telling(runner.emit)
        calls = AgentTools(tools, agents, manager.caller, seconds=seconds, tell=tell)
        self._stack.push_async_callback(manager.aclose, hand_over=True)
        await manager.start()
        return Platform(
            settings=self._settings,
            model=model,
            log=log,
            memory=memory,
            trust=trust,
            push=push,
            workspaces=sandboxes.workspaces,
            agents=agents,
            tools=tools,
            sources=sources,
            manager=manager,
            hosts=hosts,
            team=team,
            calls=calls,
            quota=Quota(self._settings.limits),
            mcp=self._mcp(tools, executor, sandboxes, trust),
        )

    def _mcp(
        self, tools: ToolRegistry, executor: ToolExecutor, sandboxes: GoalSandboxes, trust: Trust
    ) -> McpApp:
        face = ToolFace(tools, executor, sandboxes=sandboxes, access=trust.access)
        app = McpApp(face, body_bytes=self._settings.limits.body_bytes)
        self._stack.push_async_callback(app.aclose)
        return app

    def _artifacts(self, database: Database) -> Artifacts:
        server = self._settings.server
        return open_artifacts(database, inline_bytes=server.inline_bytes, address=server.address)

    def _embedder(self) -> Embedder | None:
        if not self._settings.search.meaning:
            return None
        from codin.model.embedding import E5Embedder

        embedder = E5Embedder()
        self._stack.push_async_callback(embedder.aclose)
        return embedder

    def _warm(self, model: ModelService) -> None:
        """Load a model that runs here while the rest comes up; who needs it first waits for it."""
        warming = asyncio.create_task(_warmed(model))

        async def stop() -> None:
            warming.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await warming

        self._stack.push_async_callback(stop)

    async def _hosts(
        self,
        runtime: OmniRuntime,
        executor: ToolExecutor,
        model: ModelService,
        memory: MemorySystem,
        authorizer: Authorizer,
    ) -> AgentHosts:
        app: ASGIApp = host_api(
            self._grants,
            executor,
            model_proxy=model.proxy(model_authenticator(self._grants), self._record),
            model_name=self._choice.name,
            history=history_of(memory),
            memory=HostMemory(memory, authorizer),
        )
        return await _open_hosts(self._stack, runtime, app, self._settings)

    def _run_limits(self) -> RunLimits:
        runs = self._settings.runs
        return RunLimits(runs.at_once, runs.per_tenant, runs.agents, runs.runtimes)

    def _limits(self) -> GoalLimits:
        goal = self._settings.goal
        return GoalLimits(
            seconds=goal.seconds,
            parallel=goal.parallel,
            max_steps=goal.max_steps,
            replans=goal.replans,
        )


def label_of(choice: ModelChoice) -> dict[str, Any]:
    """What a goal says of the model in use, at its beginning."""
    return {"type": "model", "label": choice.label, "basic": choice.basic}


def _specs(tools: ToolRegistry) -> Callable[[Principal, str], ToolSpec | None]:
    def spec_of(principal: Principal, name: str) -> ToolSpec | None:
        tool = tools.find(principal, name)
        return None if tool is None else tool.spec

    return spec_of


def _reader(tools: ToolRegistry) -> Callable[[AgentInfo], bool]:
    readers = {tool.spec.name for tool in tools.list(LOCAL_USER) if READS_FILES in tool.spec.tags}
    return lambda info: any(map(Wanted.of(frozenset(info.tools)).has, readers))


async def _warmed(model: ModelService) -> None:
    # Whoever asks the model first is told what is wrong with it, in its own task.
    with contextlib.suppress(Exception):
        await model.warm()
