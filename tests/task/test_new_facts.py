"""Plans that are made anew by what comes to be known: from agents, and from who set the goal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from pathlib import Path
from typing import Any

import pytest
from a2a.types import GetTaskRequest, Task, TaskState
from a2a.utils.errors import InvalidParamsError, TaskNotFoundError, UnsupportedOperationError
from calling_house import colleague, open_house
from goal_house import (
    Fixed,
    Mending,
    Worker,
    answer_of,
    begin,
    ended,
    failing,
    house,
    payloads,
    plan_of,
    reach,
    rows_of,
    second_runner,
    step_told,
)

from codin.agent.a2a import data_part
from codin.agent.base import Task as AgentTask
from codin.agent.events import AgentEvent, InputRequest, NewFacts, TextFinal
from codin.agent.planning.plan import Plan
from codin.agent.planning.planner import PlanningFailed, PlanRequest
from codin.security import LOCAL_USER
from codin.task import EventLog, TaskRunner
from codin.task.goal_plans import plan_part
from codin.task.manager import TaskManager
from codin.task.plan_history import plan_history
from codin.testing.tasks import BOB, call_context, send_request
from codin.tool.base import ToolError

COMPLETED = TaskState.TASK_STATE_COMPLETED


class Revising(Fixed):
    """Gives ``revised`` plans, each time the next, when something new is known; an error among them
    is raised."""

    def __init__(self, plan: Plan, *revised: Plan | Exception) -> None:
        super().__init__(plan)
        self.revised = list(revised)
        self.asked: list[tuple[list[str], list[str]]] = []
        self.goals: list[str] = []

    async def plan(self, request: PlanRequest) -> Plan:
        self.goals.append(request.goal)
        return await super().plan(request)

    async def revise(
        self, request: PlanRequest, plan: Plan, done: Collection[str], facts: Sequence[str]
    ) -> Plan:
        self.goals.append(request.goal)
        self.asked.append((sorted(done), list(facts)))
        new = self.revised.pop(0)
        if isinstance(new, Exception):
            raise new
        return new


class Scout:
    """An agent that goes on when its step is let, says ``facts`` of the step and goes on when the
    end of it is let."""

    def __init__(self, **facts: str) -> None:
        self.facts = facts
        self.begun: list[str] = []
        self.told: list[str] = []
        self.go: dict[str, asyncio.Event] = {}

    async def __call__(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        step = step_told(task)
        self.begun.append(step)
        await self._let(step)
        if step in self.facts:
            yield NewFacts(text=self.facts[step])
            self.told.append(step)
            await self._let(f"{step} end")
        yield TextFinal(message_id="m", text=f"{step} is done")

    async def _let(self, name: str) -> None:
        await self.go.setdefault(name, asyncio.Event()).wait()

    def let(self, *names: str) -> None:
        for name in names:
            self.go.setdefault(name, asyncio.Event()).set()

    async def until(self, *steps: str) -> None:
        async with asyncio.timeout(20):
            while sorted(self.begun) != sorted(steps):
                await asyncio.sleep(0.01)

    async def has_told(self, step: str) -> None:
        async with asyncio.timeout(20):
            while step not in self.told:
                await asyncio.sleep(0.01)


def chain(*ids: str, **around: Any) -> Plan:
    """Steps that each need the one before."""
    steps = [
        {"id": name, "agent": "w", "needs": [before] if before else []}
        for before, name in zip([None, *ids], ids, strict=False)
    ]
    return plan_of(*steps, **around)


def agent(told: dict[str, str], begun: list[str] | None = None) -> Any:
    """An agent that tells what ``told`` has for its step."""

    async def events(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        step = step_told(task)
        if begun is not None:
            begun.append(step)
        if step in told:
            yield NewFacts(text=told[step])
        yield TextFinal(message_id="m", text=f"{step} is done")

    return events


async def reasons(log: EventLog, task: Task) -> list[Any]:
    """Why the goal has its plans."""
    return [one.get("because") for one in await payloads(log, task, "plan")]


async def follow_up(manager: TaskManager, task_id: str, text: str, **fields: Any) -> Any:
    request = send_request(text, task_id=task_id, **fields)
    request.configuration.return_immediately = True
    return await manager.handler.on_message_send(request, call_context())


async def test_what_a_step_finds_changes_the_plan(runner: TaskRunner, log: EventLog) -> None:
    begun: list[str] = []
    planner = Revising(chain("look", "count", "write"), chain("look", "ask", "write"))
    told = {"look": "There are no files."}
    task = await reach(house(runner, planner, {"w": agent(told, begun)}))
    assert task.status.state == COMPLETED
    assert begun == ["look", "ask", "write"]
    fact = "w in step 'look': There are no files."
    assert planner.asked == [(["look"], [fact])]
    assert await reasons(log, task) == [None, {"facts": [fact]}]
    (known,) = await payloads(log, task, "facts")
    assert (known["text"], known["step"]) == ("There are no files.", "look")
    assert (await payloads(log, task, "plan"))[1]["heeds"] == [known["id"]]
    rows = await rows_of(log, task)
    assert {name: row.state for name, row in rows.items()} == {
        "look": "completed",
        "count": "skipped",
        "write": "completed",
        "ask": "completed",
    }


async def test_what_runs_comes_to_its_end_and_nothing_new_is_begun(
    runner: TaskRunner, log: EventLog
) -> None:
    plan = plan_of(
        {"id": "a", "agent": "w"},
        {"id": "b", "agent": "w"},
        {"id": "c", "agent": "w", "needs": ["a"]},
        {"id": "d", "agent": "w", "needs": ["b"]},
    )
    scout = Scout(a="It is another one.")
    planner = Revising(plan, plan_of({"id": "e", "agent": "w", "needs": ["b"]}))
    manager = house(runner, planner, {"w": scout})
    task_id = await begin(manager)
    await scout.until("a", "b")
    scout.let("a")
    await scout.has_told("a")
    scout.let("a end")
    async with asyncio.timeout(20):
        while (await rows_of(log, task_id))["a"].state != "completed":
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert sorted(scout.begun) == ["a", "b"], "c could have begun"
    assert not planner.asked
    scout.let("b", "e")
    task = await ended(manager, log, task_id)
    assert scout.begun[2:] == ["e"]
    assert planner.asked == [(["a", "b"], ["w in step 'a': It is another one."])]
    assert "e is done" in answer_of(task)
    shown = (await payloads(log, task, "plan"))[-1]["plan"]["steps"]
    assert [step["id"] for step in shown] == ["a", "b", "e"], "what is done stays in the plan"


async def test_plans_are_made_anew_so_often_and_no_more(runner: TaskRunner, log: EventLog) -> None:
    told = {name: f"{name} is strange" for name in ("a", "b", "c")}
    plan = chain("a", "b", "c")
    planner = Revising(plan, plan, plan)
    task = await reach(house(runner, planner, {"w": agent(told)}, replans=1))
    assert task.status.state == COMPLETED
    assert [done for done, _ in planner.asked] == [["a"]]
    (kept,) = await payloads(log, task, "plan_kept")
    assert kept["error"] == "the plan is not made anew (any more)"
    assert kept["facts"] == ["w in step 'b': b is strange", "w in step 'c': c is strange"]


async def test_failures_and_facts_share_the_bound(runner: TaskRunner, log: EventLog) -> None:
    class Both(Revising, Mending):
        pass

    async def events(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        if step_told(task) == "a":
            yield NewFacts(text="a is strange")
        if step_told(task) == "b":
            yield failing("b cannot be done")
        yield TextFinal(message_id="m", text="done")

    planner = Both(chain("a", "b"), chain("a", "b"))
    planner.mended, planner.failed = [chain("a", "c")], []
    task = await reach(house(runner, planner, {"w": events}, replans=2, attempts=1))
    assert task.status.state == COMPLETED
    assert await reasons(log, task) == [
        None,
        {"facts": ["w in step 'a': a is strange"]},
        {"step": "b", "error": "b cannot be done"},
    ]
    planner = Both(chain("a", "b"), chain("a", "b"))
    planner.mended, planner.failed = [chain("a", "c")], []
    task = await reach(house(runner, planner, {"w": events}, replans=1, attempts=1))
    assert task.status.state == TaskState.TASK_STATE_FAILED
    assert not planner.failed


async def test_what_a_step_finds_before_it_fails_is_told_to_who_mends_the_plan(
    runner: TaskRunner, log: EventLog
) -> None:
    class Both(Revising, Mending):
        pass

    async def events(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        if step_told(task) == "a":
            yield NewFacts(text="There is no salt.")
            yield failing("it cannot be done")
        yield TextFinal(message_id="m", text="done")

    planner = Both(chain("a", "b"))
    planner.mended, planner.failed = [chain("c", "b")], []
    task = await reach(house(runner, planner, {"w": events}, attempts=1))
    assert task.status.state == COMPLETED
    fact = "w in step 'a': There is no salt."
    assert planner.failed == [("a", f"it cannot be done\nKnown since:\n{fact}")]
    assert not planner.asked, "it was asked once for both"
    because = {"step": "a", "error": "it cannot be done", "facts": [fact]}
    assert await reasons(log, task) == [None, because]


async def test_a_plan_that_cannot_be_made_anew_stays(runner: TaskRunner, log: EventLog) -> None:
    begun: list[str] = []
    nobody = plan_of({"id": "x", "agent": "nobody"})
    told = {"a": "a is strange", "b": "b is strange"}
    planner = Revising(chain("a", "b", "c"), PlanningFailed("nobody fits"), nobody)
    task = await reach(house(runner, planner, {"w": agent(told, begun)}))
    assert task.status.state == COMPLETED
    assert begun == ["a", "b", "c"]
    first, second = await payloads(log, task, "plan_kept")
    assert first["error"] == "nobody fits"
    assert first["because"] == {"facts": ["w in step 'a': a is strange"]}
    assert "nobody" in second["error"]


@pytest.mark.parametrize("replans", [0, None])
async def test_a_plan_that_is_kept_to_is_not_changed_by_facts(
    runner: TaskRunner, log: EventLog, replans: int | None
) -> None:
    """One that was brought, and one of a planner that cannot."""
    plan = chain("a", "b", replans=replans)
    planner = Revising(plan) if replans == 0 else Fixed(plan)
    task = await reach(house(runner, planner, {"w": agent({"a": "a is strange"})}))
    assert task.status.state == COMPLETED
    (kept,) = await payloads(log, task, "plan_kept")
    assert kept["facts"] == ["w in step 'a': a is strange"]


async def test_a_question_is_answered_before_the_plan_changes(
    runner: TaskRunner, log: EventLog
) -> None:
    async def events(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        if step_told(task) == "a":
            yield NewFacts(text="a is strange")
            yield InputRequest(request_id="q", prompt="Go on?")
        yield TextFinal(message_id="m", text=f"{step_told(task) or 'a'} is done")

    planner = Revising(chain("a", "b"), chain("a", "c"))
    manager = house(runner, planner, {"w": events})
    asked = await reach(manager)
    assert asked.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
    assert not planner.asked
    task = await reach(manager, "yes", task_id=asked.id)
    assert answer_of(task) == "c is done"
    assert planner.asked == [(["a"], ["w in step 'a': a is strange"])]


async def test_what_the_user_says_meanwhile_changes_the_plan(
    runner: TaskRunner, log: EventLog
) -> None:
    scout = Scout()
    planner = Revising(chain("a", "b"), chain("a", "c"))
    manager = house(runner, planner, {"w": scout})
    task_id = await begin(manager, "Count them.")
    await scout.until("a")
    request = send_request("Leave out the small ones.", task_id=task_id)
    request.configuration.return_immediately = True
    taken = await manager.handler.on_message_send(request, call_context())
    assert isinstance(taken, Task)
    again = await manager.handler.on_message_send(request, call_context())
    assert isinstance(again, Task)
    scout.let("a", "c")
    task = await ended(manager, log, task_id)
    assert scout.begun == ["a", "c"], "the step at work went on"
    assert planner.asked == [(["a"], ["Leave out the small ones."])]
    assert planner.goals == ["Count them.", "Count them.\n\nLeave out the small ones."]
    assert await reasons(log, task) == [None, {"facts": ["Leave out the small ones."]}]
    said = [m.parts[0].text for m in task.history if m.parts[0].HasField("text")]
    assert said[:2] == ["Count them.", "Leave out the small ones."]


async def test_what_is_said_while_the_goal_is_planned_is_a_part_of_it(
    runner: TaskRunner, log: EventLog
) -> None:
    class Slow(Revising):
        async def plan(self, request: PlanRequest) -> Plan:
            plan = await super().plan(request)
            await (asyncio.sleep(60) if len(self.goals) == 1 else asyncio.sleep(0))
            return plan

    planner = Slow(chain("a"))
    manager = house(runner, planner, {"w": Worker()})
    task_id = await begin(manager, "Count them.")
    async with asyncio.timeout(20):
        while not planner.goals:
            await asyncio.sleep(0.01)
    await follow_up(manager, task_id, "All of them.")
    task = await ended(manager, log, task_id)
    assert task.status.state == COMPLETED
    assert planner.goals == ["Count them.", "Count them.\n\nAll of them."]
    assert not planner.asked, "the plan was made with it"
    assert not await payloads(log, task, "plan_kept")


async def test_messages_that_a_goal_does_not_take_are_refused(
    runner: TaskRunner, log: EventLog
) -> None:
    scout = Scout()
    manager = house(runner, Revising(chain("a")), {"w": scout}, replans=0)
    task_id = await begin(manager)
    await scout.until("a")
    with pytest.raises(UnsupportedOperationError, match="is not made anew"):
        await follow_up(manager, task_id, "More.")
    request = send_request("More.", task_id=task_id)
    with pytest.raises(TaskNotFoundError):
        await manager.handler.on_message_send(request, call_context(BOB))
    with pytest.raises(InvalidParamsError, match="belongs to context"):
        await follow_up(manager, task_id, "More.", context_id="another")

    fixed = house(runner, Fixed(chain("a")), {"w": scout})
    other = await begin(fixed)
    await scout.until("a", "a")
    with pytest.raises(UnsupportedOperationError, match="makes no plan anew by new facts"):
        await follow_up(fixed, other, "More.")

    able = house(runner, Revising(chain("a")), {"w": scout})
    answer = send_request("yes", task_id=task_id)
    part = data_part({"type": "input_response", "request_id": "q"})
    answer.message.parts.append(part)
    with pytest.raises(UnsupportedOperationError, match="does not ask"):
        await able.handler.on_message_send(answer, call_context())
    planned = send_request("Do it so.", task_id=task_id)
    planned.message.parts.append(plan_part(chain("a")))
    with pytest.raises(UnsupportedOperationError, match="brought to a new goal"):
        await able.handler.on_message_send(planned, call_context())
    wordless = send_request("", task_id=task_id)
    del wordless.message.parts[:]
    wordless.message.parts.append(data_part({"more": 1}))
    with pytest.raises(UnsupportedOperationError, match="say in words"):
        await able.handler.on_message_send(wordless, call_context())

    scout.let("a")
    await ended(manager, log, task_id)
    await ended(fixed, log, other)
    with pytest.raises(UnsupportedOperationError, match="has ended"):
        await follow_up(able, task_id, "More.")


async def test_a_plan_that_was_brought_takes_no_message(runner: TaskRunner, log: EventLog) -> None:
    scout = Scout()
    manager = house(runner, Revising(chain("x")), {"w": scout})
    request = send_request("Do it.")
    request.message.parts.append(plan_part(chain("a")))
    request.configuration.return_immediately = True
    task: Any = await manager.handler.on_message_send(request, call_context())
    await scout.until("a")
    with pytest.raises(UnsupportedOperationError, match="change the plan itself"):
        await follow_up(manager, task.id, "More.")
    scout.let("a")
    assert (await ended(manager, log, task.id)).status.state == COMPLETED


async def test_an_agents_task_still_takes_no_message_while_it_works(
    runner: TaskRunner, log: EventLog
) -> None:
    scout = Scout()
    manager = house(runner, Revising(chain("a")), {"w": scout})
    handler = manager.agent_handler(LOCAL_USER, "w")
    request = send_request("do it")
    request.configuration.return_immediately = True
    task: Any = await handler.on_message_send(request, call_context())
    with pytest.raises(UnsupportedOperationError, match="still at work"):
        await handler.on_message_send(send_request("More.", task_id=task.id), call_context())
    scout.let("")
    await handler.on_get_task(GetTaskRequest(id=task.id), call_context())


async def gone_on(log: EventLog, planner: Fixed, scout: Scout, task_id: str, *let: str) -> Task:
    """The goal, once another process has brought it to its end."""
    other = second_runner(log)
    manager = house(other, planner, {"w": scout})
    scout.let(*let)
    await manager.start()
    task = await ended(manager, log, task_id)
    await other.aclose()
    return task


async def test_what_was_told_before_a_restart_is_heeded_after_it(
    runner: TaskRunner, log: EventLog
) -> None:
    scout = Scout(a="It is another one.")
    planner = Revising(chain("a", "b"), chain("a", "c"))
    manager = house(runner, planner, {"w": scout})
    task_id = await begin(manager)
    scout.let("a")
    await scout.has_told("a")
    await known(log, task_id)
    await manager.aclose(hand_over=True)
    assert not planner.asked

    task = await gone_on(log, planner, scout, task_id, "a end", "c")
    assert planner.asked == [(["a"], ["w in step 'a': It is another one."])]
    assert len(await payloads(log, task, "facts")) == 1
    assert answer_of(task) == "c is done"


@pytest.mark.parametrize("over", [False, True])
async def test_what_was_told_while_nobody_heard_is_heeded(
    runner: TaskRunner, log: EventLog, over: bool
) -> None:
    """The step's agent tells it, and perhaps ends, while no process runs the goal."""
    scout = Scout(a="It is another one.")
    planner = Revising(chain("a", "b"), chain("a", "c"))
    manager = house(runner, planner, {"w": scout})
    task_id = await begin(manager)
    await scout.until("a")
    async with asyncio.timeout(20):
        while not (child_id := (await rows_of(log, task_id))["a"].child_id):
            await asyncio.sleep(0.01)
    async with runner.control.held(LOCAL_USER, task_id):
        scout.let("a", *(["a end"] if over else []))
        await scout.has_told("a")
        async with asyncio.timeout(20):
            while over and not (await log.task(LOCAL_USER, child_id)).ended:
                await asyncio.sleep(0.01)
        assert not await facts_of(log, task_id)
    scout.let("a end", "c")
    task = await ended(manager, log, task_id)
    assert planner.asked == [(["a"], ["w in step 'a': It is another one."])]
    assert answer_of(task) == "c is done"


async def test_a_plan_that_was_made_anew_is_not_made_anew_after_a_restart(
    runner: TaskRunner, log: EventLog
) -> None:
    scout = Scout(a="It is another one.")
    planner = Revising(chain("a", "b"), chain("a", "c"))
    manager = house(runner, planner, {"w": scout})
    task_id = await begin(manager)
    scout.let("a", "a end")
    await scout.until("a", "c")
    await manager.aclose(hand_over=True)

    task = await gone_on(log, planner, scout, task_id, "c")
    assert len(planner.asked) == 1
    assert len(await payloads(log, task, "plan")) == 2
    assert answer_of(task) == "c is done"


async def test_an_agent_of_any_framework_tells_it_by_a_tool(tmp_path: Path) -> None:
    said: list[Any] = []

    async def events(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        if step_told(task) == "a":
            (tell,) = task.tools
            said.append(await tell.invoke(facts="a is strange"))
            with pytest.raises(ToolError):
                await tell.invoke(facts="")
        yield TextFinal(message_id="m", text=f"{step_told(task)} is done")

    planner = Revising(chain("a", "b"), chain("a", "c"))
    asking = colleague("w", events, asked=("tell_new_facts",))
    async with open_house(tmp_path, asking, planner=planner) as place:
        task = await place.send("orchestrator", "the goal")
    assert said == ["It is known now. Go on with your own task."]
    assert planner.asked == [(["a"], ["w in step 'a': a is strange"])]
    assert answer_of(task) == "c is done"


async def facts_of(log: EventLog, task_id: str) -> list[Any]:
    """What the goal's log has of what came to be known."""
    rows = await log.steps(LOCAL_USER, task_id)
    return (await plan_history(log, LOCAL_USER, task_id, rows)).facts


async def known(log: EventLog, task_id: str) -> None:
    """Return when the goal knows something new."""
    async with asyncio.timeout(20):
        while not await facts_of(log, task_id):
            await asyncio.sleep(0.01)
