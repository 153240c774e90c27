"""Planners besides the model's: one agent for all of it, one plan for all goals, and an agent that
plans."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from codin.agent.base import AgentInfo
from codin.agent.planning.by_agent import AgentPlanner
from codin.agent.planning.document import parse_plan
from codin.agent.planning.planner import PlanningFailed, PlanRequest
from codin.agent.planning.routing import FixedPlanner, SingleAgentRouter
from codin.security import LOCAL_USER

BAKERY = (
    AgentInfo("miller", "Miller", "Grinds grain into flour. Does not bake."),
    AgentInfo("baker", "Baker", "Bakes bread and cakes from flour."),
    AgentInfo("boss", "Boss", "Plans."),
)


def request(goal: str, agents: Sequence[AgentInfo] = BAKERY, **more: Any) -> PlanRequest:
    return PlanRequest(goal, agents, LOCAL_USER, **more)


async def test_the_router_gives_the_whole_goal_to_the_agent_that_fits() -> None:
    plan = await SingleAgentRouter().plan(request(" Bake a cake. "))
    (step,) = plan.steps
    assert (step.agent, step.instruction) == ("baker", "Bake a cake.")
    plan.check(BAKERY)


async def test_the_router_says_when_nobody_fits() -> None:
    with pytest.raises(PlanningFailed, match="has a word of the goal"):
        await SingleAgentRouter().plan(request("Paint the fence."))
    (step,) = (await SingleAgentRouter().plan(request("Paint it.", BAKERY[:1]))).steps
    assert step.agent == "miller", "the only one there is does what it can"
    with pytest.raises(PlanningFailed, match="the goal is empty"):
        await SingleAgentRouter().plan(request(" "))
    with pytest.raises(PlanningFailed, match="there is no agent to plan with"):
        await SingleAgentRouter().plan(request("Bake.", ()))


async def test_the_router_gives_a_goal_that_failed_to_the_next() -> None:
    router, asked = SingleAgentRouter(), request("Grind flour and bake bread.")
    plan = await router.plan(asked)
    mended = await router.repair(asked, plan, plan.steps[0], "no oven")
    assert {plan.steps[0].agent, mended.steps[0].agent} == {"miller", "baker"}
    assert mended.steps[0].id != plan.steps[0].id
    assert "failed (no oven)" in mended.reason


async def test_a_fixed_plan_has_the_goal_as_an_input() -> None:
    document = {
        "goal": "any",
        "steps": [{"id": "s", "agent": "baker", "instruction": "do it"}],
        "inputs": {"goal": {"type": "string"}},
    }
    plan = await FixedPlanner(parse_plan(document)).plan(request("Bake a cake."))
    plan.check(BAKERY)
    assert (plan.goal, plan.value("goal")) == ("Bake a cake.", "Bake a cake.")
    del document["inputs"]
    plan = await FixedPlanner(parse_plan(document)).plan(request("Bake a cake."))
    assert plan.values == {}


class Boss:
    """Answers in turn, and keeps what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, agent_id: str, said: str) -> str:
        assert agent_id == "boss"
        self.asked.append(said)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, str) else json.dumps(answer)


def steps(*agents: str) -> dict[str, Any]:
    made = [{"id": f"s{n}", "agent": one, "instruction": "do"} for n, one in enumerate(agents)]
    return {"goal": "mine", "steps": made, "reason": "so"}


async def test_an_agent_is_asked_for_a_plan_and_again_with_what_is_wrong() -> None:
    boss = Boss(
        "I will not.", steps("baker", "boss"), f"Here:\n```json\n{json.dumps(steps('baker'))}\n```"
    )
    plan = await AgentPlanner("boss").plan(request("Bake a cake.", ask=boss))
    assert [step.agent for step in plan.steps] == ["baker"]
    assert (plan.goal, plan.reason) == ("Bake a cake.", "so"), "the goal is not its to say"
    first, second, third = boss.asked
    assert "- baker: Bakes bread" in first
    assert "- boss:" not in first
    assert '"steps"' in first
    assert "it is no JSON object" in second
    assert "step 's1' names an unknown agent 'boss' (known: baker, miller)" in third


async def test_an_agent_that_gives_no_plan_is_asked_so_often_and_no_more() -> None:
    boss = Boss(*[steps("nobody")] * 5)
    with pytest.raises(PlanningFailed, match=r"was asked 3 times and gave no plan.*unknown agent"):
        await AgentPlanner("boss").plan(request("Bake a cake.", ask=boss))
    assert len(boss.answers) == 2
    with pytest.raises(PlanningFailed, match="cannot be asked for a plan here"):
        await AgentPlanner("boss").plan(request("Bake a cake."))
    small = replace(request("Bake.", ask=Boss(*[steps("baker", "baker")] * 3)), max_steps=1)
    with pytest.raises(PlanningFailed, match="more than the 1 allowed"):
        await AgentPlanner("boss").plan(small)


async def test_an_agent_mends_its_plan_with_the_reason() -> None:
    document = steps("baker", "baker") | {"budget": {"tokens": 5}}
    plan = parse_plan(document)
    fresh = {"id": "new", "agent": "miller", "instruction": "do"}
    boss = Boss({"goal": "x", "steps": [document["steps"][0], fresh]})
    asked = request("Bake a cake.", ask=boss)
    mended = await AgentPlanner("boss").repair(asked, plan, plan.steps[1], "no oven")
    assert [step.id for step in mended.steps] == ["s0", "new"]
    assert mended.budget == plan.budget, "what may be used is not its to say"
    assert "Step s1 has failed: no oven" in boss.asked[0]
    assert mended.reason.startswith("s1 failed (no oven).")


async def test_an_agent_plans_anew_with_what_has_come_to_be_known() -> None:
    document = steps("baker", "baker") | {"budget": {"tokens": 5}}
    plan = parse_plan(document)
    fresh = {"id": "new", "agent": "miller", "instruction": "do"}
    boss = Boss(steps("nobody"), {"goal": "x", "steps": [document["steps"][0], fresh]})
    asked = request("Bake a cake.", ask=boss)
    new = await AgentPlanner("boss").revise(asked, plan, ["s0"], ["There is rye too.", "No salt."])
    assert [step.id for step in new.steps] == ["s0", "new"]
    assert new.budget == plan.budget
    assert "Steps that are done: s0\n" in boss.asked[0]
    assert "- There is rye too.\n- No salt.\n" in boss.asked[0]
    assert "That cannot be run" in boss.asked[1]
    nobody = request("Bake a cake.", ask=Boss(*[steps("nobody")] * 3))
    with pytest.raises(PlanningFailed, match="gave no plan that can be run"):
        await AgentPlanner("boss").revise(nobody, plan, [], ["No salt."])
