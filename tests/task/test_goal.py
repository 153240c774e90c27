from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from a2a.types import CancelTaskRequest, Task, TaskState

from codin.agent.base import Task as AgentTask
from codin.agent.events import (
    AgentEvent,
    Failed,
    InputRequest,
    Rejected,
    TextDelta,
    TextFinal,
    ToolCall,
)
from codin.agent.planning.plan import Plan, Step
from codin.agent.planning.planner import Planner, PlanningFailed, PlanRequest
from codin.agent.registry import AgentRegistry
from codin.security import (
    DEFAULT_ROLES,
    LOCAL_USER,
    ForbiddenError,
    Principal,
    RoleAuthorizer,
    RunGrants,
)
from codin.task import LogEvent, RunServices, SqliteEventLog, TaskRunner, data_parts
from codin.task.files import GoalFiles
from codin.task.goal import GoalLimits
from codin.task.manager import TaskManager
from codin.testing.tasks import Events, SmallAgent, call_context, send_request
from codin.tool.workspace import Workspaces

COMPLETED = TaskState.TASK_STATE_COMPLETED
FAILED = TaskState.TASK_STATE_FAILED


class FixedPlanner(Planner):
    """Gives the plans it was made with, one after the other."""

    def __init__(self, *plans: Plan | Exception) -> None:
        self.plans = list(plans)
        self.requests: list[PlanRequest] = []

    async def plan(self, request: PlanRequest) -> Plan:
        self.requests.append(request)
        found = self.plans.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


class MendingPlanner(FixedPlanner):
    async def repair(self, request: PlanRequest, plan: Plan, failed_step: Step, error: str) -> Plan:
        self.repaired = (failed_step.id, error)
        return await self.plan(request)


def plan(*steps: tuple[str, str] | tuple[str, str, Sequence[str]], goal: str = "g") -> Plan:
    made = [
        Step(id=step[0], agent=step[1], instruction=f"do {step[0]}", needs=tuple(*step[2:]))
        for step in steps
    ]
    return Plan(goal=goal, steps=tuple(made), reason="because")


def saying(text: str, *, seconds: float = 0.0) -> Events:
    async def events(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        await asyncio.sleep(seconds)
        yield TextFinal(message_id="m", text=text)

    return events


class Told:
    """An agent that keeps what it is told."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tasks: list[AgentTask] = []

    async def __call__(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        self.tasks.append(task)
        yield TextFinal(message_id="m", text=self.text)


Make = Callable[..., TaskManager]


@pytest.fixture
async def make(runner: TaskRunner, tmp_path: Path) -> AsyncIterator[Make]:
    workspaces = Workspaces(tmp_path / "workspaces")

    def manager(planner: Planner, agents: dict[str, Events], **options: Any) -> TaskManager:
        registry = AgentRegistry(
            RoleAuthorizer(DEFAULT_ROLES),
            [SmallAgent(events, id=name, name=name) for name, events in agents.items()],
        )
        limits = GoalLimits(**{"seconds": 20.0, **options})
        return TaskManager(
            runner,
            registry,
            planner,
            RunServices(grants=RunGrants(), seconds=20.0),
            files=GoalFiles(workspaces),
            limits=limits,
        )

    manager.workspaces = workspaces  # type: ignore[attr-defined]
    return manager


async def goal(manager: TaskManager, text: str = "the goal", **fields: Any) -> Task:
    task = await manager.handler.on_message_send(send_request(text, **fields), call_context())
    assert isinstance(task, Task)
    return task


def answer_of(task: Task) -> str:
    (found,) = [a for a in task.artifacts if a.artifact_id == "text-answer"]
    return "".join(part.text for part in found.parts)


async def events_of(log: SqliteEventLog, task_id: str) -> list[LogEvent]:
    return await log.read(LOCAL_USER, task_id, 0, 10_000)


async def payloads(log: SqliteEventLog, task_id: str, kind: str) -> list[dict[str, Any]]:
    return [
        found
        for event in await events_of(log, task_id)
        if event.kind == "status"
        for found in data_parts(event.body)
        if found["type"] == kind
    ]


async def states(log: SqliteEventLog, task_id: str) -> list[tuple[str, str, int]]:
    found = await payloads(log, task_id, "step")
    return [(step["id"], step["state"], step["attempt"]) for step in found]


def error_of(task: Task) -> str:
    return str(task.status.message.parts[0].text)


async def test_one_step_answers_for_the_goal(make: Make, log: SqliteEventLog) -> None:
    manager = make(FixedPlanner(plan(("1", "a"))), {"a": saying("42 of them")})
    task = await goal(manager)
    assert task.status.state == COMPLETED
    assert answer_of(task) == "42 of them"
    (shown,) = await payloads(log, task.id, "plan")
    step = {"id": "1", "agent": "a", "instruction": "do 1", "needs": [], "title": ""}
    assert shown["plan"]["steps"] == [step]
    assert await states(log, task.id) == [("1", "working", 1), ("1", "completed", 1)]
    (row,) = await log.steps(LOCAL_USER, task.id)
    assert (row.state, row.attempt) == ("completed", 1)


async def test_a_steps_events_are_in_the_goals_log(make: Make, log: SqliteEventLog) -> None:
    async def busy(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        for number in range(5):
            yield ToolCall(call_id=str(number), name="t")
            await asyncio.sleep(0.01)
        yield TextFinal(message_id="m", text="done")

    task = await goal(make(FixedPlanner(plan(("1", "a"))), {"a": busy}))
    (row,) = await log.steps(LOCAL_USER, task.id)
    assert row.child_id is not None
    child = await events_of(log, row.child_id)
    events = await events_of(log, task.id)
    taken = [event.body for event in events if event.kind == "child"]
    assert [(b["seq"], b["kind"], b["body"]) for b in taken] == [
        (event.seq, event.kind, event.body) for event in child
    ]
    assert {(b["step"], b["agent"], b["task_id"]) for b in taken} == {("1", "a", row.child_id)}
    assert taken[-1]["body"]["status"]["state"] == "TASK_STATE_COMPLETED"
    told = [n for n, e in enumerate(events) if e.kind == "child"][-1]
    completed = [
        n
        for n, e in enumerate(events)
        if e.kind == "status" and any(p.get("state") == "completed" for p in data_parts(e.body))
    ]
    assert told < completed[0], "a step is completed after all that was said in it"
    child_row = await log.task(LOCAL_USER, row.child_id)
    assert (child_row.parent_id, child_row.goal_id) == (task.id, task.id)


async def test_what_was_found_reaches_the_next_step(make: Make) -> None:
    writer = Told("written")
    manager = make(
        FixedPlanner(plan(("1", "a"), ("2", "b"), ("3", "w", ["1", "2"]))),
        {"a": saying("no number here"), "b": saying("x" * 10_000), "w": writer},
    )
    task = await goal(manager)
    assert answer_of(task) == "written"
    (told,) = writer.tasks
    assert told.text.startswith("Findings so far:\n\n[a] no number here\n\n[b] xxx")
    assert len(told.text) < 4_300
    assert list(told.message.reference_task_ids) == [task.id]


async def test_steps_run_side_by_side_within_bounds(make: Make) -> None:
    spans: list[tuple[float, float]] = []

    async def timed(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        begun = time.monotonic()
        await asyncio.sleep(0.2)
        spans.append((begun, time.monotonic()))
        yield TextFinal(message_id="m", text="ok")

    steps = [(str(n), "a") for n in range(6)]
    task = await goal(make(FixedPlanner(plan(*steps)), {"a": timed}, parallel=3))
    assert task.status.state == COMPLETED
    most = max(sum(1 for begun, ended in spans if begun <= moment < ended) for moment, _ in spans)
    assert most == 3


async def test_a_step_waits_for_what_it_needs(make: Make, log: SqliteEventLog) -> None:
    manager = make(
        FixedPlanner(plan(("3", "a", ["2"]), ("2", "a", ["1"]), ("1", "a"))), {"a": saying("ok")}
    )
    task = await goal(manager)
    done = [step for step, state, _ in await states(log, task.id) if state == "completed"]
    assert done == ["1", "2", "3"]


async def test_a_failed_step_is_tried_once_more_and_told_why(
    make: Make, log: SqliteEventLog
) -> None:
    seen: list[str] = []

    async def flaky(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        seen.append(task.text)
        if len(seen) == 1:
            raise ValueError("no column 'price'")
        yield TextFinal(message_id="m", text="mended")

    task = await goal(make(FixedPlanner(plan(("1", "a"))), {"a": flaky}))
    assert answer_of(task) == "mended"
    assert "no column 'price'" in seen[1]
    assert "no column" not in seen[0]
    assert await states(log, task.id) == [
        ("1", "working", 1),
        ("1", "working", 2),
        ("1", "completed", 2),
    ]


async def test_a_step_that_fails_twice_fails_the_goal(make: Make, log: SqliteEventLog) -> None:
    async def broken(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        yield Failed(error_type="Broken", message="the disk is on fire")

    manager = make(
        FixedPlanner(plan(("1", "a"), ("2", "b", ["1"]), ("slow", "c"))),
        {"a": broken, "b": saying("never"), "c": saying("late", seconds=30)},
    )
    began = time.monotonic()
    task = await goal(manager)
    assert time.monotonic() - began < 10
    assert task.status.state == FAILED
    assert error_of(task) == "step '1' (a) failed: the disk is on fire"
    rows = {row.step_id: row for row in await log.steps(LOCAL_USER, task.id)}
    assert {key: row.state for key, row in rows.items()} == {
        "1": "failed",
        "2": "skipped",
        "slow": "canceled",
    }
    assert rows["1"].error == "the disk is on fire"
    child = await log.task(LOCAL_USER, str(rows["slow"].child_id))
    assert child.state == "TASK_STATE_CANCELED"


async def test_a_plan_is_mended_once(make: Make, log: SqliteEventLog) -> None:
    ran: list[str] = []

    def noting(name: str, fails: bool = False) -> Events:
        async def events(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
            ran.append(name)
            if fails:
                raise ValueError("cannot")
            yield TextFinal(message_id="m", text=f"{name} is done")

        return events

    planner = MendingPlanner(
        plan(("1", "a"), ("2", "b", ["1"])), plan(("1", "a"), ("3", "c", ["1"]))
    )
    manager = make(planner, {"a": noting("a"), "b": noting("b", True), "c": noting("c")})
    task = await goal(manager)
    assert answer_of(task) == "c is done"
    assert planner.repaired == ("2", "cannot")
    assert ran == ["a", "b", "b", "c"], "what was done is not done again"
    assert len(await payloads(log, task.id, "plan")) == 2
    rows = await log.steps(LOCAL_USER, task.id)
    assert {row.step_id: row.state for row in rows} == {
        "1": "completed",
        "2": "failed",
        "3": "completed",
    }


async def test_an_agent_that_refuses_is_not_asked_again(make: Make) -> None:
    asked: list[str] = []

    async def refusing(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        asked.append(task.id)
        yield Rejected(message="not my job")

    task = await goal(make(FixedPlanner(plan(("1", "a"))), {"a": refusing}))
    assert error_of(task) == "step '1' (a) failed: not my job"
    assert len(asked) == 1


async def test_a_principal_without_roles_has_no_goal(make: Make) -> None:
    manager = make(FixedPlanner(plan(("1", "a"))), {"a": saying("ok")})
    with pytest.raises(ForbiddenError, match=r"nobody of tenant local may not task\.create"):
        await manager.handler.on_message_send(
            send_request(), call_context(Principal("local", "nobody"))
        )


async def test_a_goal_of_who_may_use_no_agent_finds_none(make: Make) -> None:
    manager = make(FixedPlanner(plan(("1", "a"))), {"a": saying("ok")})
    narrow = Principal("local", "narrow", frozenset({"user"}), frozenset({"task.create"}))
    task = await manager.handler.on_message_send(send_request(), call_context(narrow))
    assert isinstance(task, Task)
    assert task.status.state == FAILED
    assert "unknown agent 'a' (known: none)" in error_of(task)


async def test_a_plan_that_cannot_be_mended_fails_as_it_did(make: Make) -> None:
    async def broken(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        raise ValueError("cannot")
        yield

    for second in (PlanningFailed("no idea"), plan(("1", "nobody"))):
        planner = MendingPlanner(plan(("1", "a")), second)
        task = await goal(make(planner, {"a": broken}))
        assert task.status.state == FAILED
        assert error_of(task) == "step '1' (a) failed: cannot"


async def test_a_plan_that_names_an_unknown_agent(make: Make, log: SqliteEventLog) -> None:
    wrong = plan(("1", "nobody"), ("2", "a", ["9"]))
    task = await goal(make(FixedPlanner(wrong), {"a": saying("ok")}))
    assert task.status.state == FAILED
    assert "step '1' names an unknown agent 'nobody' (known: a)" in error_of(task)
    assert "step '2' needs '9', which is no step" in error_of(task)
    assert await log.steps(LOCAL_USER, task.id) == []


async def test_a_planner_that_fails(make: Make) -> None:
    task = await goal(make(FixedPlanner(PlanningFailed("the model gave no plan")), {}))
    assert task.status.state == FAILED
    assert error_of(task) == "the model gave no plan"


async def test_the_planner_is_told_what_there_is(make: Make) -> None:
    planner = FixedPlanner(plan(("1", "a")))
    await goal(make(planner, {"a": saying("ok"), "b": saying("ok")}), "count the rows")
    (request,) = planner.requests
    assert request.goal == "count the rows"
    assert [agent.id for agent in request.agents] == ["a", "b"]
    assert request.principal == LOCAL_USER


async def test_canceling_a_goal_cancels_its_steps(
    make: Make, log: SqliteEventLog, runner: TaskRunner
) -> None:
    stopped: list[str] = []

    async def hanging(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        try:
            yield TextDelta(message_id="m", text="begun")
            await asyncio.sleep(60)
        finally:
            stopped.append(task.id)

    manager = make(FixedPlanner(plan(("1", "a"), ("2", "a"), ("3", "a", ["1"]))), {"a": hanging})
    stream = manager.handler.on_message_send_stream(send_request(), call_context())
    first = await anext(stream)
    async for _ in stream:
        if [s for _, s, _ in await states(log, first.id)] == ["working"] * 2:
            break
    task = await manager.handler.on_cancel_task(CancelTaskRequest(id=first.id), call_context())
    assert task is not None
    assert task.status.state == TaskState.TASK_STATE_CANCELED
    rows = await log.steps(LOCAL_USER, first.id)
    assert [row.state for row in rows] == ["canceled", "canceled", "skipped"]
    assert sorted(stopped) == sorted(str(row.child_id) for row in rows[:2])
    for row in rows[:2]:
        child = await log.task(LOCAL_USER, str(row.child_id))
        assert child.state == "TASK_STATE_CANCELED"
    assert (await events_of(log, first.id))[-1].state == "TASK_STATE_CANCELED"
    await asyncio.sleep(0)
    assert not runner._runs
    await stream.aclose()


async def test_closing_stops_everything(
    make: Make, log: SqliteEventLog, runner: TaskRunner
) -> None:
    manager = make(FixedPlanner(plan(("1", "a"))), {"a": saying("late", seconds=60)})
    asked = send_request()
    asked.configuration.return_immediately = True
    task = await manager.handler.on_message_send(asked, call_context())
    while not await states(log, task.id):
        await asyncio.sleep(0.01)
    before = asyncio.all_tasks()
    await manager.aclose()
    rows = (await log.tasks(LOCAL_USER)).tasks
    assert {row.state for row in rows} == {"TASK_STATE_CANCELED"}
    assert len(rows) == 2
    await asyncio.sleep(0.01)
    assert len(asyncio.all_tasks()) < len(before)
    with pytest.raises(Exception, match="is being stopped"):
        await goal(manager)


async def test_a_goal_that_takes_too_long(make: Make, log: SqliteEventLog) -> None:
    manager = make(FixedPlanner(plan(("1", "a"))), {"a": saying("late", seconds=60)}, seconds=0.3)
    task = await goal(manager)
    assert task.status.state == FAILED
    assert "0.3 s" in error_of(task)
    (row,) = await log.steps(LOCAL_USER, task.id)
    assert row.state == "canceled"
    assert (await log.task(LOCAL_USER, str(row.child_id))).ended


async def test_a_steps_question_is_the_goals(make: Make, log: SqliteEventLog) -> None:
    async def asking(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        if not task.text.startswith("answer"):
            yield InputRequest(request_id="q", prompt="which year?")
        yield TextFinal(message_id="m", text=f"it is {task.text}")

    last = Told("written")
    planner = FixedPlanner(plan(("1", "a"), ("2", "b"), ("3", "c", ["1", "2"])))
    manager = make(planner, {"a": asking, "b": saying("b is done"), "c": last})
    asked = await goal(manager)
    assert asked.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
    assert error_of(asked) == "a asks: which year?"
    done = await goal(manager, "answer 2025", task_id=asked.id)
    assert done.status.state == COMPLETED
    assert done.id == asked.id
    (told,) = last.tasks
    assert "it is answer 2025" in told.text
    assert "b is done" in told.text
    assert len(planner.requests) == 1
    events = await events_of(log, asked.id)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))


async def test_files_that_were_made_are_told(make: Make, log: SqliteEventLog) -> None:
    workspaces: Workspaces = make.workspaces  # type: ignore[attr-defined]
    reader = Told("read it")

    async def writing(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        goal_id = task.message.reference_task_ids[0]
        folder = await workspaces.folder(task.principal, goal_id)
        (folder / "report.md").write_text("# Report")
        (folder / "big.csv").write_bytes(b"x" * 300_000)
        yield TextFinal(message_id="m", text="wrote it")

    manager = make(FixedPlanner(plan(("1", "a"), ("2", "r", ["1"]))), {"a": writing, "r": reader})
    task = await goal(manager)
    made = {a.name: a for a in task.artifacts if a.artifact_id.startswith("file-")}
    assert set(made) == {"report.md", "big.csv"}
    assert made["report.md"].parts[0].raw == b"# Report"
    assert made["report.md"].parts[0].media_type == "text/markdown"
    assert dict(made["big.csv"].parts[0].data.struct_value)["size"] == 300_000
    assert "Files: big.csv, report.md" in reader.tasks[0].text
    assert (await events_of(log, task.id))[-1].state == "TASK_STATE_COMPLETED"


async def test_what_does_not_say_what_it_was_begun_with_is_ended(
    make: Make, log: SqliteEventLog, tmp_path: Path
) -> None:
    from codin.testing.log_conformance import artifact, begin, status

    goal_lease = await begin(log, "goal", principal=LOCAL_USER, owner="x", ttl=-1)
    child = await begin(log, "child", principal=LOCAL_USER, parent="goal", owner="x", ttl=-1)
    await begin(log, "alive", principal=LOCAL_USER, owner="y", ttl=60)
    from codin.task.log import StepRow

    rows = [StepRow("1", "a", "do", state="working", child_id="child"), StepRow("2", "a", "do")]
    await log.append(goal_lease, [status("WORKING")], steps=rows)
    await log.append(child, [status("WORKING"), artifact(1)])
    manager = make(FixedPlanner(), {})
    assert sorted(await manager.start()) == ["child", "goal"]
    for task_id in ("goal", "child"):
        events = await events_of(log, task_id)
        assert events[-1].state == "TASK_STATE_FAILED"
        assert "it does not say what it was begun with" in str(events[-1].body)
    kinds = [event.kind for event in await events_of(log, "goal")]
    assert kinds == ["task", "status", "child", "child", "child", "child", "status"]
    assert [row.state for row in await log.steps(LOCAL_USER, "goal")] == ["failed", "skipped"]
    assert (await log.task(LOCAL_USER, "alive")).state == "TASK_STATE_SUBMITTED"
    assert await manager.start() == []


@pytest.mark.parametrize("again", [False, True])
async def test_what_a_step_asks_is_dropped_with_the_step(
    make: Make, log: SqliteEventLog, again: bool
) -> None:
    """A plan that is mended may do without a step that waits for an answer, or ask another."""
    asked = asyncio.Event()

    async def asking(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        asked.set()
        yield InputRequest(request_id="q", prompt="which year?")

    async def failing(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        await asked.wait()
        await asyncio.sleep(0.2)
        raise ValueError("cannot")
        yield

    kept = [("1", "c")] if again else []
    planner = MendingPlanner(plan(("1", "a"), ("2", "b")), plan(*kept, ("3", "c")))
    manager = make(planner, {"a": asking, "b": failing, "c": Told("c is done")})
    task = await goal(manager)
    assert task.status.state == COMPLETED, error_of(task)
    rows = {row.step_id: row for row in await log.steps(LOCAL_USER, task.id)}
    states = {step_id: row.state for step_id, row in rows.items()}
    assert states == {"1": "completed" if again else "skipped", "2": "failed", "3": "completed"}
    dropped = [
        one
        for one in (await log.tasks(LOCAL_USER)).tasks
        if one.parent_id == task.id and one.agent_id == "a"
    ]
    assert [one.state for one in dropped] == ["TASK_STATE_CANCELED"]
