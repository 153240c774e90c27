"""A planner that uses a language model, strong or small."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import count

from codin.agent.planning._asking import PlanAsker
from codin.agent.planning._building import Job, build, merge, steps_of
from codin.agent.planning._matching import PlanMatcher
from codin.agent.planning.plan import Plan, Step
from codin.agent.planning.planner import Planner, PlanningFailed, PlanRequest, checked
from codin.agent.planning.ranking import LexicalRanking
from codin.agent.planning.step import Binding
from codin.model.base import CallContext, ModelClient, Weigher
from codin.model.errors import BadModelOutput

MAX_STEPS = 12

_CLEAR = 0.5
"""From which share of the goal's known words on an agent is taken without the model's word."""


class LLMPlanner(Planner):
    """Plans with a model, and holds it to the agents that there are.

    A model that tells how sure it is (`Weigher`: the embedded one) splits the goal, and each job
    goes to the agent for which it is likeliest to say yes. Any other model is asked for the whole
    plan, and once more with what is wrong with it. When nothing usable comes, one agent gets the
    whole goal if the descriptions single one out; the plan's reason says so.
    """

    def __init__(self, model: ModelClient, *, max_steps: int = MAX_STEPS) -> None:
        self._asker = PlanAsker(model, max_steps)
        self._matcher = PlanMatcher(model, model) if isinstance(model, Weigher) else None
        self._max_steps = max_steps

    async def plan(self, request: PlanRequest) -> Plan:
        request = checked(request)
        if len(request.agents) == 1:
            (only,) = request.agents
            return build(request, [Job(request.goal, only.id)], f"{only.id} is the only agent.")
        context = CallContext(request.principal, request.task_id)
        try:
            if self._matcher is not None:
                jobs = await self._matcher.jobs(request, context)
                # Its own words for a part lose what the goal says, and mislead a small agent.
                plan = build(request, jobs, _reason(jobs), told_by_part=False)
                problems = plan.problems(request.agents, max_steps=self._max_steps)
            else:
                plan, problems = await self._asker.plan(request, context)
        except BadModelOutput as error:
            return _single(request, str(error))
        return _single(request, "; ".join(problems)) if problems else plan

    async def repair(self, request: PlanRequest, plan: Plan, failed_step: Step, error: str) -> Plan:
        """A plan in which other steps stand in the failed one's place; all others stay.

        Raises:
            PlanningFailed: nobody else fits.
            ModelError: the model could not be reached.
        """
        request = checked(request)
        context = CallContext(request.principal, request.task_id)
        try:
            if self._matcher is not None:
                new = await _somebody_else(self._matcher, request, failed_step, context)
            else:
                jobs = await self._asker.replacement(request, plan, failed_step.id, error, context)
                new = steps_of(request, merge(jobs))
        except BadModelOutput as nonsense:
            raise PlanningFailed(
                f"step {failed_step.id!r} failed and could not be replaced: {nonsense}"
            ) from nonsense
        mended = _with_replacement(plan, failed_step, new, error)
        most = max(self._max_steps, len(plan.steps))
        if problems := mended.problems(request.agents, max_steps=most):
            raise PlanningFailed(
                f"step {failed_step.id!r} failed, and the plan without it cannot be run: "
                + "; ".join(problems)
            )
        return mended

    async def revise(
        self, request: PlanRequest, plan: Plan, done: Collection[str], facts: Sequence[str]
    ) -> Plan:
        """What is done of ``plan``, and the steps that are to follow now that ``facts`` are known.
        A small model adds what they ask for to the steps that are left.

        Raises:
            PlanningFailed: nothing usable came.
            ModelError: the model could not be reached.
        """
        request = checked(request)
        context = CallContext(request.principal, request.task_id)
        kept = [step for step in plan.steps if self._matcher is not None or step.id in done]
        try:
            if self._matcher is not None:
                asked = replace(request, goal="\n".join(facts))
                jobs, reason = await self._matcher.jobs(asked, context), ""
            else:
                jobs, reason = await self._asker.rest(request, plan, done, facts, context)
        except BadModelOutput as nonsense:
            raise PlanningFailed(f"no plan came by what is known now: {nonsense}") from nonsense
        told = ", ".join(dict.fromkeys(job.agent for job in jobs))
        reason = reason or f"New: {' '.join(facts)[:300]}; {told} sees to it."
        return _followed(plan, kept, steps_of(request, merge(jobs)), reason)


async def _somebody_else(
    matcher: PlanMatcher, request: PlanRequest, failed: Step, context: CallContext
) -> tuple[Step, ...]:
    others = [agent for agent in request.agents if agent.id != failed.agent]
    found = await matcher.best(failed.title or request.goal, others, context) if others else None
    if found is None or found.fit <= 0:
        raise PlanningFailed(
            f"step {failed.id!r} of {failed.agent!r} failed, and no other agent fits its work"
        )
    return (failed.model_copy(update={"agent": found.agent, "needs": ()}),)


def _reason(jobs: list[Job]) -> str:
    return "; ".join(f"{job.text} ({job.agent})" for job in jobs)


def _single(request: PlanRequest, wrong: str) -> Plan:
    """The whole goal for the agent whose description shares most of its words."""
    scores = LexicalRanking(request.agents).scores(request.goal)
    best, *others = sorted(scores, key=lambda agent: -scores[agent])
    if scores[best] < _CLEAR or scores[best] == scores[others[0]]:
        raise PlanningFailed(
            f"the model gave no usable plan ({wrong}), and no agent's description stands out for"
            " this goal: say more exactly what is to be done, or use a stronger model"
        )
    reason = (
        f"The model gave no usable plan ({wrong}); {best}'s description is nearest to the goal."
    )
    return build(request, [Job(request.goal, best)], reason)


def _with_replacement(plan: Plan, failed: Step, fresh: Sequence[Step], error: str) -> Plan:
    names = {step.id: _fresh_id(plan, failed, number) for number, step in enumerate(fresh, 1)}
    new = [_in_place_of(failed, step, names) for step in fresh]
    inner = {need for step in new for need in step.needs}
    ends = tuple(step.id for step in new if step.id not in inner)
    # What others rely on has to hold of the replacement too.
    new[-1] = new[-1].model_copy(update={"check": new[-1].check or failed.check})
    steps: list[Step] = []
    for step in plan.steps:
        steps += new if step.id == failed.id else [_after(step, failed.id, ends)]
    agents = ", ".join(dict.fromkeys(step.agent for step in new))
    reason = f"{failed.id} failed ({error[:300]}); {agents} takes its place."
    return plan.with_steps(steps, reason)


def _followed(plan: Plan, kept: Sequence[Step], fresh: Sequence[Step], reason: str) -> Plan:
    """``plan`` with ``fresh`` steps after those ``kept`` of it, which they are told of."""
    needed = {need for step in kept for need in step.after}
    ends = tuple(step.id for step in kept if step.id not in needed)
    names: dict[str, str] = {}
    for step in fresh:
        names[step.id] = _free_name(step.id, {one.id for one in plan.steps} | set(names.values()))
    new = [
        step.model_copy(
            update={
                "id": names[step.id],
                "needs": tuple(names.get(need, need) for need in step.needs) or ends,
            }
        )
        for step in fresh
    ]
    return plan.with_steps([*kept, *new], reason)


def _free_name(name: str, taken: Collection[str]) -> str:
    numbers = (f"{name[:56]}-n{number}" for number in count(1))
    return name if name not in taken else next(one for one in numbers if one not in taken)


def _in_place_of(failed: Step, step: Step, names: Mapping[str, str]) -> Step:
    """``step`` with its new name; the first of a replacement need what the failed step needed."""
    needs = tuple(names.get(need, need) for need in step.needs)
    first = failed.needs if step.bindings else failed.after
    return step.model_copy(update={"id": names[step.id], "needs": needs or first})


def _after(step: Step, failed: str, ends: Sequence[str]) -> Step:
    """``step``, waiting for ``ends`` where it waited for what failed."""
    if failed not in step.after:
        return step
    needs = [end for need in step.needs for end in (ends if need == failed else (need,))]
    inputs = {name: _bound(binding, failed, ends[-1]) for name, binding in step.inputs.items()}
    over = step.map and step.map.model_copy(
        update={"over": _bound(step.map.over, failed, ends[-1])}
    )
    changes: dict[str, object] = {"needs": tuple(needs)}
    changes |= {"inputs": inputs} if inputs else {}
    changes |= {"map": over} if over else {}
    return step.model_copy(update=changes)


def _bound(binding: Binding, failed: str, end: str) -> Binding:
    return binding.model_copy(update={"step": end}) if binding.step == failed else binding


def _fresh_id(plan: Plan, failed: Step, number: int) -> str:
    taken = {step.id for step in plan.steps}
    name = f"{failed.id[:56]}-r{number}"
    while name in taken:
        number += 1
        name = f"{failed.id[:56]}-r{number}"
    return name
