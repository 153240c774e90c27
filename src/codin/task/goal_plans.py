"""Where the plan of a goal comes from: from whoever sent it, from a planner, or from the log."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from codin.agent.a2a import data_part
from codin.agent.base import AgentInfo
from codin.agent.events import Completed
from codin.agent.planning.document import parse_plan, with_values
from codin.agent.planning.plan import Plan, PlanError
from codin.agent.planning.planner import Planner, PlanningFailed, PlanRequest
from codin.agent.planning.step import Step
from codin.errors import CodinError
from codin.task.errors import is_away
from codin.task.files import GoalFiles
from codin.task.log.base import EventLog
from codin.task.new_facts import Fact
from codin.task.plan_history import PLAN
from codin.task.plan_run import PlanRun, StepFailure
from codin.task.step_run import StepRun, reason_of
from codin.task.work import Run

if TYPE_CHECKING:
    from a2a.types import Message, Part

_log = logging.getLogger(__name__)


@runtime_checkable
class RepairingPlanner(Protocol):
    """A planner that can also mend a plan of which a step has failed."""

    async def repair(
        self, request: PlanRequest, plan: Plan, failed_step: Step, error: str
    ) -> Plan: ...


@runtime_checkable
class RevisingPlanner(Protocol):
    """A planner that can also make a plan anew by what has come to be known since. ``done`` are
    the ids of the steps that are done: whoever runs the plan keeps them."""

    async def revise(
        self, request: PlanRequest, plan: Plan, done: Collection[str], facts: Sequence[str]
    ) -> Plan: ...


class GoalPlans:
    """Gives goals their plans. A plan that came with a goal is kept to, unless it says how often
    it may be changed."""

    def __init__(self, log: EventLog, planner: Planner, files: GoalFiles, max_steps: int) -> None:
        self._log = log
        self._planner = planner
        self._files = files
        self._max_steps = max_steps

    async def plan(self, run: Run, steps: StepRun, agents: Sequence[AgentInfo]) -> Plan:
        """A plan for the goal of ``run``, checked.

        Raises:
            PlanError: it cannot be run; with every problem.
            PlanningFailed, ModelError: as the planner.
        """
        plan = given_plan(run.message)
        if plan is None:
            plan = await self._planner.plan(await self._request(run, steps, agents))
        plan.check(agents, max_steps=self._max_steps)
        return plan

    async def mended(
        self, run: Run, steps: StepRun, agents: Sequence[AgentInfo], plan: Plan, failed: StepFailure
    ) -> Plan | None:
        """The plan without the step that failed, checked; ``None``: the failure stands."""
        if not isinstance(self._planner, RepairingPlanner):
            return None
        try:
            request = await self._request(run, steps, agents, plan.goal)
            new = await self._planner.repair(request, plan, failed.step, failed.reason)
            new.check(agents, max_steps=self._max_steps)
        except CodinError as error:
            if is_away(error):
                raise
            _log.info("the plan of task %s could not be mended: %s", run.task_id, error)
            return None
        return new

    @property
    def heeds(self) -> bool:
        """Whether plans can be made anew by new facts."""
        return isinstance(self._planner, RevisingPlanner)

    async def revised(
        self, run: Run, steps: PlanRun, agents: Sequence[AgentInfo], facts: Sequence[Fact]
    ) -> Plan:
        """The plan by which to go on now that ``facts`` are known, checked. What is done is in it
        as it was.

        Raises:
            PlanError: it cannot be run; with every problem.
            PlanningFailed, ModelError: as the planner.
        """
        if not isinstance(self._planner, RevisingPlanner):
            raise PlanningFailed("this goal's planner makes no plan anew by new facts")
        plan = steps.plan
        request = await self._request(run, steps.steps, agents, plan.goal)
        done = [step for step in plan.steps if step.id in steps.outputs]
        ids = [step.id for step in done]
        new = await self._planner.revise(request, plan, ids, [str(fact) for fact in facts])
        left = [step for step in new.steps if step.id not in ids]
        new = plan.with_steps([*done, *left], new.reason)
        new.check(agents, max_steps=self._max_steps)
        return new

    def replans(self, plan: Plan, most: int) -> int:
        """How often ``plan`` may be mended in all."""
        if not isinstance(self._planner, RepairingPlanner | RevisingPlanner):
            return 0
        return most if plan.replans is None else plan.replans

    async def words(self, run: Run) -> str:
        """The goal in words, as it was given; in a run that goes on, the message is an answer."""
        first = await self._log.read(run.principal, run.task_id, 0, 1)
        parts = first[0].body["history"][0].get("parts", ())
        return "\n".join(part["text"] for part in parts if "text" in part)

    async def _request(
        self, run: Run, steps: StepRun, agents: Sequence[AgentInfo], goal: str = ""
    ) -> PlanRequest:
        async def ask(agent_id: str, request: str) -> str:
            step = Step.model_construct(id=".plan", agent=agent_id, instruction="Plan the goal.")
            attempt = await steps.rows.asked(steps.dispatcher, step, request)
            if not isinstance(attempt.end, Completed):
                raise PlanningFailed(f"{agent_id} did not plan: {reason_of(attempt.end)}")
            return attempt.text

        return PlanRequest(
            goal="\n\n".join([await self.words(run) or goal, *steps.facts.said]),
            agents=tuple(agents),
            principal=run.principal,
            files=await self._files.inputs(),
            ask=ask,
            max_steps=self._max_steps,
            task_id=run.task_id,
        )


def plan_part(plan: Plan) -> Part:
    """The part of a goal's message that brings ``plan``."""
    return data_part({"type": PLAN, "plan": plan.model_dump(mode="json", exclude_unset=True)})


def given_plan(message: Message) -> Plan | None:
    """The plan that a goal's message brings; ``None`` when it brings none. Where it does not say
    how often it may be changed, it may not.

    Raises:
        PlanError: it is none.
    """
    from codin.agent._parts import part_value

    for part in message.parts:
        value = part_value(part) if part.HasField("data") else None
        if isinstance(value, Mapping) and value.get("type") == PLAN:
            values = value.get("values") or {}
            if not isinstance(values, Mapping):
                raise PlanError(["values: give an object with a value for each input"])
            plan = with_values(parse_plan(value.get("plan")), values)
            return plan if plan.replans is not None else plan.model_copy(update={"replans": 0})
    return None
