"""The planner's exam is well-formed, balanced, and marked by the rule that it states."""

from collections import Counter
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

TEAM = frozenset({"scout", "analyst", "writer"})


@pytest.fixture(scope="module")
def exam(examples: Path) -> dict[str, Any]:
    text = (examples / "eval" / "plans.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


@pytest.fixture(scope="module")
def cases(exam: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {case["id"]: case for case in exam["cases"]}


def chained(scoring: ModuleType, *agents: str) -> list[Any]:
    """A plan whose every step waits for the one before."""
    return [
        scoring.Step(str(i), agent, frozenset({str(i - 1)} if i else ()))
        for i, agent in enumerate(agents)
    ]


def test_team_is_self_contained(exam: dict[str, Any]) -> None:
    assert {agent["id"] for agent in exam["team"]} == TEAM
    assert all(len(agent["description"]) > 80 for agent in exam["team"])


def test_cases_are_well_formed(exam: dict[str, Any]) -> None:
    for case in exam["cases"]:
        assert case.keys() == {"id", "domain", "source", "goal", "accept"}, case["id"]
        assert case["accept"].keys() == {"agents", "deps"}, case["id"]
        lists = case["accept"]["agents"]
        assert lists, case["id"]
        for agents in lists:
            assert set(agents) <= TEAM, case["id"]
            assert len(set(agents)) == len(agents) > 0, case["id"]
        for pair in case["accept"]["deps"]:
            assert len(pair) == 2, case["id"]
            assert set(pair) <= set(chain(*lists)), case["id"]
        assert 10 < len(case["goal"]) < 400


def test_there_are_forty_of_which_half_come_from_the_descriptions(exam: dict[str, Any]) -> None:
    cases = exam["cases"]
    assert len({case["id"] for case in cases}) == len({case["goal"] for case in cases}) == 40
    assert Counter(case["source"] for case in cases) == {"descriptions": 20, "users": 20}
    assert len({case["domain"] for case in cases}) >= 10


def test_no_goal_names_an_agent(exam: dict[str, Any]) -> None:
    assert [c["id"] for c in exam["cases"] if any(name in c["goal"].lower() for name in TEAM)] == []


def test_twenty_seven_need_two_agents_or_more(exam: dict[str, Any]) -> None:
    cases = exam["cases"]
    assert sum(all(len(agents) > 1 for agents in c["accept"]["agents"]) for c in cases) == 27


def test_single_agents_score_below_sixteen(exam: dict[str, Any], scoring: ModuleType) -> None:
    alone = {
        agent: {c["id"] for c in exam["cases"] if scoring.right(c, chained(scoring, agent), TEAM)}
        for agent in TEAM
    }
    assert {agent: len(right) for agent, right in alone.items()} == {
        "scout": 4,
        "analyst": 5,
        "writer": 4,
    }
    assert len(set.union(*alone.values())) == 13


def test_no_one_habit_passes(exam: dict[str, Any], scoring: ModuleType) -> None:
    """Every sequence is wanted somewhere, and none of them answers half of the exam."""
    first = Counter(tuple(case["accept"]["agents"][0]) for case in exam["cases"])
    assert len(first) == 7
    assert min(first.values()) >= 4
    for habit in first:
        plan = chained(scoring, *habit)
        assert sum(scoring.right(case, plan, TEAM) for case in exam["cases"]) < 20, habit


def test_every_accepted_list_is_right_as_a_chain(exam: dict[str, Any], scoring: ModuleType) -> None:
    for case in exam["cases"]:
        for agents in case["accept"]["agents"]:
            assert scoring.right(case, chained(scoring, *agents), TEAM), (case["id"], agents)


def test_steps_may_repeat_an_agent_and_run_in_parallel(
    cases: dict[str, dict[str, Any]], scoring: ModuleType
) -> None:
    step = scoring.Step
    twice = [
        step("chart", "analyst"),
        step("report", "writer", frozenset({"chart", "sum"})),
        step("sum", "analyst"),
    ]
    assert scoring.right(cases["d15"], twice, TEAM)
    both = [
        step("look", "scout"),
        step("sum", "analyst"),
        step("write", "writer", frozenset({"look", "sum"})),
    ]
    assert scoring.right(cases["d18"], both, TEAM)
    assert scoring.right(cases["d09"], both[:2], TEAM)


def test_missing_dependencies_are_wrong(
    cases: dict[str, dict[str, Any]], scoring: ModuleType
) -> None:
    loose = [scoring.Step("1", "analyst"), scoring.Step("2", "writer")]
    assert not scoring.right(cases["u01"], loose, TEAM)
    half = [
        scoring.Step("1", "scout"),
        scoring.Step("2", "analyst"),
        scoring.Step("3", "writer", frozenset({"2"})),
    ]
    assert not scoring.right(cases["d17"], half, TEAM), "the analyst does not know the file"
    # Through another step is as good as direct.
    assert scoring.right(cases["d20"], chained(scoring, "scout", "analyst", "writer"), TEAM)


@pytest.mark.parametrize(
    "agents",
    [
        (),
        ("writer", "analyst"),
        ("writer",),
        ("analyst",),
        ("analyst", "writer", "analyst"),
        ("scout", "writer"),
        ("analyst", "stranger"),
        ("analyst", "writer", "scout"),
    ],
)
def test_wrong_agents_are_wrong(
    cases: dict[str, dict[str, Any]], scoring: ModuleType, agents: tuple[str, ...]
) -> None:
    assert not scoring.right(cases["u01"], chained(scoring, *agents), TEAM)


def test_what_is_no_plan_is_wrong(cases: dict[str, dict[str, Any]], scoring: ModuleType) -> None:
    step = scoring.Step
    case = cases["u01"]
    circle = [step("1", "analyst", frozenset({"2"})), step("2", "writer", frozenset({"1"}))]
    unknown = [step("1", "analyst"), step("2", "writer", frozenset({"1", "9"}))]
    same_id = [step("1", "analyst"), step("1", "writer", frozenset({"1"}))]
    for plan in (circle, unknown, same_id):
        assert not scoring.right(case, plan, TEAM)
