"""What is wrong with a plan is said all at once, before anything is done."""

from __future__ import annotations

from typing import Any

import pytest

from codin.agent.base import AgentInfo
from codin.agent.planning.document import parse_plan, with_values
from codin.agent.planning.plan import Plan, PlanError

TEAM = (
    AgentInfo("a", "A", "does a", tools=("read_file", "github_*", "run@2")),
    AgentInfo("b", "B", "does b"),
)


def plan_of(*steps: dict[str, Any], **around: Any) -> Plan:
    made = [{"agent": "a", "instruction": "do it", **step} for step in steps]
    return parse_plan({"goal": "g", "steps": made, **around})


def problems(*steps: dict[str, Any], max_steps: int = 200, **around: Any) -> list[str]:
    return plan_of(*steps, **around).problems(TEAM, max_steps=max_steps)


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(PlanError) as raised:
        plan_of(
            {"id": "one", "needs": ["nine"], "tools": ["write_file"]},
            {"id": "two", "agent": "nobody", "inputs": {"x": {"step": "gone", "field": "y"}}},
            {"id": "two", "check": {"pattern": "(?<=a)b", "schema": {"type": "thing"}}},
            {"id": "three", "map": {"over": {"input": "list"}}, "inputs": {"item": {"value": 1}}},
            {"id": "four", "check": {"judge": {"agent": "judge", "question": "Good?"}}},
            inputs={"year": {"type": "integer"}, "bad": {"pattern": "("}},
            values={"yaer": 1},
        ).check(TEAM)
    expected = (
        "two steps are named 'two'",
        "there is no input 'yaer' (inputs: year, bad)",
        "input 'year' has no value and no default",
        "the schema of input 'bad' cannot be used",
        "step 'one' may use the tool 'write_file', which 'a' does not have (it has: read_file,",
        "step 'one' needs 'nine', which is no step",
        "step 'two' names an unknown agent 'nobody' (known: a, b)",
        "step 'two': input 'x' is bound to 'gone', which is no step",
        "step 'two': input 'x' has the field 'y', which is no JSON Pointer",
        "step 'two': the schema of its check cannot be used",
        "step 'two': '(?<=a)b' in its check is no regular expression",
        "step 'three': map is bound to the input 'list', which the plan does not have (year, bad)",
        "step 'three' has an input 'item', which in a map is the item",
        "step 'four': its check names an unknown agent 'judge' (known: a, b)",
    )
    found = raised.value.problems
    assert len(found) == len(expected)
    for said in expected:
        assert any(one.startswith(said) for one in found), said


def test_a_binding_is_a_need() -> None:
    plan = plan_of(
        {"id": "one"},
        {"id": "two", "needs": ["one"]},
        {"id": "three", "inputs": {"x": {"step": "one"}}, "map": {"over": {"step": "two"}}},
    )
    plan.check(TEAM)
    assert plan.steps[2].after == ("one", "two")
    assert [step.id for step in plan.sinks] == ["three"]
    assert plan.shown()["steps"][2]["needs"] == ["one", "two"]


@pytest.mark.parametrize(
    "binding", [{"inputs": {"x": {"step": "two"}}}, {"map": {"over": {"step": "two"}}}]
)
def test_a_circle_through_a_binding_is_a_circle(binding: Any) -> None:
    (said,) = problems({"id": "one", **binding}, {"id": "two", "needs": ["one"]})
    assert said.startswith("its steps wait for each other: ")


def test_steps_and_the_items_that_are_known_are_counted() -> None:
    assert problems({"id": "a"}, {"id": "b"}, max_steps=2) == []
    assert problems({"id": "a"}, {"id": "b"}, {"id": "c"}, max_steps=2) == [
        "it has 3 steps, more than the 2 allowed"
    ]
    over = {"id": "a", "map": {"over": {"value": [1, 2, 3]}}}
    assert problems(over, max_steps=4) == []
    assert problems(over, max_steps=3) == ["it has 4 steps, more than the 3 allowed"]
    given = {"id": "a", "map": {"over": {"input": "l"}}}
    inputs = {"inputs": {"l": {"type": "array"}}, "values": {"l": [1, 2]}}
    assert problems(given, max_steps=2, **inputs) == ["it has 3 steps, more than the 2 allowed"]
    assert problems(max_steps=2) == ["it has no steps"]


def test_ten_thousand_steps_are_checked_in_a_moment() -> None:
    import time

    chain = ({"id": f"s{n}", "needs": [f"s{n - 1}"] if n else []} for n in range(10_000))
    plan = plan_of(*chain)
    began = time.process_time()
    assert plan.problems(TEAM, max_steps=10_000) == []
    assert plan.sinks[0].id == "s9999"
    assert time.process_time() - began < 5.0, "0.1 s where nothing is looked through for each step"


def test_tools_are_the_agents_own_by_name_or_pattern() -> None:
    assert problems({"id": "s", "tools": ["read_file", "github_x", "run@2"]}) == []
    assert len(problems({"id": "s", "tools": ["run@3"]})) == 1
    assert len(problems({"id": "s", "agent": "b", "tools": ["read_file"]})) == 1


def test_values_fit_their_schemas() -> None:
    plan = plan_of(
        {"id": "s"},
        inputs={"n": {"type": "integer", "minimum": 1}, "t": {"type": "string"}, "l": {}},
    )
    given = with_values(plan, {"n": "12", "t": "12", "l": "12", "zz": "1"})
    assert given.values == {"n": 12, "t": "12", "l": "12", "zz": "1"}
    assert given.problems(TEAM) == ["there is no input 'zz' (inputs: n, t, l)"]
    wrong = with_values(plan, {"n": "0", "t": "x", "l": 1}).problems(TEAM)
    assert wrong == ["input 'n': 0 is less than the minimum of 1"]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "it is no object with goal and steps"),
        ({"goal": "g"}, "steps: Field required"),
        ({"goal": "g", "steps": [{"id": "a b", "agent": "a", "instruction": "x"}]}, "steps.0.id"),
        (
            {"goal": "g", "steps": [{"id": "a", "agent": "a", "instruction": "x", "tool": []}]},
            "steps.0.tool: there is no such key",
        ),
        (
            {
                "goal": "g",
                "steps": [{"id": "a", "agent": "a", "instruction": "x", "inputs": {"x": {}}}],
            },
            "steps.0.inputs.x: give one of step, input and value",
        ),
        (
            {
                "goal": "g",
                "steps": [
                    {"id": "a", "agent": "a", "instruction": "x", "inputs": {"x": {"step": None}}}
                ],
            },
            "steps.0.inputs.x: give one of step, input and value",
        ),
        ({"goal": "g", "steps": [], "budget": {"tokens": 0}}, "budget.tokens"),
    ],
)
def test_what_has_not_the_form_of_a_plan_says_where(document: Any, said: str) -> None:
    with pytest.raises(PlanError) as raised:
        parse_plan(document)
    assert said in str(raised.value)


def test_what_a_step_says_comes_back_from_its_spec() -> None:
    from codin.task.step_rows import row_of, step_of

    plan = plan_of(
        {
            "id": "s",
            "title": "t",
            "inputs": {"n": {"value": None}, "f": {"value": {"a": [1]}, "field": "/a"}},
            "map": {"over": {"value": [1]}, "parallel": 2},
            "tools": [],
            "check": {"schema": True, "judge": {"agent": "b", "question": "?"}},
            "retry": {"attempts": 3, "errors": ["Busy"]},
            "seconds": 2.5,
        }
    )
    (step,) = plan.steps
    assert step_of(row_of(step)) == step
    assert parse_plan(plan.shown()) == plan
