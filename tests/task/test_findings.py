from __future__ import annotations

import pytest

from codin.agent.planning.plan import Plan, Step
from codin.task.findings import StepOutput, answer, cut, lacks_numbers


@pytest.mark.parametrize(
    ("text", "source", "lacks"),
    [
        ("North leads by 21,702.08.", "lead 21702.08", False),
        ("North leads by 21,702.", "lead 21702.08", False),
        ("North leads by $21,702.1", "lead 21702.08", False),
        ("North leads.", "lead 21702.08", True),
        ("North leads by 21,703.", "lead 21702.08", True),
        ("the average is 14.80", "average fare 14.8025", False),
        ("it has 12 rows", "it has 123 rows", True),
        ("none", "it takes 3 steps", False),
        ("\u221212.5 degrees", "-12.5", False),
        ("12.5 degrees", "-12.5", True),
        ("", "", False),
        ("", "v1.2.3 of a-b2", False),
    ],
)
def test_numbers_that_are_left_out(text: str, source: str, lacks: bool) -> None:
    assert lacks_numbers(text, source) is lacks


def step(name: str, *needs: str) -> Step:
    return Step(id=name, agent=name, instruction="do", needs=needs)


def test_an_answer_keeps_the_numbers_it_was_given() -> None:
    plan = Plan(goal="g", steps=(step("look"), step("compute", "look"), step("write", "compute")))
    outputs = {
        "look": StepOutput("99999 rows"),
        "compute": StepOutput("total 1234.5"),
        "write": StepOutput("See report.md."),
    }
    assert answer(plan, outputs) == "See report.md.\n\nFindings:\n\ntotal 1234.5"
    outputs["write"] = StepOutput("The total is 1,234.5.")
    assert answer(plan, outputs) == "The total is 1,234.5."
    outputs["write"] = StepOutput("")
    assert answer(plan, outputs) == "Findings:\n\ntotal 1234.5"


def test_what_led_an_agent_to_its_own_result_is_no_finding() -> None:
    plan = Plan(goal="g", steps=(step("look"), step("compute", "look")))
    outputs = {"look": StepOutput("99999 rows"), "compute": StepOutput("total 1234.5")}
    assert answer(plan, outputs, readers=["look", "compute"]) == "total 1234.5"


def test_all_last_steps_answer() -> None:
    plan = Plan(goal="g", steps=(step("a"), step("b")))
    assert answer(plan, {"a": StepOutput("one"), "b": StepOutput("two")}) == "one\n\ntwo"


def test_cutting() -> None:
    assert cut("abc", 3) == "abc"
    assert cut("x" * 50, 20) == "x" * 14 + " [...]"
    assert len(cut("x" * 50, 20)) == 20
