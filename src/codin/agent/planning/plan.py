"""A plan: steps for agents, as data."""

from __future__ import annotations

import re
from collections.abc import Collection
from graphlib import CycleError, TopologicalSorter
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from codin.agent.base import AgentError

MAX_STEPS = 200

StepId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class PlanError(AgentError):
    """The plan cannot be run. ``problems`` are sentences, one each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("the plan cannot be run: " + "; ".join(problems))
        self.problems = problems


class Step(BaseModel):
    """One task for one agent. The outputs of the steps in ``needs`` are handed to it.

    ``title`` says in a few words what the step does, for whoever watches or replaces it; the
    agent is told the ``instruction``.
    """

    model_config = ConfigDict(frozen=True)

    id: StepId
    agent: str
    instruction: str = Field(min_length=1, max_length=20_000)
    needs: tuple[str, ...] = ()
    title: str = Field(default="", max_length=200)


class Plan(BaseModel):
    """A DAG of steps. ``reason`` says in a sentence why it is so, for whoever watches."""

    model_config = ConfigDict(frozen=True)

    goal: str
    steps: tuple[Step, ...]
    reason: str = ""

    def problems(self, agents: Collection[str], *, max_steps: int = MAX_STEPS) -> list[str]:
        """What is wrong with it, given the ids of the agents there are; empty when nothing is."""
        found: list[str] = []
        ids = [step.id for step in self.steps]
        if not ids:
            found.append("it has no steps")
        if len(ids) > max_steps:
            found.append(f"it has {len(ids)} steps, more than the {max_steps} allowed")
        found += [
            f"two steps are named {name!r}" for name in sorted({i for i in ids if ids.count(i) > 1})
        ]
        for step in self.steps:
            if step.agent not in agents:
                known = ", ".join(sorted(agents)) or "none"
                found.append(
                    f"step {step.id!r} names an unknown agent {step.agent!r} (known: {known})"
                )
            found += [
                f"step {step.id!r} needs {need!r}, which is no step"
                for need in step.needs
                if need not in ids
            ]
        try:
            TopologicalSorter({step.id: step.needs for step in self.steps}).prepare()
        except CycleError as error:
            found.append("its steps wait for each other: " + " -> ".join(error.args[1]))
        return found

    def check(self, agents: Collection[str], *, max_steps: int = MAX_STEPS) -> None:
        """Return when the plan can be run.

        Raises:
            PlanError: with every problem found.
        """
        if found := self.problems(agents, max_steps=max_steps):
            raise PlanError(found)

    @property
    def sinks(self) -> tuple[Step, ...]:
        """The steps that no other step needs: their outputs are the plan's."""
        needed = {need for step in self.steps for need in step.needs}
        return tuple(step for step in self.steps if step.id not in needed)


def step_id(agent: str, number: int) -> str:
    """A readable id for the ``number``-th step."""
    return f"{number}-{re.sub(r'[^A-Za-z0-9_-]', '-', agent)[:48]}"
