"""Settings of goals."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import Field, field_validator

from codin.config.section import Section


class GoalSettings(Section):
    """What a goal may use: seconds in all, steps at a time, and steps and items of maps in all.

    ``planner`` says who plans: the ``model``, the ``router`` (one agent, by what agents say they
    do), or an agent (``agent:ID``). With ``plan``, a YAML file, every goal is done by that plan.
    Plans are made anew ``replans`` times, where the planner can: when a step fails, or something
    new is known.
    """

    seconds: float = Field(default=900.0, gt=0)
    parallel: int = Field(default=4, ge=1)
    max_steps: int = Field(default=200, ge=1, le=100_000)
    replans: int = Field(default=2, ge=0, le=20)
    planner: str = "model"
    plan: Path | None = None
    default: str | None = None

    @field_validator("planner")
    @classmethod
    def _somebody(cls, planner: str) -> str:
        if planner not in {"model", "router"} and not re.fullmatch(r"agent:\S+", planner):
            raise ValueError("give model, router, or agent:ID")
        return planner
