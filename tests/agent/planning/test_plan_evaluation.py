"""Scoring a planner on an exam: marks, baselines, rows, and files that are no exam."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from codin.agent.planning.plan import Plan, Step
from codin.agent.planning.planner import Planner, PlanningFailed, PlanRequest
from codin.evaluation import ExamError, PlanExam, PlanRow, evaluate_plans, load_exam, run_plan_exam
from codin.model import ModelUnavailable

ROOT = Path(__file__).parents[3]
EXAMS = [ROOT / "examples/eval/plans.yaml", *sorted((Path(__file__).parent / "exams").iterdir())]


class Answers(Planner):
    """Plans a chain of the agents that stand for a goal; an exception is raised."""

    def __init__(self, answers: Mapping[str, Sequence[str] | Exception]) -> None:
        self.answers = answers

    async def plan(self, request: PlanRequest) -> Plan:
        found = self.answers[request.goal]
        if isinstance(found, Exception):
            raise found
        steps = tuple(
            Step(id=str(n), agent=agent, instruction="do", needs=(str(n - 1),) if n else ())
            for n, agent in enumerate(found)
        )
        return Plan(goal=request.goal, steps=steps, reason="so")


def key(exam: PlanExam) -> dict[str, Sequence[str] | Exception]:
    return {case.goal: case.accept.agents[0] for case in exam.cases}


@pytest.mark.parametrize("path", EXAMS, ids=lambda path: path.stem)
async def test_the_key_of_an_exam_has_full_marks(path: Path) -> None:
    exam = load_exam(path)
    report = await evaluate_plans(Answers(key(exam)), exam)
    assert report.score == report.cases == len(exam.cases)
    assert report.random_agent <= report.best_single_agent < report.cases / 2
    assert all(row.right and row.agents in row.accepted for row in report.rows)


async def test_wrong_plans_and_no_plans_are_wrong_and_the_rest_goes_on() -> None:
    exam = load_exam(EXAMS[0])
    answers = key(exam)
    first, second, third = (case.goal for case in exam.cases[:3])
    answers |= {first: ["writer"], second: PlanningFailed("lost"), third: ["stranger"]}
    heard: list[PlanRow] = []
    report = await run_plan_exam(EXAMS[0], Answers(answers), on_case=heard.append)
    assert report.score == 37
    assert [row.right for row in report.rows[:4]] == [False, False, False, True]
    assert report.rows[1].error == "lost"
    assert report.rows[0].agents == ("writer",)
    assert tuple(heard) == report.rows
    assert report.best_single_agent == 13


async def test_a_missing_model_ends_the_exam() -> None:
    exam = load_exam(EXAMS[0])
    gone = dict.fromkeys((case.goal for case in exam.cases), ModelUnavailable("gone"))
    with pytest.raises(ModelUnavailable):
        await evaluate_plans(Answers(gone), exam)


async def test_the_random_baseline_depends_on_the_seed_alone() -> None:
    exam = load_exam(EXAMS[0])
    scores = [(await evaluate_plans(Answers(key(exam)), exam, seed=s)).random_agent for s in (3, 3)]
    assert scores[0] == scores[1]
    others = {
        (await evaluate_plans(Answers(key(exam)), exam, seed=seed)).random_agent
        for seed in range(12)
    }
    assert len(others) > 1


async def test_part_of_an_exam_and_the_report_as_json() -> None:
    exam = load_exam(EXAMS[0])
    report = await evaluate_plans(Answers(key(exam)), exam, cases=exam.cases[::2])
    told = json.loads(json.dumps(report.to_json()))
    assert told["score"] == told["cases"] == len(told["rows"]) == 20
    assert told["baselines"]["best single agent"] == report.best_single_agent
    assert told["rows"][0]["id"] == "d01"
    assert told["rows"][0]["accepted"] == [["scout"]]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read"),
        ("team: [", "is no YAML"),
        ("just words", "is no plan exam"),
        ("team: []\ncases: []", "team: List should have at least 1 item"),
        ("team: [{id: a, description: b}]\ncases: [{id: c, goal: d}]", "cases.0.accept"),
    ],
)
async def test_what_is_no_exam_is_refused_with_the_place(
    tmp_path: Path, text: str | None, says: str
) -> None:
    file = tmp_path / "exam.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ExamError, match=says) as caught:
        await run_plan_exam(file, Answers({}))
    assert str(file) in str(caught.value)
