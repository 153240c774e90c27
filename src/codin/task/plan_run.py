"""Runs the steps of a plan: in parallel where nothing has to be waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from codin.agent.events import Canceled, Completed, EndEvent, Failed, InputRequest, Rejected
from codin.agent.planning.plan import Plan, Step
from codin.agent.response import failure
from codin.task.dispatch import Attempt, Dispatcher, answer_to
from codin.task.files import GoalFiles
from codin.task.findings import StepOutput, step_message
from codin.task.log.base import StepRow
from codin.task.work import Run

if TYPE_CHECKING:
    from a2a.types import Message

_NO_SECOND_TRY = frozenset({"Timeout", "UnknownAgent"})
"""Failures that a second try would only repeat."""


@dataclass(frozen=True, slots=True)
class StepFailure:
    """A step that failed for good, and why."""

    step: Step
    reason: str

    def __str__(self) -> str:
        return f"step {self.step.id!r} ({self.step.agent}) failed: {self.reason}"


@dataclass(slots=True)
class PlanRun:
    """The steps of a goal as they are run. ``outputs`` are of those that are done, ``paused`` the
    questions of those that wait for an answer, ``answers`` messages that answer them.

    ``readers`` are the agents that look into files: they are told what is in those.

    A step that fails is tried once more by the same agent, which is told the error. Each attempt is
    a task; when its message is sent again, because the goal is run again, it is the same task.
    """

    run: Run
    dispatcher: Dispatcher
    files: GoalFiles
    readers: Collection[str] = ()
    parallel: int = 4
    attempts: int = 2
    rows: dict[str, StepRow] = field(default_factory=dict)
    outputs: dict[str, StepOutput] = field(default_factory=dict)
    paused: dict[str, InputRequest] = field(default_factory=dict)
    answers: dict[str, Message] = field(default_factory=dict)

    async def begin(self, plan: Plan) -> None:
        """Show the plan and store its steps. Steps that are done stay as they are, unless the plan
        gives them to another agent now; those that it leaves out are marked so."""
        planned_ids = {step.id for step in plan.steps}
        for row in [row for row in self.rows.values() if row.step_id not in planned_ids]:
            if row.state == "waiting":
                await self._mark(row.step_id, state="skipped")
        for step in plan.steps:
            if step.id in self.outputs and self.rows[step.id].agent == step.agent:
                continue
            self.outputs.pop(step.id, None)
            row = StepRow(step.id, step.agent, step.instruction, step.needs, step.title)
            # its attempts are counted on: each makes a task of its own
            before = self.rows[step.id].attempt if step.id in self.rows else 0
            self.rows[step.id] = replace(row, attempt=before)
        planned = [self.rows[step.id] for step in plan.steps]
        payload = {"type": "plan", "plan": plan.model_dump(mode="json")}
        await self.run.say(payload, steps=planned)

    async def execute(self, plan: Plan, *, finish: bool) -> StepFailure | None:
        """Run what is not done yet. After a failure nothing new is begun; with ``finish`` what runs
        is let finish, otherwise it is canceled. Cancelling this cancels the steps that run."""
        running: dict[asyncio.Task[StepFailure | None], Step] = {}
        failed: StepFailure | None = None
        try:
            while True:
                for step in [] if failed else self._ready(plan, running.values()):
                    running[asyncio.create_task(self._step(plan, step))] = step
                if not running:
                    return failed
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    del running[task]
                    failed = failed or (None if task.cancelled() else task.result())
                if failed and not finish:
                    _cancel(running)
        finally:
            _cancel(running)
            if running:
                await asyncio.wait(running)

    async def close(self) -> None:
        """Mark the steps that will not be run any more."""
        for row in list(self.rows.values()):
            if row.state == "waiting":
                await self._mark(row.step_id, state="skipped")

    def _ready(self, plan: Plan, running: Any) -> list[Step]:
        busy = {step.id for step in running}
        free = max(self.parallel - len(busy), 0)
        ready = [
            step
            for step in plan.steps
            if step.id not in busy
            and step.id not in self.outputs
            and step.id not in self.paused
            and all(need in self.outputs for need in step.needs)
        ]
        return ready[:free]

    async def _step(self, plan: Plan, step: Step) -> StepFailure | None:
        error: str | None = None
        row = self.rows[step.id]
        # one that was at work when the goal's process ended is followed, or begun as it was
        first = row.attempt if row.state == "working" else row.attempt + 1
        for number in range(first, first + self.attempts):
            attempt = await self._attempt(plan, step, number, error)
            match attempt.end:
                case Completed():
                    return None
                case InputRequest():
                    self.paused[step.id] = attempt.end
                    return None
            error = _reason(attempt.end)
            if not _worth_another(attempt.end):
                break
        await self._mark(step.id, state="failed", error=error)
        return StepFailure(step, error or "")

    async def _attempt(self, plan: Plan, step: Step, number: int, error: str | None) -> Attempt:
        before = await self._files()

        async def begun(child_id: str) -> None:
            await self._mark(
                step.id, state="working", attempt=number, child_id=child_id, error=error
            )

        try:
            files = await self.files.description() if step.agent in self.readers else ""
            message = self._message(plan, step, number, error, files)
            attempt = await self.dispatcher.send(step, message, begun)
        except asyncio.CancelledError:
            await self._mark(step.id, state="canceled")
            raise
        except Exception as problem:
            return Attempt(end=failure(problem))
        if isinstance(attempt.end, Completed):
            made = [path for path, at in (await self._files()).items() if before.get(path) != at]
            self.outputs[step.id] = StepOutput(attempt.text, tuple(made))
            await self._mark(step.id, state="completed", error=None)
        return attempt

    def _message(self, plan: Plan, step: Step, number: int, error: str | None, files: str) -> Any:
        answer = self.answers.pop(step.id, None)
        child_id = self.rows[step.id].child_id
        if answer is not None and child_id is not None:
            return answer_to(child_id, answer)
        return step_message(
            step,
            self.outputs,
            {other.id: other.agent for other in plan.steps},
            goal_id=self.run.task_id,
            # Of its own: what another step or an earlier attempt said is told in the message.
            context_id=f"{self.run.task_id}.{step.id}.{number}",
            history=self.run.history,
            error=error,
            files=files,
        )

    async def _files(self) -> dict[str, int]:
        return await self.files.state(self.run.principal, self.run.goal_id)

    async def _mark(self, step_id: str, **changes: Any) -> None:
        row = self.rows[step_id] = replace(self.rows[step_id], **changes)
        payload = {
            "type": "step",
            "id": row.step_id,
            "agent": row.agent,
            "state": row.state,
            "task_id": row.child_id,
            "attempt": row.attempt,
            **({"error": row.error} if row.error else {}),
        }
        await self.run.say(payload, steps=[row])


def _cancel(running: Any) -> None:
    for task in running:
        if not task.cancelling():
            task.cancel()


def _worth_another(end: EndEvent) -> bool:
    return isinstance(end, Failed) and end.error_type not in _NO_SECOND_TRY


def _reason(end: EndEvent) -> str:
    match end:
        case Failed(message=text) | Rejected(message=text):
            return text
        case Canceled(message=text):
            return text or "it was canceled"
        case _:
            return "it ended without an answer"
