"""Messages to goals that are at work: what their users add.

The goal's run is ended for a moment, and its tasks go on; what is said is written into its log; and
the goal is taken up again, and has its plan made anew by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from codin.agent.answers import question_of
from codin.agent.planning.plan import Plan
from codin.errors import InvalidInputError
from codin.security import Principal
from codin.task._entries import told
from codin.task.errors import TaskEnded
from codin.task.goal_plans import given_plan
from codin.task.log.entries import Entry
from codin.task.log.rows import TaskRow
from codin.task.new_facts import Fact
from codin.task.plan_history import plan_history
from codin.task.projection import to_json
from codin.task.recalling import drop_recalled
from codin.task.runner import TaskRunner

if TYPE_CHECKING:
    from a2a.types import Message


@runtime_checkable
class GrowingWork(Protocol):
    """Work that takes messages while it goes on."""

    def refusal(self, plan: Plan | None, mended: int) -> str:
        """Why nothing can be added to work by ``plan``, if it has one, which had been made anew so
        often; empty when it can."""
        ...


class FollowUps:
    """Takes what users say to goals that are at work."""

    def __init__(self, runner: TaskRunner) -> None:
        self._runner = runner
        self._log = runner.log

    async def say(
        self, principal: Principal, work: GrowingWork, task_id: str, message: Message
    ) -> int:
        """Have a goal heed ``message``; gives the seq after which its news are.

        Raises:
            UnknownTask: there is none for this principal.
            TaskEnded: it is over.
            InvalidInputError: the message says nothing in words, or is an answer or a plan; the
                goal asks something, which is to be answered first; or its plan is kept to.
            TaskError: whoever runs it does not let go of it.
        """
        text = _words(message)
        async with self._runner.control.held(principal, task_id) as lease:
            row = await self._log.task(principal, task_id)
            await self._check(row, work)
            message.task_id, message.context_id = row.task_id, row.context_id
            drop_recalled(message)
            said = Entry("message", to_json(message))
            fact = Fact(message.message_id, text)
            await self._log.append(lease, [said, told(row, fact.told)])
            return row.last_seq + 1

    async def _check(self, row: TaskRow, work: GrowingWork) -> None:
        if row.ended:
            raise TaskEnded(f"task {row.task_id} has ended ({row.state})")
        if row.interrupted:
            raise InvalidInputError(f"task {row.task_id} waits for an answer by now: answer it")
        rows = await self._log.steps(row.principal, row.task_id)
        history = await plan_history(self._log, row.principal, row.task_id, rows)
        if why := work.refusal(history.plan, history.mended):
            raise InvalidInputError(f"task {row.task_id} takes no message while it works: {why}")


def _words(message: Message) -> str:
    text = "\n".join(part.text for part in message.parts if part.HasField("text")).strip()
    if question_of(message):
        raise InvalidInputError("the message answers what the goal does not ask (any more)")
    if given_plan(message) is not None:
        raise InvalidInputError("a plan is brought to a new goal; that of one at work is changed")
    if not text:
        raise InvalidInputError("say in words, in a text part, what the goal is to heed")
    return text
