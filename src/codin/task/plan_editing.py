"""Has plans changed while they are at work, in whatever process that is.

The goal's run is ended for a moment, and its tasks go on; the new plan is written into its log; and
the goal is taken up again by it, as after a crash.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from codin.agent.base import AgentInfo
from codin.agent.planning.edits import PlanEdit, edited, following
from codin.agent.planning.plan import MAX_STEPS, Plan
from codin.errors import InvalidInputError
from codin.security import Principal
from codin.task._entries import told
from codin.task.errors import TaskEnded
from codin.task.log.leases import Lease
from codin.task.log.rows import StepRow, TaskRow
from codin.task.plan_history import PLAN, plan_history
from codin.task.runner import TaskRunner
from codin.task.step_rows import row_of


class PlanEditing:
    """Changes the plans of goals that are at work."""

    def __init__(self, runner: TaskRunner, *, max_steps: int = MAX_STEPS) -> None:
        self._runner = runner
        self._log = runner.log
        self._max_steps = max_steps

    async def edit(
        self,
        principal: Principal,
        task_id: str,
        edit: PlanEdit,
        agents: Sequence[AgentInfo] | None = None,
    ) -> Plan:
        """Change the plan of a goal, and give it as it is now. It is checked with the ``agents``
        that the principal may use, where they are known.

        Raises:
            UnknownTask: there is none for this principal.
            TaskEnded: it is over.
            InvalidInputError: it has no plan, or waits for an answer.
            PlanError: the changed plan cannot be run; with every problem.
        """
        row = await self._log.task(principal, task_id)
        _check(row)
        async with self._runner.control.held(principal, task_id) as lease:
            row = await self._log.task(principal, task_id)
            _check(row)
            return await self._edit(row, lease, edit, agents)

    async def _edit(
        self, row: TaskRow, lease: Lease, edit: PlanEdit, agents: Sequence[AgentInfo] | None
    ) -> Plan:
        rows = await self._log.steps(row.principal, row.task_id)
        plan = (await plan_history(self._log, row.principal, row.task_id, rows)).plan
        if plan is None:
            raise InvalidInputError(f"task {row.task_id} has no plan (yet) that could be changed")
        new = edited(plan, edit)
        new.check(_known(new) if agents is None else agents, max_steps=self._max_steps)
        by_id = {one.step_id: one for one in rows}
        changed = list(_changes(edit, new, by_id))
        for one in changed:
            before = by_id.get(one.step_id)
            if before and before.child_id and one.child_id is None:
                with suppress(TaskEnded):
                    why = "its step was changed"
                    await self._runner.control.cancel(row.principal, before.child_id, why)
        payload = {"type": PLAN, "plan": new.shown(), "edit": edit.model_dump(exclude_unset=True)}
        await self._log.append(lease, [told(row, payload)], steps=changed)
        return new


def _check(row: TaskRow) -> None:
    if row.ended:
        raise TaskEnded(f"task {row.task_id} has ended ({row.state}): its plan stays as it is")
    if row.interrupted:
        raise InvalidInputError(
            f"task {row.task_id} waits for an answer: answer it before its plan is changed"
        )


def _known(plan: Plan) -> list[AgentInfo]:
    """The agents that a plan names, where nobody knows which there are."""
    return [AgentInfo(name, name, name) for name in {step.agent for step in plan.steps}]


def _changes(edit: PlanEdit, plan: Plan, rows: dict[str, StepRow]) -> Iterable[StepRow]:
    """The rows that are others by ``edit``."""
    if edit.add is not None:
        before = rows.get(edit.add.id)
        yield replace(row_of(edit.add), attempt=before.attempt if before else 0)
        return
    if edit.retry is not None:
        again = {edit.retry, *following(plan, edit.retry)}
        steps = {step.id: step for step in plan.steps if step.id in again}
        for row in rows.values():
            step = steps.get(row.spec.get("of", row.step_id))
            if step is None:
                continue
            if row.state != "waiting":
                yield replace(row, state="waiting", child_id=None, error=None)
            elif all(rows[need].state == "completed" for need in step.after):
                # It may have been begun just now: what comes of that is not to be taken for it.
                yield replace(row, attempt=row.attempt + 1)
        return
    for row in rows.values():
        if row.spec.get("of", row.step_id) == edit.step and row.state != "skipped":
            yield replace(row, state="skipped", child_id=None, error=None)
