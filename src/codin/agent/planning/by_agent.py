"""A planner that is an agent."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from codin.agent.base import AgentInfo
from codin.agent.planning._prompts import described, files_line, listed, shortened
from codin.agent.planning.document import parse_plan
from codin.agent.planning.plan import Plan, PlanError, Step
from codin.agent.planning.planner import Planner, PlanningFailed, PlanRequest, checked

ROUNDS = 3
"""How often the agent is asked for one plan: once, and then with what is wrong with it."""

_ASK = """\
Plan work for a team of agents. Answer with a plan as one JSON object and nothing else.
An agent sees nothing but its own instruction, its inputs and the outputs of the steps that it \
needs. Steps that do not wait for each other run at the same time. Use as few steps as the goal \
needs, and an agent only for what its description says."""


class AgentPlanner(Planner):
    """Has the agent ``agent_id`` plan: it is sent the goal, the team and the JSON Schema of a plan,
    and is asked again with what is wrong with its answer. It is no part of the team itself."""

    def __init__(self, agent_id: str, *, rounds: int = ROUNDS) -> None:
        self._agent = agent_id
        self._rounds = rounds

    async def plan(self, request: PlanRequest) -> Plan:
        request = self._without_itself(request)
        return await self._asked(request, _question(request))

    async def repair(self, request: PlanRequest, plan: Plan, failed_step: Step, error: str) -> Plan:
        """The agent's plan in place of one of which a step has failed. Steps that keep their id
        and their agent, and are done, are not done again.

        Raises:
            PlanningFailed: it gives none that can be run.
        """
        failed = f"Step {failed_step.id} has failed: {shortened(error)}"
        mended = await self._asked_anew(request, plan, failed)
        why = f"{failed_step.id} failed ({error[:300]}). {mended.reason}".strip()
        return plan.with_steps(mended.steps, why)

    async def revise(
        self, request: PlanRequest, plan: Plan, done: Collection[str], facts: Sequence[str]
    ) -> Plan:
        """The agent's plan in place of one that was begun, now that ``facts`` are known.

        Raises:
            PlanningFailed: it gives none that can be run.
        """
        since = (
            f"Steps that are done: {', '.join(done) or 'none'}\n"
            f"What has come to be known since:\n{listed(facts)}"
        )
        new = await self._asked_anew(request, plan, since)
        return plan.with_steps(new.steps, new.reason)

    async def _asked_anew(self, request: PlanRequest, plan: Plan, since: str) -> Plan:
        """The agent's plan in place of one that was begun, told what has come ``since``."""
        request = self._without_itself(request)
        said = (
            f"{_question(request)}\n\nThis plan was begun: {json.dumps(plan.shown())}\n{since}\n"
            "Give the plan with which the goal is reached all the same. Leave the steps that are"
            " done as they are, and give new steps new ids."
        )
        return await self._asked(request, said)

    async def _asked(self, request: PlanRequest, question: str) -> Plan:
        problems: list[str] = []
        said = question
        for _ in range(self._rounds):
            answer = await request.ask(self._agent, said)
            try:
                plan = _read(answer, request.goal)
                plan.check(request.agents, max_steps=request.max_steps)
            except PlanError as error:
                problems = error.problems
            else:
                return plan
            said = (
                f"{question}\n\nYou answered: {shortened(answer)}\n"
                f"That cannot be run: {'; '.join(problems)}. Give the corrected plan."
            )
        raise PlanningFailed(
            f"{self._agent} was asked {self._rounds} times and gave no plan that can be run: "
            + "; ".join(problems)
        )

    def _without_itself(self, request: PlanRequest) -> PlanRequest:
        others = tuple(info for info in request.agents if info.id != self._agent)
        return checked(replace(request, agents=others))


def _question(request: PlanRequest) -> str:
    files = f"\n\n{files_line(request.files)}" if request.files else ""
    schema = json.dumps(Plan.model_json_schema())
    return (
        f"{_ASK}\n\nThe team:\n{_team(request.agents)}{files}\n\n"
        f"The JSON Schema of a plan: {schema}\n\nThe goal: {shortened(request.goal)}"
    )


def _team(agents: Sequence[AgentInfo]) -> str:
    return "\n".join(f"- {info.id}: {described(info)}" for info in agents)


def _read(answer: str, goal: str) -> Plan:
    """The plan in an answer, which may have words or a fence around it."""
    first, last = answer.find("{"), answer.rfind("}")
    try:
        found: dict[str, Any] = json.loads(answer[first : last + 1])
    except (ValueError, RecursionError) as error:
        raise PlanError([f"it is no JSON object: {error}"]) from None
    # The goal, its values and what may be used are not the planner's to say.
    kept = {"steps": found.get("steps", []), "reason": str(found.get("reason", ""))}
    return parse_plan({"goal": goal, **kept})
