"""What becomes of a task whose process died."""

from __future__ import annotations

from dataclasses import replace

from codin.agent.a2a import EventEncoder
from codin.agent.events import Failed
from codin.task.journal import Journal
from codin.task.log.base import Adopt, EventLog, Lease, StepRow, TaskRow

INTERRUPTED_MESSAGE = "interrupted by a restart: the process that ran it has ended"


async def fail_orphan(log: EventLog, row: TaskRow, lease: Lease) -> None:
    """Put ``row``, claimed with ``lease``, in the state FAILED, with its steps."""
    journal = Journal(log, lease, EventEncoder(row.task_id, row.context_id))
    left: list[StepRow] = []
    for step in await log.steps(row.principal, row.task_id):
        if step.child_id is not None:
            await journal.put(Adopt(step.child_id, step.step_id, step.agent))
        if step.state == "working":
            left.append(replace(step, state="failed", error=INTERRUPTED_MESSAGE))
        elif step.state == "waiting":
            left.append(replace(step, state="skipped"))
    journal.end(Failed(error_type="Interrupted", message=INTERRUPTED_MESSAGE), left)
    await journal.run()
