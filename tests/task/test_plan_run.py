"""Plans as they run: what steps are given, maps, checks, tries, and plans that are mended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from a2a.types import TaskState
from goal_house import (
    Fixed,
    Mending,
    Worker,
    answer_of,
    error_of,
    failing,
    house,
    payloads,
    plan_of,
    reach,
    rows_of,
)

from codin.agent.base import Task as AgentTask
from codin.agent.events import AgentEvent, InputRequest, Rejected, TextFinal
from codin.agent.planning.step import Binding
from codin.task import EventLog, TaskRunner
from codin.task.findings import StepOutput
from codin.task.step_inputs import MissingOutput, value_of

COMPLETED = TaskState.TASK_STATE_COMPLETED
FAILED = TaskState.TASK_STATE_FAILED

OVER = {"step": "list", "field": "/files"}


def mapping(**more: Any) -> dict[str, Any]:
    return {"id": "count", "agent": "w", "map": {"over": OVER}, **more}


LISTING = {"id": "list", "agent": "w"}
SUMMING = {"id": "sum", "agent": "w", "needs": ["count"], "inputs": {"all": {"step": "count"}}}


async def test_a_step_is_given_what_its_inputs_are_bound_to(runner: TaskRunner) -> None:
    worker = Worker(find={"rows": [{"a/b": 7}], "big": 2**60}, say="in words", use="used")
    steps = plan_of(
        {"id": "find", "agent": "w"},
        {"id": "say", "agent": "w"},
        {
            "id": "use",
            "agent": "w",
            "inputs": {
                "whole": {"step": "find"},
                "field": {"step": "find", "field": "/rows/0/a~1b"},
                "text": {"step": "say"},
                "year": {"input": "year"},
                "town": {"input": "place", "field": "/town"},
                "fixed": {"value": {"is": None}},
                "null": {"value": None},
            },
        },
        inputs={"year": {"type": "integer", "default": 2025}, "place": {"type": "object"}},
        values={"place": {"town": "Ulm"}},
    )
    task = await reach(house(runner, Fixed(steps), {"w": worker}))
    assert answer_of(task) == "used"
    (values,) = worker.values("use")
    assert values == {
        "whole": {"rows": [{"a/b": 7}], "big": 2**60},
        "field": 7,
        "text": "in words",
        "year": 2025,
        "town": "Ulm",
        "fixed": {"is": None},
        "null": None,
    }
    told = worker.told[-1].text
    assert "Inputs:\n" in told
    assert "\nfield: 7\n" in told
    assert told.endswith("Your task: do use")
    assert "Findings so far" not in told, "what it is bound to is told as an input alone"


async def test_text_that_is_json_is_data(runner: TaskRunner) -> None:
    worker = Worker(find='```json\n{"n": 3}\n```')
    use = {"id": "use", "agent": "w", "inputs": {"n": {"step": "find", "field": "/n"}}}
    await reach(house(runner, Fixed(plan_of({"id": "find", "agent": "w"}, use)), {"w": worker}))
    assert worker.values("use") == [{"n": 3}]


@pytest.mark.parametrize(
    ("gave", "said"),
    [
        ({"row": 1}, "the input 'n' of step 'use' needs /rows/0 of step 'find', where there is no"),
        ("just words", "needs /rows/0 of step 'find', which gave no data, only the text"),
        ({"rows": []}, 'where there is no such field in {"rows":[]}'),
    ],
)
async def test_an_output_that_is_missing_names_step_and_field(
    runner: TaskRunner, log: EventLog, gave: Any, said: str
) -> None:
    worker = Worker(find=gave)
    use = {"id": "use", "agent": "w", "inputs": {"n": {"step": "find", "field": "/rows/0"}}}
    plan = plan_of({"id": "find", "agent": "w"}, use)
    task = await reach(house(runner, Fixed(plan), {"w": worker}))
    assert task.status.state == FAILED
    assert said in error_of(task)
    assert worker.steps == ["find"], "there is nothing to try twice"
    assert (await rows_of(log, task))["use"].state == "failed"


@pytest.mark.parametrize("field", ["/rows/-", "/rows/2", "/rows/x", "/name/0", "/n/a", "/rows/01"])
def test_a_field_that_is_not_there_is_missing(field: str) -> None:
    outputs = {"s": StepOutput("", data={"rows": [1, 2], "name": "ab", "n": 1})}
    with pytest.raises(MissingOutput, match=r"it needs .* of step 's', where there is no such"):
        value_of(Binding(step="s", field=field), plan_of(), outputs, "it")


@pytest.mark.parametrize(
    ("field", "value"),
    [("", {"a/b": {"~": [None]}}), ("/a~1b/~0/0", None), ("/a~1b", {"~": [None]})],
)
def test_a_field_is_what_the_pointer_says(field: str, value: Any) -> None:
    outputs = {"s": StepOutput("", data={"a/b": {"~": [None]}})}
    assert value_of(Binding(step="s", field=field), plan_of(), outputs, "it") == value


async def test_a_missing_output_can_be_replanned(runner: TaskRunner) -> None:
    worker = Worker(find="words", again={"n": 1})
    use = {"id": "use", "agent": "w", "inputs": {"n": {"step": "find", "field": "/n"}}}
    other = {"id": "use2", "agent": "w", "inputs": {"n": {"step": "again", "field": "/n"}}}
    find, again = {"id": "find", "agent": "w"}, {"id": "again", "agent": "w", "needs": ["find"]}
    planner = Mending(plan_of(find, use), plan_of(find, again, other))
    task = await reach(house(runner, planner, {"w": worker}))
    assert task.status.state == COMPLETED
    assert planner.failed[0][0] == "use"
    assert worker.steps == ["find", "again", "use2"]


async def test_a_map_is_a_task_for_each_item_and_joins_in_order(
    runner: TaskRunner, log: EventLog
) -> None:
    begun: list[str] = []
    most = 0

    async def counter(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        nonlocal most
        item = worker_values(task)["item"]
        begun.append(item)
        most = max(most, len(begun))
        await asyncio.sleep(0.05 if item == "a" else 0.01)
        begun.remove(item)
        yield TextFinal(message_id="m", text=f"{item} has {ord(item)} rows")

    worker = Worker(list={"files": list("abcde")})
    plan = plan_of(
        LISTING,
        {"id": "count", "agent": "c", "map": {"over": OVER, "parallel": 2}},
        {**SUMMING, "agent": "w"},
    )
    manager = house(runner, Fixed(plan), {"w": worker, "c": counter}, parallel=4)
    task = await reach(manager)
    assert task.status.state == COMPLETED
    assert most == 2
    (values,) = worker.values("sum")
    assert values == {"all": [f"{item} has {ord(item)} rows" for item in "abcde"]}
    assert "1. a has 97 rows\n2. b has 98 rows" in worker.told[-1].text
    rows = await rows_of(log, task)
    assert list(rows) == ["list", "count", "sum", *(f"count.{n}" for n in range(1, 6))]
    assert {row.state for row in rows.values()} == {"completed"}
    assert len({row.child_id for row in rows.values()}) == 8, (
        "a task for each, and none for the map itself"
    )
    (opened,) = await payloads(log, task, "map")
    assert opened == {"type": "map", "id": "count", "items": 5}
    shown = [one for one in await payloads(log, task, "step") if one.get("of") == "count"]
    assert {one["place"] for one in shown} == {1, 2, 3, 4, 5}


def worker_values(task: AgentTask) -> dict[str, Any]:
    from goal_house import inputs_told

    return dict(inputs_told(task)["values"])


async def test_a_map_over_nothing_is_done_at_once(runner: TaskRunner) -> None:
    worker = Worker(list={"files": []})
    task = await reach(house(runner, Fixed(plan_of(LISTING, mapping(), SUMMING)), {"w": worker}))
    assert task.status.state == COMPLETED
    assert worker.values("sum") == [{"all": []}]
    assert worker.steps == ["list", "sum"]


async def test_a_map_of_a_map_has_the_items_of_the_first(runner: TaskRunner) -> None:
    worker = Worker(list={"files": ["x", "y"]}, count=[{"n": 1}, {"n": 2}])
    over = {"over": {"step": "count"}, "parallel": 1}  # one after the other, in their order
    double = {"id": "double", "agent": "w", "map": over}
    plan = plan_of(LISTING, mapping(map={"over": OVER, "parallel": 1}), double)
    await reach(house(runner, Fixed(plan), {"w": worker}))
    assert worker.values("double") == [{"item": {"n": 1}}, {"item": {"n": 2}}]


@pytest.mark.parametrize(
    ("gave", "said"),
    [
        ({"files": "a"}, "the map of step 'count' needs a list of step 'list', and got \"a\""),
        ({"files": [1] * 9}, "is over 9 items, with which the plan has 12 steps, more than the 10"),
        ({}, "the map of step 'count' needs /files of step 'list', where there is no such field"),
    ],
)
async def test_a_map_that_cannot_be_made_fails_its_step(
    runner: TaskRunner, gave: Any, said: str
) -> None:
    plan = plan_of(LISTING, mapping(), SUMMING)
    task = await reach(house(runner, Fixed(plan), {"w": Worker(list=gave)}, max_steps=10))
    assert task.status.state == FAILED
    assert said in error_of(task)


async def test_an_item_that_fails_fails_the_map_and_says_which(
    runner: TaskRunner, log: EventLog
) -> None:
    def count(task: AgentTask) -> Any:
        return failing("it is empty") if worker_values(task)["item"] == "b" else "ok"

    worker = Worker(list={"files": ["a", "b", "c", "d"]}, count=count)
    plan = plan_of(LISTING, mapping(map={"over": OVER, "parallel": 1}), SUMMING)
    task = await reach(house(runner, Fixed(plan), {"w": worker}))
    assert error_of(task) == "step 'count' (w) failed: item 2 of 4: it is empty"
    states = {key: row.state for key, row in (await rows_of(log, task)).items()}
    assert states == {
        "list": "completed",
        "count": "failed",
        "sum": "skipped",
        "count.1": "completed",
        "count.2": "failed",
        "count.3": "skipped",
        "count.4": "skipped",
    }


async def test_a_map_that_failed_is_replaced_and_only_what_failed_is_done_again(
    runner: TaskRunner, log: EventLog
) -> None:
    bad = [True, True]

    def count(task: AgentTask) -> Any:
        broken = worker_values(task)["item"] == "b" and bad and bad.pop()
        return failing("not today") if broken else f"counted {worker_values(task)['item']}"

    worker = Worker(list={"files": ["a", "b", "c"]}, count=count)
    plan = plan_of(LISTING, mapping(map={"over": OVER, "parallel": 1}), SUMMING)
    planner = Mending(plan, plan)
    task = await reach(house(runner, planner, {"w": worker}))
    assert task.status.state == COMPLETED
    assert planner.failed == [("count", "item 2 of 3: not today")]
    assert [v["item"] for v in worker.values("count")] == ["a", "b", "b", "b", "c"]
    _, again = await payloads(log, task, "plan")
    assert again["because"] == {"step": "count", "error": "item 2 of 3: not today"}
    rows = await rows_of(log, task)
    assert {row.state for row in rows.values()} == {"completed"}


async def test_plans_are_mended_so_often_and_no_more(runner: TaskRunner, log: EventLog) -> None:
    steps = [plan_of({"id": f"s{n}", "agent": "w"}) for n in range(5)]
    worker = Worker(**{f"s{n}": Rejected(message=f"no {n}") for n in range(5)})
    planner = Mending(*steps)
    task = await reach(house(runner, planner, {"w": worker}, replans=3))
    assert error_of(task) == "step 's3' (w) failed: no 3"
    assert [step for step, _ in planner.failed] == ["s0", "s1", "s2"]
    plans = await payloads(log, task, "plan")
    assert [one.get("because", {}).get("error") for one in plans] == [None, "no 0", "no 1", "no 2"]


@pytest.mark.parametrize(
    ("check", "bad", "good", "why"),
    [
        (
            {"schema": {"type": "object", "required": ["n"]}},
            {"m": 1},
            {"n": 1},
            'its data is not as it should be: "n" is a required property',
        ),
        ({"schema": {"type": "object"}}, "words", {"n": 1}, "it gave no data"),
        ({"pattern": "[0-9]+ rows"}, "rows", "it has 40 rows", "nothing that matches '[0-9]+ rows"),
        ({"contains": ["Rome", "Ulm"]}, "Rome", "Rome, Ulm", "its answer lacks 'Ulm'"),
    ],
)
async def test_an_output_that_fails_its_check_is_a_failed_attempt(
    runner: TaskRunner, log: EventLog, check: Any, bad: Any, good: Any, why: str
) -> None:
    worker = Worker(find=[bad, good])
    plan = plan_of({"id": "find", "agent": "w", "check": check})
    task = await reach(house(runner, Fixed(plan), {"w": worker}))
    assert task.status.state == COMPLETED
    assert why in worker.told[1].text
    assert (await rows_of(log, task))["find"].attempt == 2
    worker = Worker(find=bad)
    task = await reach(house(runner, Fixed(plan), {"w": worker}))
    assert why in error_of(task)
    assert len(worker.told) == 2


async def test_a_judge_says_yes_or_why_not(runner: TaskRunner, log: EventLog) -> None:
    judge = Worker(**{"": ["No, it has no date.", "Yes."]})
    worker = Worker(write=["a letter", "a letter of May"])
    check = {"judge": {"agent": "j", "question": "Has it a date?"}}
    plan = plan_of({"id": "write", "agent": "w", "check": check})
    task = await reach(house(runner, Fixed(plan), {"w": worker, "j": judge}))
    assert task.status.state == COMPLETED
    assert answer_of(task) == "a letter of May"
    assert "j did not find it good: No, it has no date." in worker.told[1].text
    assert "a letter\n\nHas it a date?" in judge.told[0].text
    row = (await rows_of(log, task))["write.judge"]
    assert (row.agent, row.state, row.attempt) == ("j", "completed", 2)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (InputRequest(request_id="q", prompt="Which?"), "could not: it asked 'Which?'"),
        (failing("asleep"), "j, who was to judge it, could not: asleep"),
        ({"approved": False, "reason": "too short"}, "j did not find it good: too short"),
    ],
)
async def test_a_judge_that_does_not_say_yes(
    runner: TaskRunner, log: EventLog, said: Any, why: str
) -> None:
    check = {"judge": {"agent": "j", "question": "Good?"}}
    plan = plan_of({"id": "write", "agent": "w", "check": check, "retry": {"attempts": 1}})
    agents = {"w": Worker(), "j": Worker(**{"": said})}
    task = await reach(house(runner, Fixed(plan), agents))
    assert task.status.state == FAILED
    assert why in error_of(task)


async def test_tries_are_bounded_wait_and_name_what_may_pass(runner: TaskRunner) -> None:
    retry = {"attempts": 3, "backoff": 0.1, "errors": ["Busy"]}
    plan = plan_of({"id": "s", "agent": "w", "retry": retry})
    worker = Worker(s=failing("busy", "Busy"))
    began = time.monotonic()
    task = await reach(house(runner, Fixed(plan), {"w": worker}))
    assert time.monotonic() - began >= 0.3
    assert len(worker.told) == 3
    assert "step 's' (w) failed: busy" in error_of(task)
    worker = Worker(s=failing("broken", "Broken"))
    await reach(house(runner, Fixed(plan), {"w": worker}))
    assert len(worker.told) == 1


async def test_an_attempt_that_takes_too_long_is_stopped(runner: TaskRunner, log: EventLog) -> None:
    async def slow(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        await asyncio.sleep(30)
        yield TextFinal(message_id="m", text="late")

    plan = plan_of({"id": "s", "agent": "w", "seconds": 0.1})
    began = time.monotonic()
    task = await reach(house(runner, Fixed(plan), {"w": slow}))
    assert time.monotonic() - began < 10
    assert error_of(task) == "step 's' (w) failed: it took longer than the 0.1 s of its step"
    row = (await rows_of(log, task))["s"]
    assert row.child_id is not None
    assert row.attempt == 1


async def test_an_item_that_asks_pauses_the_goal_and_goes_on(
    runner: TaskRunner, log: EventLog
) -> None:
    async def asking(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        if task.text.startswith("answer"):
            yield TextFinal(message_id="m", text=f"told {task.text}")
            return
        item = worker_values(task)["item"]
        if item == "b":
            yield InputRequest(request_id="q", prompt="Which b?")
        yield TextFinal(message_id="m", text=f"{item} is done")

    worker = Worker(list={"files": ["a", "b", "c"]})
    plan = plan_of(LISTING, mapping(agent="c"), SUMMING, budget={"seconds": 60})
    asked = await reach(house(runner, Fixed(plan), {"w": worker, "c": asking}))
    assert asked.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
    assert error_of(asked) == "c asks: Which b?"
    # another manager over the same log: nothing of the plan is in this process any more
    manager = house(runner, Fixed(plan_of(LISTING)), {"w": worker, "c": asking})
    done = await reach(manager, "answer 7", task_id=asked.id)
    assert done.status.state == COMPLETED
    (values,) = worker.values("sum")
    assert values == {"all": ["a is done", "told answer 7", "c is done"]}
    assert len(worker.values("list")) == 1


async def test_what_a_plan_says_holds_after_a_restart(runner: TaskRunner, log: EventLog) -> None:
    def asking(task: AgentTask) -> Any:
        return InputRequest(request_id="q", prompt="Go on?")

    worker = Worker(find={"rows": [1, 2]}, ask=asking, **{"": "yes"})
    plan = plan_of(
        {"id": "find", "agent": "w"},
        {"id": "ask", "agent": "w"},
        {
            "id": "use",
            "agent": "w",
            "needs": ["ask"],
            "inputs": {"n": {"step": "find", "field": "/rows/1"}, "y": {"input": "year"}},
            "check": {"contains": ["42"]},
            "retry": {"attempts": 4},
        },
        inputs={"year": {"type": "integer"}},
        values={"year": 1999},
    )
    asked = await reach(house(runner, Fixed(plan), {"w": worker}))
    assert error_of(asked) == "w asks: Go on?"
    worker.replies["use"] = ["no", "no", "no", "it is 42"]
    done = await reach(house(runner, Fixed(plan_of()), {"w": worker}), "yes", task_id=asked.id)
    assert answer_of(done) == "it is 42"
    assert worker.values("use") == [{"n": 2, "y": 1999}] * 4
    (first,) = await payloads(log, done, "plan")
    assert first["plan"]["values"] == {"year": 1999}
    assert first["plan"]["steps"][2]["needs"] == ["ask", "find"]


async def test_a_plan_that_cannot_be_run_is_not_begun(runner: TaskRunner, log: EventLog) -> None:
    plan = plan_of({"id": "s", "agent": "w", "check": {"pattern": "("}, "needs": ["t"]})
    task = await reach(house(runner, Fixed(plan), {"w": Worker()}))
    assert task.status.state == FAILED
    assert "'(' in its check is no regular expression" in error_of(task)
    assert "step 's' needs 't', which is no step" in error_of(task)
    assert await rows_of(log, task) == {}
