"""A plan: steps for agents, as data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from pydantic import Field

from codin.agent.base import AgentError, AgentInfo
from codin.agent.planning.step import InputName, Part, Step

__all__ = ["MAX_STEPS", "Budget", "Plan", "PlanError", "Step", "step_id"]

MAX_STEPS = 200


class PlanError(AgentError):
    """The plan cannot be run. ``problems`` are sentences, one each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("the plan cannot be run: " + "; ".join(problems))
        self.problems = problems


class Budget(Part):
    """What the tasks of a plan may use in all: seconds of work, tokens of models in and out, US
    dollars for them, calls of tools and requests of models."""

    seconds: float | None = Field(default=None, gt=0)
    tokens: int | None = Field(default=None, ge=1)
    money: float | None = Field(default=None, gt=0)
    tool_calls: int | None = Field(default=None, ge=0)
    model_calls: int | None = Field(default=None, ge=0)


class Plan(Part):
    """A DAG of steps. ``reason`` says in a sentence why it is so, for whoever watches.

    ``inputs`` are JSON Schemas of what it is made with, by name; ``values`` are these, and a
    ``default`` in the schema stands for one that is not given. ``replans`` is how often it may
    be made anew; when not given, whoever runs it says.
    """

    goal: str
    steps: tuple[Step, ...]
    reason: str = ""
    inputs: Mapping[InputName, Mapping[str, Any]] = {}
    values: Mapping[str, Any] = {}
    budget: Budget | None = None
    replans: int | None = Field(default=None, ge=0, le=20)

    def problems(self, agents: Sequence[AgentInfo], *, max_steps: int = MAX_STEPS) -> list[str]:
        """What is wrong with it, given the agents there are; empty when nothing is."""
        from codin.agent.planning._validation import problems_of

        return problems_of(self, agents, max_steps)

    def check(self, agents: Sequence[AgentInfo], *, max_steps: int = MAX_STEPS) -> None:
        """Return when the plan can be run.

        Raises:
            PlanError: with every problem found.
        """
        if found := self.problems(agents, max_steps=max_steps):
            raise PlanError(found)

    def value(self, name: str) -> Any:
        """The value of an input, or its default."""
        return self.values[name] if name in self.values else self.inputs[name].get("default")

    @cached_property
    def sinks(self) -> tuple[Step, ...]:
        """The steps that no other step needs: their outputs are the plan's."""
        needed = {need for step in self.steps for need in step.after}
        return tuple(step for step in self.steps if step.id not in needed)

    def with_steps(self, steps: Iterable[Step], reason: str = "") -> Plan:
        """This plan with other steps."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return Plan(**{**given, "steps": tuple(steps), "reason": reason or self.reason})

    @property
    def frame(self) -> dict[str, Any]:
        """What is said of it besides its steps, as JSON data."""
        around = self.model_dump(mode="json", exclude={"steps"}, exclude_unset=True)
        return {**around, "goal": self.goal, "reason": self.reason}

    def shown(self) -> dict[str, Any]:
        """It as JSON data, as it is told to whoever watches."""
        return {**self.frame, "steps": [step.shown() for step in self.steps]}


def step_id(agent: str, number: int) -> str:
    """A readable id for the ``number``-th step."""
    return f"{number}-{re.sub(r'[^A-Za-z0-9_-]', '-', agent)[:48]}"
