"""Plans that are changed while they are at work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from goal_house import Fixed, answer_of, house, payloads, plan_of, step_told
from pydantic import ValidationError

from codin.agent.base import Task as AgentTask
from codin.agent.events import AgentEvent, InputRequest, TextFinal
from codin.agent.planning.edits import PlanEdit, edit_of, edited, following
from codin.agent.planning.plan import PlanError
from codin.errors import InvalidInputError
from codin.security import LOCAL_USER
from codin.task import EventLog, TaskRunner
from codin.task.errors import TaskEnded, UnknownTask
from codin.task.log.follow import follow
from codin.task.manager import TaskManager
from codin.task.plan_editing import PlanEditing
from codin.testing.tasks import BOB, call_context, send_request


class Desk:
    """An agent whose steps wait until they are let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.go: dict[str, asyncio.Event] = {}

    async def __call__(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        step = step_told(task)
        self.begun.append(step)
        await self.go.setdefault(step, asyncio.Event()).wait()
        yield TextFinal(message_id="m", text=f"{step} {self.begun.count(step)}")

    def let(self, *steps: str) -> None:
        for step in steps:
            self.go.setdefault(step, asyncio.Event()).set()

    async def until(self, *steps: str) -> None:
        async with asyncio.timeout(20):
            while self.begun != list(steps):
                await asyncio.sleep(0.01)


PLAN = plan_of(
    {"id": "a", "agent": "w"},
    {"id": "b", "agent": "w", "needs": ["a"]},
    {"id": "c", "agent": "w", "needs": ["b"]},
)


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def begin(manager: TaskManager) -> str:
    request = send_request("the goal")
    request.configuration.return_immediately = True
    task: Any = await manager.handler.on_message_send(request, call_context())
    return str(task.id)


async def end(manager: TaskManager, log: EventLog, task_id: str) -> Any:
    from a2a.types import GetTaskRequest

    async with asyncio.timeout(20):
        async for _ in follow(log, LOCAL_USER, task_id, poll=0.05):
            pass
    return await manager.handler.on_get_task(GetTaskRequest(id=task_id), call_context())


async def test_a_step_is_added_while_another_runs_on(
    runner: TaskRunner, log: EventLog, desk: Desk
) -> None:
    manager = house(runner, Fixed(PLAN), {"w": desk})
    task_id = await begin(manager)
    await desk.until("a")
    add = {"id": "d", "agent": "w", "instruction": "do d", "needs": ["c"]}
    editing = PlanEditing(runner)
    agents = manager.agents(LOCAL_USER)
    plan = await editing.edit(LOCAL_USER, task_id, PlanEdit.model_validate({"add": add}), agents)
    assert [step.id for step in plan.steps] == ["a", "b", "c", "d"]
    desk.let("a", "b", "c", "d")
    task = await end(manager, log, task_id)
    assert answer_of(task) == "d 1"
    assert desk.begun == ["a", "b", "c", "d"], "the step that was at work was not begun again"
    told = await payloads(log, task, "plan")
    assert [one.get("edit", {}).get("add", {}).get("id") for one in told] == [None, "d"]


async def test_a_step_is_skipped(runner: TaskRunner, log: EventLog, desk: Desk) -> None:
    manager = house(runner, Fixed(PLAN), {"w": desk})
    task_id = await begin(manager)
    desk.let("a")
    await desk.until("a", "b")
    await PlanEditing(runner).edit(LOCAL_USER, task_id, PlanEdit(skip="b"))
    desk.let("c")
    task = await end(manager, log, task_id)
    assert answer_of(task) == "c 1"
    rows = {row.step_id: row for row in await log.steps(LOCAL_USER, task_id)}
    assert [rows[one].state for one in "abc"] == ["completed", "skipped", "completed"]
    children = (await log.tasks(LOCAL_USER)).tasks
    assert sorted(row.state for row in children if row.parent_id) == [
        "TASK_STATE_CANCELED",
        "TASK_STATE_COMPLETED",
        "TASK_STATE_COMPLETED",
    ]


async def test_a_step_is_done_again_with_what_follows_from_it(
    runner: TaskRunner, log: EventLog, desk: Desk
) -> None:
    manager = house(runner, Fixed(PLAN), {"w": desk})
    task_id = await begin(manager)
    desk.let("a", "b")
    await desk.until("a", "b", "c")
    await PlanEditing(runner).edit(LOCAL_USER, task_id, PlanEdit(retry="b"))
    desk.let("c")
    task = await end(manager, log, task_id)
    assert desk.begun == ["a", "b", "c", "b", "c"]
    assert answer_of(task) == "c 2"


async def test_a_step_is_removed_that_no_other_needs(
    runner: TaskRunner, log: EventLog, desk: Desk
) -> None:
    manager = house(runner, Fixed(PLAN), {"w": desk})
    task_id = await begin(manager)
    await desk.until("a")
    editing = PlanEditing(runner)
    with pytest.raises(PlanError, match="step 'b' is needed by c: skip it, or remove those"):
        await editing.edit(LOCAL_USER, task_id, PlanEdit(remove="b"))
    await editing.edit(LOCAL_USER, task_id, PlanEdit(remove="c"))
    desk.let("a", "b")
    assert answer_of(await end(manager, log, task_id)) == "b 1"


async def test_what_cannot_be_changed_is_said_and_the_goal_goes_on(
    runner: TaskRunner, log: EventLog, desk: Desk
) -> None:
    manager = house(runner, Fixed(PLAN), {"w": desk})
    task_id = await begin(manager)
    await desk.until("a")
    editing, agents = PlanEditing(runner), manager.agents(LOCAL_USER)
    with pytest.raises(UnknownTask):
        await editing.edit(BOB, task_id, PlanEdit(retry="a"))
    with pytest.raises(PlanError, match="there is no step 'x'"):
        await editing.edit(LOCAL_USER, task_id, PlanEdit(retry="x"))
    for wrong, said in (
        ({"id": "a", "agent": "w"}, "two steps are named 'a'"),
        ({"id": "d", "agent": "nobody"}, "unknown agent"),
        ({"id": "d", "agent": "w", "needs": ["y"]}, "needs 'y', which is no step"),
    ):
        add = PlanEdit.model_validate({"add": {"instruction": "x", **wrong}})
        with pytest.raises(PlanError, match=said):
            await editing.edit(LOCAL_USER, task_id, add, agents)
    desk.let("a", "b", "c")
    assert answer_of(await end(manager, log, task_id)) == "c 1"
    assert desk.begun == ["a", "b", "c"]
    with pytest.raises(TaskEnded):
        await editing.edit(LOCAL_USER, task_id, PlanEdit(retry="a"))


async def test_a_goal_that_waits_for_an_answer_is_answered_first(
    runner: TaskRunner, log: EventLog
) -> None:
    async def asks(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        yield InputRequest(request_id="r", prompt="which?")

    manager = house(runner, Fixed(plan_of({"id": "a", "agent": "w"})), {"w": asks})
    task: Any = await manager.handler.on_message_send(send_request("go"), call_context())
    with pytest.raises(InvalidInputError, match="answer it before"):
        await PlanEditing(runner).edit(LOCAL_USER, task.id, PlanEdit(skip="a"))


@pytest.mark.parametrize(
    "wrong",
    [{}, {"retry": "a", "skip": "b"}, {"drop": "a"}, {"skip": None}, {"skip": "a", "add": None}],
)
def test_an_edit_is_one_change(wrong: dict[str, str | None]) -> None:
    with pytest.raises(ValidationError):
        PlanEdit.model_validate(wrong)


def test_an_edit_may_be_written_down() -> None:
    step = "{id: d, agent: w, instruction: do d}"
    assert edit_of({"add": step}).step == "d"
    for wrong, said in (("{", "is no YAML or JSON"), ("{id: d}", "add.agent: Field required")):
        with pytest.raises(PlanError, match=said):
            edit_of({"add": wrong})


def test_what_follows_from_a_step() -> None:
    assert following(PLAN, "a") == ["b", "c"]
    assert following(PLAN, "c") == []
    assert edited(PLAN, PlanEdit(retry="a")) is PLAN
