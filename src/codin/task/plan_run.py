"""Runs the steps of a plan: in parallel where nothing has to be waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from codin.agent.events import Completed, Failed, InputRequest
from codin.agent.planning.plan import MAX_STEPS, Plan
from codin.agent.planning.step import Step
from codin.task.dispatch import Attempt
from codin.task.findings import StepOutput, joined
from codin.task.log.rows import StepRow
from codin.task.plan_history import PLAN
from codin.task.step_inputs import MissingOutput, TooManyItems, items_of
from codin.task.step_jobs import Job, JobQueue, item_id
from codin.task.step_rows import item_row, row_of
from codin.task.step_run import StepRun, reason_of

_GIVEN_UP = ("failed", "skipped", "canceled")


@dataclass(frozen=True, slots=True)
class StepFailure:
    """A step that failed for good, and why."""

    step: Step
    reason: str
    error_type: str = ""

    @property
    def told(self) -> dict[str, Any]:
        """It as the reason of a new plan."""
        return {"step": self.step.id, "error": self.reason}

    def __str__(self) -> str:
        return f"step {self.step.id!r} ({self.step.agent}) failed: {self.reason}"


@dataclass(slots=True)
class PlanRun:
    """The steps of ``plan`` as they are run: ``parallel`` tasks at a time, and no more than
    ``max_steps`` steps and items of maps in all. ``paused`` are the questions of those that wait
    for an answer, by job. While it ``halts``, because another plan is to be made, nothing is
    begun."""

    steps: StepRun
    plan: Plan
    parallel: int = 4
    max_steps: int = MAX_STEPS
    paused: dict[str, InputRequest] = field(default_factory=dict)
    halts: Callable[[], bool] = lambda: False
    _items: dict[str, int] = field(default_factory=dict)
    _left: dict[str, int] = field(default_factory=dict)

    @property
    def outputs(self) -> Mapping[str, StepOutput]:
        """What the steps and jobs gave that are done."""
        return self.steps.outputs

    async def begin(self, plan: Plan, **more: Any) -> None:
        """Show the plan, and ``more`` of why it is so, and store its steps. Steps that are done
        stay as they are, unless the plan gives them to another agent now; those that it leaves out
        are marked so, and what they ask is not asked any more."""
        await self._drop_questions(plan)
        self.plan, rows = plan, self.steps.rows
        planned_ids = {step.id for step in plan.steps}
        await self._skip(planned_ids)
        # the attempts of a step are counted on: each makes a task of its own
        fresh = [
            replace(row_of(step), attempt=row.attempt if (row := rows.get(step.id)) else 0)
            for step in plan.steps
            if not self._stays(step)
        ]
        await rows.begin({"type": PLAN, "plan": plan.shown(), **more}, fresh)
        # No step is begun by a plan that may be lost: who is asked again may plan otherwise.
        await self.steps.run.flushed()

    def _stays(self, step: Step) -> bool:
        """Whether what there is of a step holds for it as it is planned now."""
        row = self.steps.rows.get(step.id)
        if row is None:
            return False
        if step.id in self.outputs and row.agent == step.agent:
            return True
        same = replace(row_of(step), state=row.state, attempt=row.attempt, child_id=row.child_id)
        if same != replace(row, error=None):
            for other in self.steps.rows:
                if other.spec.get("of") == step.id:
                    self.steps.outputs.pop(other.step_id, None)
            self.steps.outputs.pop(step.id, None)
            return False
        return not _over(row)

    async def execute(self, *, finish: bool) -> StepFailure | None:
        """Run what is not done yet. After a failure nothing new is begun; with ``finish`` what runs
        is let finish, otherwise it is canceled; when it ``halts``, it is. Cancelling this cancels
        the steps that run."""
        queue = JobQueue(self.plan)
        agents = {step.id: step.agent for step in self.plan.steps}
        running: dict[asyncio.Task[StepFailure | None], Job] = {}
        failed: StepFailure | None = None
        try:
            while True:
                failed = failed or await self._open(queue)
                while not failed and len(running) < self.parallel and (ready := queue.pop()):
                    if self._goes_on(ready.id):
                        running[asyncio.create_task(self._job(ready, agents))] = ready
                if not running:
                    return failed
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    job = running.pop(task)
                    failed = failed or (None if task.cancelled() else task.result())
                    queue.ended(job)
                    await self._done(queue, job)
                if failed and not finish:
                    _cancel(running)
        except Exception as error:
            self.steps.run.broken_by(error)  # before what runs is canceled
            raise
        finally:
            _cancel(running)
            if running:
                await asyncio.wait(running)

    async def close(self) -> None:
        """Mark the steps that will not be run any more."""
        await self._skip(())
        for row in self.steps.rows:
            if row.state == "working" and "map" in row.spec:  # all of its items have ended
                await self.steps.rows.mark(row.step_id, state="canceled")

    async def take_up(self, job: Job, attempt: Attempt, made: Sequence[str] = ()) -> None:
        """Have what came of a job's task, which is over or asks, as it stands. ``made`` are the
        files of a job that is done."""
        row = self.steps.rows[job.id]
        if isinstance(attempt.end, InputRequest):
            self.paused[job.id] = attempt.end
        elif isinstance(attempt.end, Completed) and row.state == "completed":
            self.steps.outputs[job.id] = StepOutput(attempt.text, tuple(made), attempt.data)
        elif isinstance(attempt.end, Completed):
            await self.steps.facts.look(job, attempt.child_id)
            await self.steps.take(job, attempt)

    def skip(self, step_ids: Iterable[str]) -> None:
        """Have steps that somebody skipped as done, with nothing to show for it."""
        planned = {step.id for step in self.plan.steps}
        for step_id in planned.intersection(step_ids):
            self.steps.outputs[step_id] = StepOutput("")

    def answer(self, job_id: str, message: Any) -> None:
        """The next run of the job gets ``message`` as the answer to what it asked."""
        del self.paused[job_id]
        self.steps.answers[job_id] = message

    def _goes_on(self, row_id: str) -> bool:
        """Whether a job may run: while the plan halts, only one that was begun, perhaps by a
        process that ended."""
        return not self.halts() or self.steps.rows[row_id].state == "working"

    async def _open(self, queue: JobQueue) -> StepFailure | None:
        for step in queue.opened():
            if step.id in self.outputs:
                queue.done(step)
                continue
            row = self.steps.rows[step.id]
            if row.state == "failed":  # for good, and the process ended before anything came of it
                return StepFailure(step, row.error or "it failed")
            if not self._goes_on(step.id):
                continue
            try:
                jobs = await self._jobs(step)
            except (MissingOutput, TooManyItems) as error:
                await self.steps.rows.mark(step.id, state="failed", error=str(error))
                return StepFailure(step, str(error), type(error).__name__)
            left = [job for job in jobs if job.id not in self.outputs]
            self._left[step.id] = len(left)
            queue.push(step, [job for job in left if job.id not in self.paused])
            if step.map is not None and not left:
                await self._join(queue, step)
        return None

    async def _jobs(self, step: Step) -> list[Job]:
        if step.map is None:
            return [Job(step)]
        items = items_of(step, self.plan, self.outputs)
        self._items[step.id] = len(items)
        count = len(self.plan.steps) + sum(self._items.values())
        if count > self.max_steps:
            raise TooManyItems(
                f"the map of step {step.id!r} is over {len(items)} items, with which the plan has"
                f" {count} steps, more than the {self.max_steps} allowed"
            )
        jobs = [Job(step, place, item) for place, item in enumerate(items, 1)]
        rows = self.steps.rows
        fresh = [
            replace(item_row(job), attempt=row.attempt if row else 0)
            for job in jobs
            if (row := rows.get(job.id)) is None or _over(row)
        ]
        if fresh:
            payload = {"type": "map", "id": step.id, "items": len(items)}
            await rows.begin(payload, fresh)
        if rows[step.id].state == "waiting":
            await rows.mark(step.id, state="working", attempt=1)
        return jobs

    async def _job(self, job: Job, agents: Mapping[str, str]) -> StepFailure | None:
        end = await self.steps.job(self.plan, job, agents)
        if isinstance(end, InputRequest):
            self.paused[job.id] = end
        if isinstance(end, Completed | InputRequest):
            return None
        reason, kind = reason_of(end), end.error_type if isinstance(end, Failed) else ""
        if job.place is not None:
            reason = f"item {job.place} of {self._items[job.step.id]}: {reason}"
            await self.steps.rows.mark(job.step.id, state="failed", error=reason)
        return StepFailure(job.step, reason, kind)

    async def _done(self, queue: JobQueue, job: Job) -> None:
        """Have what waits for the job's step begin, where that is done with it."""
        if job.id not in self.outputs:
            return
        if job.place is None:
            queue.done(job.step)
            return
        self._left[job.step.id] -= 1
        if not self._left[job.step.id]:
            await self._join(queue, job.step)

    async def _join(self, queue: JobQueue, step: Step) -> None:
        """All items of a map are done: their outputs are the step's, in their order."""
        places = range(1, self._items[step.id] + 1)
        found = [self.outputs[item_id(step.id, place)] for place in places]
        self.steps.outputs[step.id] = joined(found)
        if self.steps.rows[step.id].state != "completed":  # it was before a restart
            await self.steps.rows.mark(step.id, state="completed", error=None)
        queue.done(step)

    async def _drop_questions(self, plan: Plan) -> None:
        """Cancel what waits for an answer and is not in ``plan`` as it was."""
        stay = {step.id for step in plan.steps if self._stays(step)}
        for job, row in list(jobs_of(self.plan, self.steps.rows)):
            if job.id in self.paused and job.step.id not in stay:
                del self.paused[job.id]
                if row.child_id is not None:
                    await self.steps.dispatcher.stop(job.named, row.child_id)
                await self.steps.rows.mark(job.id, state="skipped")

    async def _skip(self, planned_ids: Container[str]) -> None:
        """Mark what waits and is not below those of ``planned_ids``."""
        left = [row for row in self.steps.rows if row.state == "waiting"]
        items: dict[str, list[StepRow]] = {}
        for row in left:
            of = row.spec.get("of", row.step_id)
            if of in planned_ids:
                continue
            if of == row.step_id:
                await self.steps.rows.mark(row.step_id, state="skipped")
            else:
                items.setdefault(of, []).append(replace(row, state="skipped"))
        for of, rows in items.items():
            payload = {"type": "map", "id": of, "skipped": len(rows)}
            await self.steps.rows.begin(payload, rows)


def jobs_of(plan: Plan, rows: Iterable[StepRow]) -> Iterator[tuple[Job, StepRow]]:
    """The jobs of ``plan`` that have rows, with these."""
    steps = {step.id: step for step in plan.steps}
    for row in rows:
        step = steps.get(row.spec.get("of", row.step_id))
        if step is not None and (step.map is not None) == ("of" in row.spec):
            yield Job(step, row.spec.get("place")), row


def _over(row: StepRow) -> bool:
    return row.state in _GIVEN_UP


def _cancel(running: Any) -> None:
    for task in running:
        if not task.cancelling():
            task.cancel()
