"""The task manager: the orchestrator and every agent behind the same A2A handler."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from codin.agent.base import AgentInfo
from codin.agent.cards import Cards
from codin.agent.planning.plan import Plan
from codin.agent.planning.planner import Planner
from codin.agent.registry import AgentRegistry
from codin.agent.router import Router
from codin.agent.wrapping import info_of
from codin.model.record import ModelRecord
from codin.security import Access, Principal
from codin.task.asking import AskingWork
from codin.task.calling import AgentCalls
from codin.task.chain import CallLimits
from codin.task.consulting import Consultations
from codin.task.drafting import draft
from codin.task.files import GoalFiles
from codin.task.goal import ORCHESTRATOR, GoalLimits, GoalParts, GoalWork
from codin.task.handing_off import HandOffs, Passing, PassingWork, PlatformCaller
from codin.task.handler import AgentRequestHandler
from codin.task.runner import TaskRunner
from codin.task.step_tools import StepTools
from codin.task.work import RunServices, Work

if TYPE_CHECKING:
    from codin.task.push import PushNotifications

ORCHESTRATOR_INFO = AgentInfo(
    id=ORCHESTRATOR,
    name="codin",
    description="Takes a goal in words, plans it, and has a team of agents do it.",
    framework="codin",
    skills=("Plan a goal and have it done by agents of any framework",),
    trusted=True,
)


def _no_notes() -> Sequence[Mapping[str, Any]]:
    return ()


class TaskManager:
    """Plans goals and has the agents of ``registry`` do their steps, over A2A.

    Call ``start`` before anything else, and ``aclose`` at the end: it cancels what runs. ``access``
    decides who may, and ``cards`` makes the extended cards of all; ``calls`` bounds how agents call
    each other. ``record`` is that of the platform's models.
    """

    def __init__(
        self,
        runner: TaskRunner,
        registry: AgentRegistry,
        planner: Planner,
        services: RunServices,
        *,
        files: GoalFiles | None = None,
        limits: GoalLimits | None = None,
        notes: Callable[[], Sequence[Mapping[str, Any]]] = _no_notes,
        reads_files: Callable[[AgentInfo], bool] = lambda _: False,
        push: PushNotifications | None = None,
        access: Access | None = None,
        cards: Cards | None = None,
        calls: CallLimits | None = None,
        record: ModelRecord | None = None,
    ) -> None:
        self.runner = runner
        runner.taking_up.works = self._work
        runner.scheduler.runtimes = registry.runtimes
        self._record = record or ModelRecord()
        agent_calls = AgentCalls(runner, self.agent_handler, calls or CallLimits())
        consultations = Consultations(runner, agent_calls)
        self._passing = Passing(runner.log, agent_calls)
        self._hand_offs = HandOffs(agent_calls)
        self.caller = PlatformCaller(consultations, self._hand_offs)
        """Has agents called for runs: what is behind the tools that are agents."""
        self._push = push
        self._access = access
        self._cards = cards or Cards(push=push is not None)
        self._registry = registry
        self._services = replace(services, ended=consultations.end, only=StepTools(runner.log).only)
        self._handlers: dict[str, AgentRequestHandler] = {}
        self._parts = GoalParts(
            log=runner.log,
            planner=planner,
            agents=registry.infos,
            handlers=self.agent_handler,
            files=files or GoalFiles(),
            limits=limits or GoalLimits(),
            notes=notes,
            reads_files=reads_files,
            record=self._record,
        )
        self._goal = GoalWork(self._parts)
        self.handler = AgentRequestHandler(
            ORCHESTRATOR,
            self._goal_work,
            runner,
            info=ORCHESTRATOR_INFO,
            extended_card=lambda principal, url: self._cards.extended(
                ORCHESTRATOR_INFO, url, registry.infos(principal)
            ),
            push=push,
            access=access,
        )
        """Answers A2A for the orchestrator: a message to it is a goal."""

    async def start(self) -> list[str]:
        """Go on with what dead processes left behind; gives the ids of those tasks."""
        return await self.runner.recover()

    async def aclose(self, *, hand_over: bool = False) -> None:
        """Leave nothing running: every task of this process is canceled, or with ``hand_over`` left
        to the next process over the log."""
        await self.runner.aclose(hand_over=hand_over)

    async def draft(self, principal: Principal, goal: str) -> Plan:
        """The plan by which ``goal`` would be done. Raises as ``codin.task.drafting.draft``."""
        return await draft(self._parts, principal, goal)

    def agents(self, principal: Principal) -> Sequence[AgentInfo]:
        """The agents that ``principal`` may use."""
        return self._registry.infos(principal)

    def agent_handler(self, principal: Principal, agent_id: str) -> AgentRequestHandler:
        """What answers A2A for an agent.

        Raises:
            UnknownAgent: there is none that ``principal`` may use.
        """
        agent = self._registry.get(principal, agent_id)
        if agent_id not in self._handlers:
            work_for = partial(self._agent_work, agent_id)
            info = info_of(agent)
            self._handlers[agent_id] = AgentRequestHandler(
                agent_id,
                work_for,
                self.runner,
                info=info,
                extended_card=lambda _, url: self._cards.extended(info, url),
                push=self._push,
                access=self._access,
            )
        return self._handlers[agent_id]

    def _work(self, principal: Principal, agent_id: str) -> Work:
        """What does the tasks of an agent, or goals."""
        if agent_id == ORCHESTRATOR:
            return self._goal_work(principal)
        return self._agent_work(agent_id, principal)

    def _goal_work(self, principal: Principal) -> Work:
        return self._goal

    def _agent_work(self, agent_id: str, principal: Principal) -> Work:
        agent = self._registry.get(principal, agent_id)
        info, routes = info_of(agent), isinstance(agent, Router)
        given = agent, info, self._services
        log, record = self.runner.log, self._record
        if not (routes or info.hands_off_to):
            return AskingWork(*given, log=log, record=record)
        return PassingWork(
            *given,
            log=log,
            record=record,
            hand_offs=self._hand_offs,
            passing=self._passing,
            routes=routes,
        )
