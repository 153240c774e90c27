"""What is sent to an agent, on its way to a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from a2a.server.context import ServerCallContext
from a2a.types import Message, SendMessageRequest
from a2a.utils.errors import (
    InvalidParamsError,
    PushNotificationNotSupportedError,
    UnsupportedOperationError,
)

from codin.agent.base import AgentInfo
from codin.agent.planning.plan import PlanError
from codin.errors import InvalidInputError, NotFoundError
from codin.security import ForbiddenError, Principal
from codin.task._reading import TaskReader, task_of
from codin.task._requests import check_message, check_modes
from codin.task.door import PARENT, Door, admit_task
from codin.task.errors import LogError, TaskError, TaskRepeated
from codin.task.following_up import FollowUps, GrowingWork
from codin.task.log.rows import TaskRow
from codin.task.runner import TaskRunner
from codin.task.work import ParentTask, Work

if TYPE_CHECKING:
    from codin.task.push import PushNotifications


@dataclass(frozen=True, slots=True)
class Accepted:
    """The task that a message is for, and the seq after which its news are; ``repeated`` when the
    task had the message already."""

    task_id: str
    seq: int = 0
    repeated: bool = False


class Intake:
    """Takes the messages to the agent ``agent_id``, from who came in by ``door``.

    ``work_for`` gives what does its tasks, or raises ``NotFoundError`` when the principal may not
    use it.
    """

    def __init__(
        self,
        agent_id: str,
        work_for: Callable[[Principal], Work],
        runner: TaskRunner,
        *,
        info: AgentInfo,
        door: Door,
        push: PushNotifications | None,
    ) -> None:
        self._agent_id = agent_id
        self._work_for = work_for
        self._runner = runner
        self._reader = TaskReader(runner.log)
        self._info = info
        self._door = door
        self._push = push

    async def accept(
        self, principal: Principal, params: SendMessageRequest, context: ServerCallContext
    ) -> Accepted:
        """Take a message: it begins a task, answers one, or is said to one that is at work.

        Raises:
            A2AError: it is not taken; the message says why.
        """
        work = self._work(principal)
        check_message(params)
        check_modes(params.message, self._info.input_modes)
        message = Message()
        message.CopyFrom(params.message)
        if not params.configuration.HasField("task_push_notification_config"):
            return await self._hand_in(principal, work, message, context)
        wanted = params.configuration.task_push_notification_config
        await self._door.enter(context, "task.push", self._agent_id)
        if (push := self._push) is None:
            raise PushNotificationNotSupportedError
        await push.check(principal, wanted, message)
        accepted = await self._hand_in(principal, work, message, context)
        await push.announced(principal, accepted.task_id, wanted, message, accepted.seq)
        return accepted

    async def _hand_in(
        self, principal: Principal, work: Work, message: Message, context: ServerCallContext
    ) -> Accepted:
        given = context.state.get(PARENT)
        parent = given if isinstance(given, ParentTask) else None
        if message.task_id:
            return await self._answer(principal, work, message, parent)
        admit_task(context)
        try:
            task_id = await self._runner.start(
                principal,
                work,
                message,
                context_id=message.context_id or None,
                parent=parent,
            )
        except TaskRepeated as repeated:
            return Accepted(repeated.task_id, repeated=True)
        except InvalidInputError as error:
            raise InvalidParamsError(str(error)) from error
        return Accepted(task_id)

    async def _answer(
        self, principal: Principal, work: Work, message: Message, parent: ParentTask | None
    ) -> Accepted:
        row = await task_of(self._runner.log, principal, self._agent_id, message.task_id)
        if message.context_id and message.context_id != row.context_id:
            raise InvalidParamsError(
                f"task {row.task_id} belongs to context {row.context_id}, not to"
                f" {message.context_id}: send its own contextId, or none"
            )
        if self._runner.idempotent:
            had = await self._reader.seq_of(principal, row.task_id, message.message_id)
            if had is not None:
                return Accepted(row.task_id, had, repeated=True)
        if not (row.interrupted or row.ended) and isinstance(work, GrowingWork):
            return await self._follow_up(principal, work, row, message)
        if not row.interrupted:
            doing = "has ended" if row.ended else "is still at work"
            raise UnsupportedOperationError(
                f"task {row.task_id} {doing} ({row.state}) and takes no message: begin a new task"
                f" in context {row.context_id}"
            )
        try:
            seq = await self._runner.resume(principal, work, row, message, parent=parent)
        except LogError:
            raise  # the same answer may be taken when it comes again
        except TaskError as error:
            raise UnsupportedOperationError(str(error)) from error
        return Accepted(row.task_id, seq)

    async def _follow_up(
        self, principal: Principal, work: GrowingWork, row: TaskRow, message: Message
    ) -> Accepted:
        try:
            seq = await FollowUps(self._runner).say(principal, work, row.task_id, message)
        except LogError:
            raise  # the same message may be taken when it comes again
        except (TaskError, InvalidInputError, PlanError) as error:
            raise UnsupportedOperationError(str(error)) from error
        return Accepted(row.task_id, seq)

    def _work(self, principal: Principal) -> Work:
        try:
            return self._work_for(principal)
        except (NotFoundError, ForbiddenError) as error:
            raise InvalidParamsError(f"there is no agent {self._agent_id!r}") from error
