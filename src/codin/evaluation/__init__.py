"""Exams: goals with known answers, and how well a part of the platform does on them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("codin.evaluation.plans"), name)
    raise AttributeError(f"module 'codin.evaluation' has no attribute {name!r}")
