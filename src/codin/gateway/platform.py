"""The platform as it runs: what `codin run` and `codin up` are made of."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from codin.agent.a2a import user_message
from codin.agent.answers import answering
from codin.agent.host.launcher import AgentHosts
from codin.agent.planning.plan import Plan
from codin.agent.registry import AgentRegistry
from codin.config import Settings
from codin.errors import InvalidInputError
from codin.gateway.base import GatewayParts, ModelBadge, ServedAgent
from codin.gateway.coordination import (
    AgentTools,
)
from codin.gateway.mcp.app import McpApp
from codin.gateway.quota import Quota
from codin.gateway.sending import check_agents, send
from codin.gateway.team import Team, TeamProblem
from codin.gateway.tools import Sources
from codin.gateway.trust import Trust
from codin.gateway.unmet import unmet
from codin.memory import MemorySystem
from codin.model import ModelChoice, ModelService
from codin.security import LOCAL_USER, Principal
from codin.task import (
    EventLog,
    TaskEnded,
)
from codin.task.goal import ORCHESTRATOR
from codin.task.goal_plans import plan_part
from codin.task.manager import ORCHESTRATOR_INFO, TaskManager
from codin.task.push import PushNotifications
from codin.tool.finding.search import ToolSearch
from codin.tool.registry import ToolRegistry
from codin.tool.workspace import Workspaces


@dataclass(frozen=True, slots=True)
class Platform:
    """Everything that runs. Made by ``open_platform``, which also ends it."""

    settings: Settings
    model: ModelService
    log: EventLog
    memory: MemorySystem
    trust: Trust
    push: PushNotifications
    workspaces: Workspaces
    agents: AgentRegistry
    tools: ToolRegistry
    sources: Sources
    manager: TaskManager
    hosts: AgentHosts
    team: Team
    calls: AgentTools
    quota: Quota
    mcp: McpApp

    @property
    def choice(self) -> ModelChoice:
        """The language model in use."""
        return self.model.choice

    @property
    def problems(self) -> tuple[TeamProblem, ...]:
        """The agents that could not be brought up, the tools that cannot be used, and the agents
        that ask for one that is not there."""
        lacking = unmet(self.agents.infos(LOCAL_USER), self.tools)
        return (*self.team.problems, *self.sources.problems, *self.calls.problems, *lacking)

    async def submit(self, principal: Principal, goal: str, plan: Plan | None = None) -> str:
        """Send ``goal`` to the orchestrator, over A2A, with the ``plan`` by which it is to be done,
        if there is one; gives the task's id once it is in the log.

        Raises:
            InvalidInputError: the goal is empty, or the orchestrator does not take it, such as one
                that is too long.
        """
        if not goal.strip():
            raise InvalidInputError("the goal is empty: say in words what is to be done")
        parts = () if plan is None else (plan_part(plan),)
        return await send(self.manager.handler, principal, user_message(goal, parts=parts))

    async def draft(self, principal: Principal, goal: str) -> Plan:
        """The plan by which ``goal`` would be done, of which nothing is done.

        Raises:
            PlanError: it cannot be run; with every problem.
            PlanningFailed, ModelError: as the planner.
        """
        return await self.manager.draft(principal, goal)

    async def answer(
        self, principal: Principal, task_id: str, text: str, question: str = ""
    ) -> None:
        """Send ``text`` to whoever has the task, over A2A, as the answer to what it asks, or to the
        request with the id ``question`` alone; returns once it is in the log.

        Raises:
            UnknownTask: there is none for this principal.
            InvalidInputError: the answer is empty or is not taken, such as when the task does not
                wait for one (any more), or an agent that the task needs is not here.
        """
        if not text.strip():
            raise InvalidInputError("the answer is empty: say what the task asks for")
        row = await self.log.task(principal, task_id)
        if row.interrupted:
            here = [ORCHESTRATOR, *(info.id for info in self.agents.infos(principal))]
            check_agents(row, await self.log.steps(principal, task_id), here)
        if row.agent_id == ORCHESTRATOR:
            handler = self.manager.handler
        else:
            handler = self.manager.agent_handler(principal, row.agent_id)
        await send(handler, principal, answering(text, task_id, question))

    async def cancel(self, principal: Principal, task_id: str, reason: str) -> None:
        """Stop a task, unless it has ended already; returns once its end is logged."""
        with contextlib.suppress(TaskEnded):
            await self.manager.runner.control.cancel(principal, task_id, reason)

    def parts(self) -> GatewayParts:
        """What the gateway serves."""
        server = self.settings.server
        return GatewayParts(
            orchestrator=self._orchestrator,
            agents=self._served,
            tools=lambda principal: [tool.spec for tool in self.tools.list(principal)],
            find_tools=ToolSearch(self.tools).find_for,
            log=self.log,
            memory=self.memory,
            workspaces=self.workspaces,
            cards=self.trust.cards,
            access=self.trust.access,
            authenticator=self.trust.authenticator,
            quota=self.quota,
            mcp=self.mcp,
            push=self.push,
            root=self._root(),
            public_url=server.public_url,
            host_names=self.trust.host_names,
            jwks=self.trust.store.jwks,
            model=lambda: ModelBadge(self.choice.label, basic=self.choice.basic),
            states=self.team.states,
            problems=lambda: [(p.source, p.message) for p in self.problems],
        )

    @property
    def _orchestrator(self) -> ServedAgent:
        return ServedAgent(ORCHESTRATOR_INFO, self.manager.handler)

    def _root(self) -> ServedAgent | None:
        agent_id = self.settings.server.root
        if agent_id in {None, ORCHESTRATOR}:
            return None
        for served in self._served(LOCAL_USER):
            if served.info.id == agent_id:
                return served
        known = ", ".join(info.id for info in self.agents.infos(LOCAL_USER)) or "none"
        raise InvalidInputError(
            f"there is no agent {agent_id!r} to have in front (server.root, --root): it is one of"
            f" {ORCHESTRATOR}, {known}"
        )

    def _served(self, principal: Principal) -> Sequence[ServedAgent]:
        served = [
            ServedAgent(info, self.manager.agent_handler(principal, info.id))
            for info in self.agents.infos(principal)
        ]
        # with another agent in front, it is reached as the others are
        moved = self.settings.server.root not in {None, ORCHESTRATOR}
        allowed = self.trust.access.authorizer.allows(principal, f"agent.use:{ORCHESTRATOR}")
        return [*served, self._orchestrator] if moved and allowed else served
