"""Planning by asking a model for the whole plan."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, create_model

from codin.agent.planning import _prompts as prompts
from codin.agent.planning._building import Job, build
from codin.agent.planning.plan import Plan
from codin.agent.planning.planner import PlanRequest
from codin.model.base import CallContext, ChatMessage, ModelClient

_ANSWER_TOKENS = 1_500


class DraftStep(BaseModel):
    """A step in the model's words. ``needs`` counts steps from 1."""

    instruction: Annotated[str, Field(max_length=2_000)]
    agent: str
    needs: list[int] = []


class Draft(BaseModel):
    """A plan in the model's words."""

    steps: list[DraftStep]
    reason: Annotated[str, Field(max_length=400)] = ""


def draft_type(agents: Sequence[str], max_steps: int) -> type[Draft]:
    """A draft whose schema knows no other agents."""
    known: Any = Literal[tuple(agents)]
    step: Any = create_model("Step", __base__=DraftStep, agent=(known, ...))
    steps: Any = Annotated[list[step], Field(min_length=1, max_length=max_steps)]
    draft: type[Draft] = create_model("Plan", __base__=Draft, steps=(steps, ...))
    return draft


class PlanAsker:
    """Asks for a plan, and once more with what is wrong with it."""

    def __init__(self, model: ModelClient, max_steps: int) -> None:
        self._model = model
        self._max_steps = max_steps

    async def plan(self, request: PlanRequest, context: CallContext) -> tuple[Plan, list[str]]:
        """The model's plan, and what is wrong with it after the repair round.

        Raises:
            ModelError: no draft came.
        """
        messages = prompts.ask(request.agents, request.goal, request.files)
        draft, plan, problems = await self._once(request, messages, context)
        if problems:
            messages = [*messages, *prompts.mend(draft.model_dump_json(), problems)]
            draft, plan, problems = await self._once(request, messages, context)
        return plan, problems

    async def replacement(
        self, request: PlanRequest, plan: Plan, failed: str, error: str, context: CallContext
    ) -> list[Job]:
        """Jobs that are to stand in a failed step's place.

        Raises:
            ModelError: none came.
        """
        steps: list[dict[str, Any]] = [step.shown() for step in plan.steps]
        messages = prompts.ask(request.agents, request.goal, request.files)
        messages += prompts.replace(json.dumps({"steps": steps}), failed, error)
        return jobs_of(await self._draft(request, messages, context))

    async def rest(
        self,
        request: PlanRequest,
        plan: Plan,
        done: Collection[str],
        facts: Sequence[str],
        context: CallContext,
    ) -> tuple[list[Job], str]:
        """The jobs that are to follow what is ``done`` of a plan now that ``facts`` are known, and
        why these.

        Raises:
            ModelError: none came.
        """
        steps: list[dict[str, Any]] = [step.shown() for step in plan.steps]
        messages = prompts.ask(request.agents, request.goal, request.files)
        messages += prompts.revise(json.dumps({"steps": steps}), list(done), facts)
        draft = await self._draft(request, messages, context)
        return jobs_of(draft), draft.reason

    async def _once(
        self, request: PlanRequest, messages: Sequence[ChatMessage], context: CallContext
    ) -> tuple[Draft, Plan, list[str]]:
        draft = await self._draft(request, messages, context)
        plan = build(request, jobs_of(draft), draft.reason)
        return draft, plan, plan.problems(request.agents, max_steps=self._max_steps)

    async def _draft(
        self, request: PlanRequest, messages: Sequence[ChatMessage], context: CallContext
    ) -> Draft:
        wanted = draft_type([agent.id for agent in request.agents], self._max_steps)
        return await self._model.generate(
            messages, context=context, output=wanted, max_tokens=_ANSWER_TOKENS, temperature=0
        )


def jobs_of(draft: Draft) -> list[Job]:
    """The draft's steps; one without words takes the goal's."""
    return [
        Job(step.instruction.strip(), step.agent, tuple(need - 1 for need in step.needs))
        for step in draft.steps
    ]
