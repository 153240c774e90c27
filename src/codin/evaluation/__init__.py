"""Exams: goals with known answers, and how well a part of the platform does on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codin.lazy import lazy_names

if TYPE_CHECKING:
    from codin.evaluation.plans import (
        ExamError,
        PlanExam,
        PlanReport,
        PlanRow,
        evaluate_plans,
        load_exam,
        run_plan_exam,
    )

__all__ = [
    "ExamError",
    "PlanExam",
    "PlanReport",
    "PlanRow",
    "evaluate_plans",
    "load_exam",
    "run_plan_exam",
]

_HOMES = {"plans": __all__}
__getattr__ = lazy_names(__name__, _HOMES)
