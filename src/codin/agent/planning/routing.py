"""Planners that need no model: one agent for the whole goal, and one plan for all goals."""

from __future__ import annotations

from codin.agent.planning.document import with_values
from codin.agent.planning.plan import Plan, Step, step_id
from codin.agent.planning.planner import Planner, PlanningFailed, PlanRequest, checked
from codin.agent.planning.ranking import LexicalRanking

GOAL = "goal"
"""The input in which a plan for all goals has the goal in words, where it has such an input."""


class SingleAgentRouter(Planner):
    """Gives the whole goal to the one agent whose description has most of its words."""

    async def plan(self, request: PlanRequest) -> Plan:
        return self._for(checked(request), ())

    async def repair(self, request: PlanRequest, plan: Plan, failed_step: Step, error: str) -> Plan:
        """The goal for the agent that fits next, of those that did not have it.

        Raises:
            PlanningFailed: nobody else fits.
        """
        mended = self._for(checked(request), [step.agent for step in plan.steps])
        reason = f"{failed_step.agent} failed ({error[:300]}). {mended.reason}"
        # An id of its own: what has failed stays to be seen.
        again = mended.steps[0].model_copy(update={"id": step_id(mended.steps[0].agent, 2)})
        return mended.with_steps([again], reason)

    def _for(self, request: PlanRequest, without: list[str] | tuple[()]) -> Plan:
        agents = [info for info in request.agents if info.id not in without]
        if not agents:
            raise PlanningFailed("nobody else is there to do it")
        scores = LexicalRanking(agents).scores(request.goal)
        best = max(agents, key=lambda info: scores[info.id])
        if not scores[best.id] and len(agents) > 1:
            known = ", ".join(info.id for info in agents)
            raise PlanningFailed(
                f"no agent's description has a word of the goal (there are: {known}): say more"
                " exactly what is to be done, or have a model plan"
            )
        step = Step(id=step_id(best.id, 1), agent=best.id, instruction=request.goal[:20_000])
        reason = f"{best.id}'s description is nearest to the goal."
        return Plan(goal=request.goal, steps=(step,), reason=reason)


class FixedPlanner(Planner):
    """Gives every goal the same plan. Where that has an input ``goal``, it is the goal in words."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    async def plan(self, request: PlanRequest) -> Plan:
        plan = self._plan.model_copy(update={"goal": request.goal or self._plan.goal})
        return with_values(plan, {GOAL: request.goal}) if GOAL in plan.inputs else plan
