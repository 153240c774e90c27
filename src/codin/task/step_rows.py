"""The steps of a goal as they stand: shown and stored whenever one changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from codin.agent.a2a import user_message
from codin.agent.events import Completed, InputRequest
from codin.agent.planning.step import Step
from codin.task.dispatch import Attempt, Dispatcher
from codin.task.errors import is_away
from codin.task.log._json import digest
from codin.task.log.rows import StepRow
from codin.task.step_jobs import Job
from codin.task.work import Run


class StepRows:
    """The rows of ``run``, by id: those of its plan's steps, and of what is done below them."""

    def __init__(self, run: Run, rows: Iterable[StepRow] = ()) -> None:
        self._run = run
        self._rows = {row.step_id: row for row in rows}

    def __getitem__(self, row_id: str) -> StepRow:
        return self._rows[row_id]

    def __contains__(self, row_id: str) -> bool:
        return row_id in self._rows

    def get(self, row_id: str) -> StepRow | None:
        """The row, if there is one."""
        return self._rows.get(row_id)

    def __iter__(self) -> Iterator[StepRow]:
        return iter(list(self._rows.values()))

    async def begin(self, payload: Mapping[str, Any], rows: Iterable[StepRow]) -> None:
        """Have rows anew, and say ``payload`` with them."""
        fresh = list(rows)
        self._rows |= {row.step_id: row for row in fresh}
        await self._run.say(payload, steps=fresh)

    async def mark(
        self, row_id: str, *, more: Mapping[str, Any] | None = None, **changes: Any
    ) -> None:
        """Change a row, and say how the step stands now, and ``more`` of it."""
        row = replace(self._rows[row_id], **changes)
        self._rows[row_id] = row
        await self._run.say({**_payload(row), **(more or {})}, steps=[row])

    async def asked(self, dispatcher: Dispatcher, step: Step, request: str) -> Attempt:
        """Have ``step``, which is in no plan, done once, with a row of its own. What it asks nobody
        answers: then its task is canceled. What goes wrong is an end too, as of any step."""
        from codin.agent.response import failure

        before = self._rows.get(step.id) or StepRow(step.id, step.agent, step.instruction)
        # as of any step, what was asked when the goal's process ended is not asked twice
        number = before.attempt if before.state == "working" else before.attempt + 1
        self._rows[step.id] = replace(before, agent=step.agent)
        message = user_message(request, context_id=f"{self._run.task_id}.{step.id}.{number}")
        message.message_id = digest(message.context_id)[:32]

        async def begun(child_id: str) -> None:
            await self.mark(step.id, state="working", attempt=number, child_id=child_id)

        try:
            attempt = await dispatcher.send(step, message, begun)
        except Exception as problem:
            if is_away(problem):
                raise
            attempt = Attempt(end=failure(problem))
        except BaseException:
            await self.mark(step.id, state="canceled")
            raise
        if isinstance(attempt.end, InputRequest):
            await dispatcher.stop(step, attempt.child_id)
        done = isinstance(attempt.end, Completed)
        await self.mark(step.id, state="completed" if done else "failed")
        return attempt


def row_of(step: Step) -> StepRow:
    """The row of a step that waits."""
    return StepRow(step.id, step.agent, step.instruction, step.needs, step.title, spec=step.spec)


def item_row(job: Job) -> StepRow:
    """The row of an item of a map, which waits."""
    step = job.step
    return StepRow(job.id, step.agent, step.instruction, spec={"of": step.id, "place": job.place})


def step_of(row: StepRow) -> Step:
    """The step behind its row.

    Raises:
        ValueError: its plan was stored by another version, and cannot be read.
    """
    return Step.model_validate(
        {
            **row.spec,
            "id": row.step_id,
            "agent": row.agent,
            "instruction": row.instruction,
            "needs": row.needs,
            "title": row.title,
        }
    )


def _payload(row: StepRow) -> dict[str, Any]:
    items = {key: row.spec[key] for key in ("of", "place") if key in row.spec}
    return {
        "type": "step",
        "id": row.step_id,
        "agent": row.agent,
        "state": row.state,
        "task_id": row.child_id,
        "attempt": row.attempt,
        **items,
        **({"error": row.error} if row.error else {}),
    }
