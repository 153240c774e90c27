"""One task of a plan's step: tried until its output is good, or has failed for good."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from codin.agent.events import (
    AgentEvent,
    Canceled,
    Completed,
    EndEvent,
    Failed,
    InputRequest,
    NewFacts,
    Rejected,
)
from codin.agent.planning.plan import Plan
from codin.agent.planning.step import Check, Judge, Retry
from codin.agent.response import failure
from codin.task.dispatch import Attempt, Dispatcher, answer_to
from codin.task.errors import is_away
from codin.task.files import FilesBefore, GoalFiles
from codin.task.findings import StepOutput, step_message
from codin.task.new_facts import GoalFacts
from codin.task.step_checks import judging, question_to, shortcoming, verdict
from codin.task.step_inputs import MissingOutput, inputs_of
from codin.task.step_jobs import Job
from codin.task.step_rows import StepRows
from codin.task.work import Run

if TYPE_CHECKING:
    from a2a.types import Message

_NO_SECOND_TRY = frozenset({"Timeout", "UnknownAgent", "MissingOutput"})
"""Failures that a second try would only repeat."""

_LONGEST_PAUSE = 3600.0


async def at_once() -> None:
    """Wait for nothing."""


@dataclass(slots=True)
class StepRun:
    """Does jobs of ``plan``. ``outputs`` are of the steps and jobs that are done, ``answers``
    messages that answer what one of them asked, and ``before`` the files that there were before
    their attempts, by job.

    ``readers`` are the agents that look into files: they are told what is in those. An attempt
    that fails is told to the next one; before each, ``allow`` is waited for. What agents find out
    meanwhile is told to ``facts``. Each is a task; when its message is sent again, because the goal
    is run again, it is the same task.
    """

    run: Run
    dispatcher: Dispatcher
    files: GoalFiles
    rows: StepRows
    facts: GoalFacts
    readers: Collection[str] = ()
    attempts: int = 2
    outputs: dict[str, StepOutput] = field(default_factory=dict)
    answers: dict[str, Message] = field(default_factory=dict)
    before: dict[str, FilesBefore] = field(default_factory=dict)
    allow: Callable[[], Awaitable[None]] = at_once

    async def job(self, plan: Plan, job: Job, agents: Mapping[str, str]) -> EndEvent:
        """Try until it is done or asks; otherwise why the last attempt failed. ``agents`` are those
        of the plan's steps."""
        retry = job.step.retry or Retry(attempts=self.attempts)
        row = self.rows[job.id]
        # one that was at work when the goal's process ended is followed, or begun as it was
        first = row.attempt if row.state == "working" else row.attempt + 1
        error: str | None = None
        end: EndEvent = Failed(error_type="NoEnd", message="it was never tried")
        try:
            for number in range(first, first + retry.attempts):
                if pause := _pause(retry, number - first):
                    await asyncio.sleep(pause)
                await self.allow()
                end = await self._attempt(plan, job, agents, number, error)
                if isinstance(end, Completed | InputRequest):
                    return end
                error = reason_of(end)
                if not _worth_another(end, retry):
                    break
        except asyncio.CancelledError:
            if self.rows[job.id].state != "waiting":  # one that was never begun is left out
                await self.rows.mark(job.id, state="canceled")
            raise
        await self.rows.mark(job.id, state="failed", error=error)
        return end

    async def _attempt(
        self,
        plan: Plan,
        job: Job,
        agents: Mapping[str, str],
        number: int,
        error: str | None,
    ) -> EndEvent:
        async def begun(child_id: str) -> None:
            changes = {"attempt": number, "child_id": child_id, "error": error}
            newest = {"newest": self.before[job.id].newest}
            await self.rows.mark(job.id, more=newest, state="working", **changes)

        async def said(event: AgentEvent) -> None:
            if isinstance(event, NewFacts) and (child_id := self.rows[job.id].child_id):
                await self.facts.tell(job, child_id, event.text)

        limit = asyncio.timeout(job.step.seconds)
        goes_on = self._goes_on(job, number)
        try:
            if not goes_on or job.id not in self.before:
                files = await self._files()
                self.before[job.id] = FilesBefore(max(files.values(), default=0), files)
            message = await self._message(plan, job, agents, number, error)
            async with limit:
                attempt = await self.dispatcher.send(job.named, message, begun, said)
            if goes_on and attempt.child_id:
                await self.facts.look(job, attempt.child_id)
        except Exception as problem:
            if is_away(problem):
                raise
            return _problem(problem, limit, job)
        if not isinstance(attempt.end, Completed):
            return attempt.end
        return await self.take(job, attempt)

    async def take(self, job: Job, attempt: Attempt) -> EndEvent:
        """Have what came of an attempt, which ended well, as the job's output, if it is good."""
        before = self.before.pop(job.id, None)
        made = before.made(await self._files()) if before else ()
        output = StepOutput(attempt.text, tuple(made), attempt.data)
        if job.step.check is not None:
            wrong = await self._wrong(job.step.check, job, output)
            if wrong:
                return Failed(error_type="CheckFailed", message=wrong)
        self.outputs[job.id] = output
        files = {"files": output.files} if output.files else {}
        await self.rows.mark(job.id, more=files, state="completed", error=None)
        return attempt.end

    def _goes_on(self, job: Job, number: int) -> bool:
        """Whether an attempt had been begun before, by a process that ended, or asked something."""
        row = self.rows[job.id]
        return row.state == "working" and row.attempt == number

    async def _wrong(self, check: Check, job: Job, output: StepOutput) -> str:
        found = shortcoming(check, output)
        if found or check.judge is None:
            return found
        return await self._judged(check.judge, job, output)

    async def _judged(self, judge: Judge, job: Job, output: StepOutput) -> str:
        step = judging(judge, f"{job.id}.judge")
        question = question_to(judge, job.step, output)
        attempt = await self.rows.asked(self.dispatcher, step, question)
        if isinstance(attempt.end, Completed):
            return verdict(judge, attempt)
        return f"{judge.agent}, who was to judge it, could not: {reason_of(attempt.end)}"

    async def _message(
        self,
        plan: Plan,
        job: Job,
        agents: Mapping[str, str],
        number: int,
        error: str | None,
    ) -> Message:
        answer = self.answers.pop(job.id, None)
        child_id = self.rows[job.id].child_id
        if answer is not None and child_id is not None:
            return answer_to(child_id, answer)
        reads = job.step.agent in self.readers
        return step_message(
            job.step,
            self.outputs,
            agents,
            goal_id=self.run.task_id,
            # Of its own: what another step or an earlier attempt said is told in the message.
            context_id=f"{self.run.task_id}.{job.id}.{number}",
            values=inputs_of(job.step, plan, self.outputs, job.items),
            history=self.run.history,
            error=error,
            files=await self.files.description() if reads else "",
        )

    async def _files(self) -> dict[str, int]:
        return await self.files.state(self.run.principal, self.run.goal_id)


def _problem(problem: Exception, limit: asyncio.Timeout, job: Job) -> Failed:
    """What went wrong with an attempt, as its end."""
    if isinstance(problem, MissingOutput):
        return Failed(error_type="MissingOutput", message=str(problem))
    if isinstance(problem, TimeoutError) and limit.expired():
        took = f"it took longer than the {job.step.seconds:g} s of its step"
        return Failed(error_type="Timeout", message=took)
    return failure(problem)


def reason_of(end: EndEvent) -> str:
    """Why an attempt that ended so did not end well."""
    match end:
        case Failed(message=text) | Rejected(message=text):
            return text
        case Canceled(message=text):
            return text or "it was canceled"
        case InputRequest(prompt=text):
            return f"it asked {text!r}, and nobody could answer"
        case _:
            return "it ended without an answer"


def _pause(retry: Retry, failed: int) -> float:
    """Seconds to wait after so many attempts that failed."""
    return min(retry.backoff * 2 ** (failed - 1), _LONGEST_PAUSE) if failed else 0.0


def _worth_another(end: EndEvent, retry: Retry) -> bool:
    if not isinstance(end, Failed):
        return False
    return end.error_type in retry.errors if retry.errors else end.error_type not in _NO_SECOND_TRY
