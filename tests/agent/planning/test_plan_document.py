"""Plans in files of YAML."""

from __future__ import annotations

from pathlib import Path

import pytest

from codin.agent.planning.document import PlanFileError, named_values, read_plan
from codin.errors import InvalidInputError

PLAN = """
goal: Count
steps:
  - {id: one, agent: a, instruction: do it, retry: {attempts: 3}}
"""


def test_a_file_is_a_plan(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(PLAN)
    plan = read_plan(file)
    assert plan.goal == "Count"
    assert plan.steps[0].retry is not None
    assert plan.steps[0].retry.attempts == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"goal: [", "is no YAML"),
        (b"\xff\xfe\xff", "is no YAML"),
        (b"", "it is no object with goal and steps"),
        (b"goal: g\nsteps: []\nbudgets: {}", "budgets: there is no such key"),
        (b"goal: g\nsteps: [{id: a, agent: a}]", "steps.0.instruction: Field required"),
        (b"[" * 100_000, "is no YAML"),
        (b"goal: !!python/object/apply:os.system [ls]", "is no YAML"),
        (b"goal: " + b"x" * (9 * 1024 * 1024), "is longer than the 8,388,608 bytes allowed"),
    ],
)
def test_a_file_that_is_none_says_why(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "plan.yaml"
    file.write_bytes(content)
    with pytest.raises(PlanFileError) as raised:
        read_plan(file)
    assert str(raised.value).startswith(f"{file}: ")
    assert said in str(raised.value)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(PlanFileError, match="cannot be read: No such file"):
        read_plan(tmp_path / "none.yaml")


def test_values_come_by_name() -> None:
    assert named_values(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    for wrong in ("a", "=1"):
        with pytest.raises(InvalidInputError, match="give NAME=VALUE"):
            named_values([wrong])
