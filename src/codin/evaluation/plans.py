"""The planner's exam: goals, a team, and which plans are right; see `marking` for the rule."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from codin.agent.base import AgentInfo
from codin.agent.planning.plan import Plan
from codin.agent.planning.planner import Planner, PlanningFailed, PlanRequest
from codin.errors import InvalidInputError
from codin.evaluation.marking import Step, right
from codin.security import LOCAL_USER, Principal

DEFAULT_SEED = 2
"""Of the baseline that draws an agent."""


class ExamError(InvalidInputError):
    """The exam's file cannot be used; the message says what is wrong and where."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Member(_Part):
    """An agent as the planner gets to know it."""

    id: str = Field(min_length=1)
    description: str = Field(min_length=1)
    name: str = ""


class Accept(_Part):
    """What makes a plan right."""

    agents: list[list[str]] = Field(min_length=1)
    deps: list[tuple[str, str]] = []


class PlanCase(_Part):
    """A goal, and which plans are right for it."""

    id: str
    goal: str = Field(min_length=1)
    accept: Accept
    domain: str = ""
    source: str = ""


class PlanExam(_Part):
    """A team, and the goals that a planner plans for it."""

    team: list[Member] = Field(min_length=1)
    cases: list[PlanCase] = Field(min_length=1)

    @property
    def agents(self) -> tuple[AgentInfo, ...]:
        return tuple(
            AgentInfo(id=m.id, name=m.name or m.id, description=m.description) for m in self.team
        )


@dataclass(frozen=True, slots=True)
class PlanRow:
    """How the planner did on one case. ``steps`` are agents in plan order with what they wait for;
    ``error`` says why there are none."""

    id: str
    goal: str
    right: bool
    agents: tuple[str, ...]
    accepted: tuple[tuple[str, ...], ...]
    seconds: float
    reason: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class PlanReport:
    """The planner's score beside what one agent a goal would reach.

    ``best_single_agent`` counts the cases that some agent alone would do, an upper bound for
    whatever picks one agent; ``random_agent`` draws one evenly.
    """

    score: int
    cases: int
    best_single_agent: int
    random_agent: int
    seconds: float
    rows: tuple[PlanRow, ...]

    def to_json(self) -> dict[str, Any]:
        """The report as one object that JSON can hold."""
        return {
            "eval": "plans",
            "score": self.score,
            "cases": self.cases,
            "seconds": round(self.seconds, 1),
            "baselines": {
                "best single agent": self.best_single_agent,
                "random agent": self.random_agent,
            },
            "rows": [asdict(row) for row in self.rows],
        }


def load_exam(path: Path | str) -> PlanExam:
    """The exam in a YAML file with ``team`` and ``cases``.

    Raises:
        ExamError: it cannot be read, or is no exam.
    """
    import yaml

    try:
        return PlanExam.model_validate(yaml.safe_load(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise ExamError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ExamError(f"{path}: is no YAML: {error}") from None
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg']}" for e in error.errors()[:5]
        )
        raise ExamError(f"{path}: is no plan exam: {wrong}") from None


async def run_plan_exam(
    path: Path | str, planner: Planner, on_case: Callable[[PlanRow], None] | None = None
) -> PlanReport:
    """`evaluate_plans` on the exam in ``path``.

    Raises:
        ExamError: the file is no exam.
        ModelError: the planner's model cannot be reached.
    """
    return await evaluate_plans(planner, load_exam(path), on_case=on_case)


async def evaluate_plans(
    planner: Planner,
    exam: PlanExam,
    *,
    cases: Sequence[PlanCase] | None = None,
    on_case: Callable[[PlanRow], None] | None = None,
    principal: Principal = LOCAL_USER,
    seed: int = DEFAULT_SEED,
) -> PlanReport:
    """Have ``planner`` plan every case (or ``cases`` of them), one after the other.

    ``on_case`` is told each row as it comes. No plan is a wrong plan; what keeps the planner from
    trying at all (no model) is raised.
    """
    todo = exam.cases if cases is None else cases
    started = time.monotonic()
    rows: list[PlanRow] = []
    for case in todo:
        row = await _row(planner, exam, case, principal)
        rows.append(row)
        if on_case is not None:
            on_case(row)
    return PlanReport(
        score=sum(row.right for row in rows),
        cases=len(rows),
        best_single_agent=sum(bool(_single_agents(exam, case)) for case in todo),
        random_agent=_random_score(exam, todo, seed),
        seconds=time.monotonic() - started,
        rows=tuple(rows),
    )


async def _row(planner: Planner, exam: PlanExam, case: PlanCase, principal: Principal) -> PlanRow:
    started = time.monotonic()
    plan = Plan(goal=case.goal, steps=())
    error = ""
    try:
        plan = await planner.plan(
            PlanRequest(goal=case.goal, agents=exam.agents, principal=principal)
        )
    except PlanningFailed as failure:
        error = str(failure)
    return PlanRow(
        id=case.id,
        goal=case.goal,
        right=is_right(exam, case, plan),
        agents=tuple(step.agent for step in plan.steps),
        accepted=tuple(map(tuple, case.accept.agents)),
        seconds=round(time.monotonic() - started, 2),
        reason=plan.reason,
        error=error,
    )


def is_right(exam: PlanExam, case: PlanCase, plan: Plan) -> bool:
    """Whether ``plan`` is right for ``case``."""
    steps = [Step(step.id, step.agent, frozenset(step.needs)) for step in plan.steps]
    return _marked(exam, case, steps)


def _marked(exam: PlanExam, case: PlanCase, steps: Sequence[Step]) -> bool:
    return right(case.model_dump(), steps, frozenset(member.id for member in exam.team))


def _single_agents(exam: PlanExam, case: PlanCase) -> list[str]:
    return [m.id for m in exam.team if _marked(exam, case, [Step("1", m.id)])]


def _random_score(exam: PlanExam, cases: Sequence[PlanCase], seed: int) -> int:
    draw = random.Random(seed)  # noqa: S311 - a baseline, no secret
    names = [member.id for member in exam.team]
    return sum(draw.choice(names) in _single_agents(exam, case) for case in cases)
