"""The planner with models that say what a script tells them: what it asks, and what it makes of
good, broken and useless answers."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from codin.agent.base import AgentInfo
from codin.agent.planning.llm import LLMPlanner
from codin.agent.planning.plan import Plan, Step
from codin.agent.planning.planner import PlanningFailed, PlanRequest
from codin.model import (
    BadModelOutput,
    CallContext,
    ChatMessage,
    ModelChoice,
    ModelClient,
    ModelUnavailable,
    Weigher,
)
from codin.security import LOCAL_USER

BAKERY = (
    AgentInfo("miller", "Miller", "Grinds grain into flour. Does not bake."),
    AgentInfo("baker", "Baker", "Bakes bread and cakes from given flour. Does not deliver."),
    AgentInfo("driver", "Driver", "Delivers finished goods to customers by van."),
)


class ScriptedClient(ModelClient):
    """Answers in turn; an exception among the answers is raised."""

    def __init__(self, *answers: object) -> None:
        self.choice = ModelChoice("openai", "scripted")
        self.answers = list(answers)
        self.asked: list[list[ChatMessage]] = []
        self.outputs: list[type[Any]] = []
        self.principals: list[str] = []

    async def generate(  # type: ignore[override]
        self,
        messages: Sequence[ChatMessage],
        *,
        context: CallContext,
        output: type[Any] = str,
        **_: object,
    ) -> Any:
        self.asked.append(list(messages))
        self.outputs.append(output)
        self.principals.append(context.principal.subject)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        try:
            return TypeAdapter(output).validate_python(answer)
        except ValidationError as error:
            raise BadModelOutput(f"no valid output: {error.error_count()} errors") from error

    def stream(self, messages: Sequence[ChatMessage], **_: object) -> AsyncIterator[str]:
        raise NotImplementedError


class ScriptedWeigher(ScriptedClient, Weigher):
    """Also says yes or no: ``sure`` gives the probability of yes for an agent's text and a job."""

    def __init__(self, sure: Callable[[str, str], float], *answers: object) -> None:
        super().__init__(*answers)
        self.sure = sure
        self.weighed: list[tuple[str, str]] = []

    async def weigh(
        self,
        messages: Sequence[ChatMessage],
        words: Sequence[str],
        *,
        context: CallContext,
        timeout: float | None = None,
    ) -> tuple[float, ...]:
        assert list(words) == ["Yes", "No"]
        member, job, _ = messages[-1].content.split("\n")
        member, job = member.removeprefix("Member: "), job.removeprefix("Job: ")
        self.weighed.append((member, job))
        yes = self.sure(member, job)
        return yes, 1 - yes


def request(goal: str, *, agents: Sequence[AgentInfo] = BAKERY, **more: Any) -> PlanRequest:
    return PlanRequest(goal=goal, agents=agents, principal=LOCAL_USER, **more)


def step(agent: str, instruction: str = "do it", needs: Sequence[int] = ()) -> dict[str, Any]:
    return {"agent": agent, "instruction": instruction, "needs": list(needs)}


def draft(*steps: dict[str, Any], reason: str = "because") -> dict[str, Any]:
    return {"steps": list(steps), "reason": reason}


def shape(plan: Plan) -> list[tuple[str, tuple[str, ...]]]:
    return [(s.agent, s.needs) for s in plan.steps]


# A model that plans in one answer.


async def test_one_call_makes_a_plan_whose_steps_know_their_part_and_the_goal() -> None:
    goal = "Rye bread for the hotel by Friday, 40 loaves"
    model = ScriptedClient(
        draft(step("miller", "Grind rye for 40 loaves"), step("baker", "Bake 40 rye loaves", [1]))
    )
    plan = await LLMPlanner(model).plan(request(goal, files=("orders.csv",)))
    assert "orders.csv" in model.asked[0][-1].content
    assert shape(plan) == [("miller", ()), ("baker", (plan.steps[0].id,))]
    assert len(model.asked) == 1
    assert model.principals == [LOCAL_USER.subject]
    for planned, part in zip(plan.steps, ("Grind rye", "Bake 40"), strict=True):
        assert part in planned.instruction
        assert goal in planned.instruction
    assert plan.reason == "because"


async def test_the_model_sees_every_agent_and_can_name_no_other() -> None:
    model = ScriptedClient(draft(step("baker")))
    await LLMPlanner(model).plan(request("Bake"))
    shown = model.asked[0][0].content
    assert all(agent.id in shown and agent.description in shown for agent in BAKERY)
    schema = str(TypeAdapter(model.outputs[0]).json_schema())
    assert "['miller', 'baker', 'driver']" in schema
    with pytest.raises(ValidationError):
        TypeAdapter(model.outputs[0]).validate_python(draft(step("stranger")))


async def test_steps_that_do_not_need_each_other_stay_apart() -> None:
    model = ScriptedClient(
        draft(step("baker", "bread"), step("baker", "cake"), step("driver", "bring", [1, 2]))
    )
    plan = await LLMPlanner(model).plan(request("Bread and cake for the hotel"))
    first, second, last = plan.steps
    assert first.needs == second.needs == ()
    assert last.needs == (first.id, second.id)


async def test_neighbours_of_one_agent_become_one_step() -> None:
    model = ScriptedClient(
        draft(step("baker", "knead."), step("baker", "bake", [1]), step("driver", "bring", [2]))
    )
    plan = await LLMPlanner(model).plan(request("Bread for the hotel"))
    assert shape(plan) == [("baker", ()), ("driver", (plan.steps[0].id,))]
    assert "Knead; bake." in plan.steps[0].instruction


async def test_a_plan_of_one_step_is_the_goal_itself() -> None:
    model = ScriptedClient(draft(step("baker", "something else entirely")))
    plan = await LLMPlanner(model).plan(request("  Bake 3 cakes  "))
    assert [s.instruction for s in plan.steps] == ["Bake 3 cakes"]
    assert plan.goal == "Bake 3 cakes"


async def test_an_invalid_plan_is_mended_in_one_round_with_what_was_wrong() -> None:
    model = ScriptedClient(
        draft(step("miller", "grind", [2]), step("baker", "bake", [1])),
        draft(step("miller", "grind"), step("baker", "bake", [1])),
    )
    plan = await LLMPlanner(model).plan(request("Bread"))
    assert shape(plan) == [("miller", ()), ("baker", (plan.steps[0].id,))]
    assert len(model.asked) == 2
    told = model.asked[1][-1].content
    assert "wait for each other" in told
    assert '"needs":[2]' in model.asked[1][-2].content


@pytest.mark.parametrize("need", [0, -1, 7])
async def test_a_need_that_is_no_step_is_a_problem(need: int) -> None:
    model = ScriptedClient(draft(step("miller"), step("baker", needs=[need])), draft(step("baker")))
    plan = await LLMPlanner(model).plan(request("Bread"))
    assert f"needs '{need}', which is no step" in model.asked[1][-1].content
    assert [s.agent for s in plan.steps] == ["baker"]


async def test_after_one_repair_round_the_nearest_agent_gets_the_goal() -> None:
    broken = draft(step("miller", "grind", [2]), step("baker", "bake", [1]))
    model = ScriptedClient(broken, broken, broken)
    plan = await LLMPlanner(model).plan(request("Bake bread and a cake"))
    assert len(model.asked) == 2
    assert shape(plan) == [("baker", ())]
    assert plan.steps[0].instruction == "Bake bread and a cake"
    assert "no usable plan" in plan.reason
    assert "wait for each other" in plan.reason


async def test_nonsense_and_no_agent_that_stands_out_is_a_clear_error() -> None:
    model = ScriptedClient(BadModelOutput("it said: lorem ipsum"))
    with pytest.raises(PlanningFailed, match=r"lorem ipsum.*say more exactly"):
        await LLMPlanner(model).plan(request("Make me happy"))
    assert len(model.asked) == 1


async def test_a_model_that_cannot_be_reached_is_not_hidden() -> None:
    with pytest.raises(ModelUnavailable, match="down"):
        await LLMPlanner(ScriptedClient(ModelUnavailable("down"))).plan(request("Bake bread"))


async def test_too_many_steps_are_too_many() -> None:
    model = ScriptedClient(draft(*[step("baker")] * 5))
    with pytest.raises(PlanningFailed):
        await LLMPlanner(model, max_steps=3).plan(request("Make me happy"))


async def test_without_agents_or_goal_the_model_is_not_asked() -> None:
    model = ScriptedClient()
    with pytest.raises(PlanningFailed, match="no agent to plan with: add one"):
        await LLMPlanner(model).plan(request("Bread", agents=()))
    with pytest.raises(PlanningFailed, match="goal is empty"):
        await LLMPlanner(model).plan(request(" \n "))
    assert model.asked == []


async def test_one_agent_needs_no_model() -> None:
    model = ScriptedClient()
    plan = await LLMPlanner(model).plan(request("Bread", agents=BAKERY[1:2]))
    assert shape(plan) == [("baker", ())]
    assert model.asked == []


async def test_a_huge_goal_is_shown_and_passed_on_in_part() -> None:
    model = ScriptedClient(draft(step("baker", "bake"), step("driver", "bring", [1])))
    plan = await LLMPlanner(model).plan(request("Bake " + "x" * 1_000_000 + " END"))
    assert sum(len(m.content) for m in model.asked[0]) < 8_000
    assert model.asked[0][-1].content.endswith("END")
    assert all(len(s.instruction) < 20_000 for s in plan.steps)


# A model that weighs.


def clear(pairs: dict[str, str]) -> Callable[[str, str], float]:
    """Yes for the agent whose description has the word that the job's first word stands for."""
    return lambda member, job: 0.9 if pairs[job.split()[0]] in member else 0.1


SURE = clear({"grind": "Grinds", "bake": "Bakes", "bring": "Delivers", "sing": "nobody"})


async def test_jobs_go_to_the_agents_that_are_likeliest_to_say_yes() -> None:
    goal = "Surprise the hotel with bread from our own grain"
    model = ScriptedWeigher(SURE, {"jobs": ["grind grain", "bake bread", "bring it to the hotel"]})
    plan = await LLMPlanner(model).plan(request(goal))
    ids = [s.id for s in plan.steps]
    assert shape(plan) == [("miller", ()), ("baker", (ids[0],)), ("driver", (ids[1],))]
    assert len(model.asked) == 1
    assert len(model.weighed) == 9
    assert [s.instruction for s in plan.steps] == [goal] * 3
    assert "bake bread (baker)" in plan.reason


async def test_the_team_is_not_shown_when_the_goal_is_split() -> None:
    model = ScriptedWeigher(SURE, {"jobs": ["bake bread"]})
    await LLMPlanner(model).plan(request("Bread"))
    said = " ".join(m.content for m in model.asked[0])
    assert not any(agent.id in said or agent.description in said for agent in BAKERY)


async def test_a_job_that_is_nobodys_is_left_out() -> None:
    model = ScriptedWeigher(SURE, {"jobs": ["bake a cake", "sing a song"]})
    plan = await LLMPlanner(model).plan(request("A cake and a song"))
    assert shape(plan) == [("baker", ())]
    assert plan.steps[0].instruction == "A cake and a song"


async def test_when_every_job_is_nobodys_the_least_unfit_does_the_goal() -> None:
    model = ScriptedWeigher(SURE, {"jobs": ["sing about bread and cakes"]})
    plan = await LLMPlanner(model).plan(request("A song about bread and cakes"))
    assert shape(plan) == [("baker", ())]


async def test_words_decide_where_the_model_does_not() -> None:
    model = ScriptedWeigher(lambda _member, _job: 0.5, {"jobs": ["delivering the goods"]})
    plan = await LLMPlanner(model).plan(request("The goods"))
    assert shape(plan) == [("driver", ())]


async def test_of_many_agents_only_the_nearest_are_weighed() -> None:
    crowd = [AgentInfo(f"a{n}", f"A{n}", f"Counts sheep number {n}.") for n in range(30)]
    model = ScriptedWeigher(SURE, {"jobs": ["bake bread"]})
    plan = await LLMPlanner(model).plan(request("Bread", agents=[*crowd, *BAKERY]))
    assert shape(plan) == [("baker", ())]
    assert len(model.weighed) <= 6


async def test_nonsense_instead_of_jobs_leaves_the_nearest_agent() -> None:
    model = ScriptedWeigher(SURE, {"jobs": []})
    plan = await LLMPlanner(model).plan(request("Bake bread and a cake"))
    assert shape(plan) == [("baker", ())]
    assert "no usable plan" in plan.reason


# When a step has failed.


def failed_plan() -> Plan:
    return Plan(
        goal="Bread",
        steps=(
            Step(id="1-miller", agent="miller", instruction="Grind."),
            Step(id="2-baker", agent="baker", instruction="Bake.", needs=("1-miller",)),
            Step(id="3-driver", agent="driver", instruction="Bring.", needs=("2-baker",)),
        ),
    )


async def test_other_steps_take_the_place_of_a_failed_one() -> None:
    model = ScriptedClient(draft(step("miller", "grind finer"), step("baker", "bake again", [1])))
    plan = failed_plan()
    mended = await LLMPlanner(model).repair(request("Bread"), plan, plan.steps[1], "too coarse")
    first, finer, again, last = mended.steps
    assert first == plan.steps[0]
    assert (finer.agent, finer.needs) == ("miller", ("1-miller",))
    assert (again.agent, again.needs) == ("baker", (finer.id,))
    assert (last.id, last.needs) == ("3-driver", (again.id,))
    assert len({s.id for s in mended.steps}) == 4
    assert "too coarse" in model.asked[0][-1].content
    assert "too coarse" in mended.reason


async def test_a_small_model_only_says_who_else_fits() -> None:
    model = ScriptedWeigher(lambda member, _job: 0.9 if "Delivers" in member else 0.2)
    plan = failed_plan()
    mended = await LLMPlanner(model).repair(request("Bread"), plan, plan.steps[1], "no oven")
    assert [s.agent for s in mended.steps] == ["miller", "driver", "driver"]
    assert mended.steps[1].instruction == "Bake."
    assert mended.steps[2].needs == (mended.steps[1].id,)


async def test_who_else_fits_is_asked_of_what_the_step_does() -> None:
    goal = "Grind and bake for the hotel"
    model = ScriptedWeigher(SURE, {"jobs": ["grind grain", "bake bread"]})
    planner = LLMPlanner(model)
    plan = await planner.plan(request(goal))
    assert [step.title for step in plan.steps] == ["grind grain", "bake bread"]
    assert {step.instruction for step in plan.steps} == {goal}
    model.weighed.clear()
    model.sure = lambda member, _job: 0.9 if "Delivers" in member else 0.2
    await planner.repair(request(goal), plan, plan.steps[1], "no oven")
    assert {member for member, _ in model.weighed} == {
        agent.description for agent in BAKERY if agent.id != "baker"
    }
    assert all("bake bread" in job for _, job in model.weighed)


async def test_where_nobody_else_fits_the_failure_stands() -> None:
    plan = failed_plan()
    planner = LLMPlanner(ScriptedWeigher(lambda _member, _job: 0.2))
    with pytest.raises(PlanningFailed, match="no other agent fits"):
        await planner.repair(request("Bread"), plan, plan.steps[1], "no oven")
    planner = LLMPlanner(ScriptedClient(BadModelOutput("lorem")))
    with pytest.raises(PlanningFailed, match="could not be replaced: lorem"):
        await planner.repair(request("Bread"), plan, plan.steps[1], "no oven")


async def test_what_is_left_is_planned_anew_with_what_has_come_to_be_known() -> None:
    model = ScriptedClient(
        draft(step("miller", "grind rye"), step("baker", "bake rye", [1]), reason="rye it is")
    )
    plan = failed_plan()
    facts = ["miller in step '1-miller': there is only rye"]
    new = await LLMPlanner(model).revise(request("Bread"), plan, ["1-miller"], facts)
    done, ground, baked = new.steps
    assert done == plan.steps[0]
    assert (ground.agent, ground.needs) == ("miller", ("1-miller",))
    assert (baked.agent, baked.needs) == ("baker", (ground.id,))
    assert not {ground.id, baked.id} & {one.id for one in plan.steps}, "what was begun stays so"
    assert new.reason == "rye it is"
    assert new.problems(BAKERY) == []
    said = model.asked[0][-1].content
    assert "The steps that are done: 1-miller." in said
    assert facts[0] in said
    broken = LLMPlanner(ScriptedClient(BadModelOutput("lorem")))
    with pytest.raises(PlanningFailed, match="no plan came by what is known now: lorem"):
        await broken.revise(request("Bread"), plan, [], facts)


async def test_a_small_model_adds_what_is_asked_for_to_what_is_left() -> None:
    model = ScriptedWeigher(SURE, {"jobs": ["bake a cake"]})
    plan = failed_plan()
    new = await LLMPlanner(model).revise(request("Bread"), plan, ["1-miller"], ["A cake too."])
    assert new.steps[:3] == plan.steps
    assert (new.steps[3].agent, new.steps[3].needs) == ("baker", ("3-driver",))
    assert "A cake too." in new.reason
    assert new.problems(BAKERY) == []


async def test_an_unsure_job_does_not_make_the_plan_come_back_to_an_agent() -> None:
    def sure(member: str, job: str) -> float:
        if job.startswith("bake"):
            return 0.9 if "Bakes" in member else 0.1
        return {"G": 0.52, "B": 0.5}.get(member[0], 0.1)

    model = ScriptedWeigher(sure, {"jobs": ["bake bread", "wait for an hour", "bake cake"]})
    plan = await LLMPlanner(model).plan(request("Bread and cake"))
    assert shape(plan) == [("baker", ())]


async def test_a_job_that_two_are_equally_good_for_is_done_by_both_one_after_the_other() -> None:
    def sure(member: str, job: str) -> float:
        if job == "cake on wheels":
            return {"B": 0.71, "D": 0.73}.get(member[0], 0.1)
        return 0.9 if "Bakes" in member else 0.1

    model = ScriptedWeigher(sure, {"jobs": ["bake bread", "cake on wheels"]})
    plan = await LLMPlanner(model).plan(request("Bread and a cake on wheels"))
    assert shape(plan) == [("baker", ()), ("driver", ("1-baker",))]
    assert [step.title for step in plan.steps] == ["bake bread; cake on wheels", "cake on wheels"]
