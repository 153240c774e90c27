"""A2A's operations for one agent, over the log and the runner.

Whatever transport a request came by, who makes it is in the call context's state: see ``door``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from a2a.extensions.common import HTTP_EXTENSION_HEADER
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers import RequestHandler
from a2a.types import (
    AgentCard,
    CancelTaskRequest,
    DeleteTaskPushNotificationConfigRequest,
    GetExtendedAgentCardRequest,
    GetTaskPushNotificationConfigRequest,
    GetTaskRequest,
    ListTaskPushNotificationConfigsRequest,
    ListTaskPushNotificationConfigsResponse,
    ListTasksRequest,
    ListTasksResponse,
    Message,
    SendMessageConfiguration,
    SendMessageRequest,
    SendMessageResponse,
    SubscribeToTaskRequest,
    Task,
    TaskPushNotificationConfig,
)
from a2a.utils.errors import (
    ExtendedAgentCardNotConfiguredError,
    InvalidParamsError,
    PushNotificationNotSupportedError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from a2a.utils.task import validate_history_length
from google.protobuf.json_format import ParseDict

from codin.agent.base import AgentInfo
from codin.agent.cards import RESUME_EXTENSION
from codin.agent.planning.edits import PlanEdit
from codin.agent.planning.plan import PlanError
from codin.errors import InvalidInputError, NotFoundError
from codin.security import DEFAULT_ROLES, Access, ForbiddenError, Principal, RoleAuthorizer
from codin.task._listing import list_tasks
from codin.task._reading import TaskReader
from codin.task._requests import check_message, check_modes
from codin.task.door import PARENT, Door, admit_task
from codin.task.errors import LogError, TaskEnded, TaskError, TaskRepeated, UnknownTask
from codin.task.following_up import FollowUps, GrowingWork
from codin.task.log.base import EventLog, TaskRow
from codin.task.plan_editing import PlanEditing
from codin.task.projection import Json, TaskProjection
from codin.task.runner import TaskRunner
from codin.task.updates import (
    A2AEvent,
    TaskUpdate,
    resume_position,
    snapshot,
)
from codin.task.work import ParentTask, Work

if TYPE_CHECKING:
    from codin.task.push import PushNotifications

CARD_URL = "codin.card_url"
"""Key, in the call context's state, of the address that the agent's card is to name. A binding sets
it from the address by which the caller came."""

ExtendedCard = Callable[[Principal, str], AgentCard]
"""Makes the card that an authenticated caller may see, for the agent at an address."""


@dataclass(frozen=True, slots=True)
class _Accepted:
    """The task that a message is for, and the seq after which its news are; ``repeated`` when the
    task had the message already."""

    task_id: str
    seq: int = 0
    repeated: bool = False


class AgentRequestHandler(RequestHandler):
    """Answers for the agent ``agent_id``.

    ``work_for`` gives what does the agent's tasks, or raises ``NotFoundError`` when the principal
    may not use it. A task goes on when the client that sent it leaves; any number of clients see
    its events, each all of them, in the order of the log. Without ``push`` there are no push
    notifications. ``access`` is asked whether the caller may, before anything is looked up, and
    raises ``ForbiddenError``; without it the default roles count, and nothing is written down.
    """

    def __init__(
        self,
        agent_id: str,
        work_for: Callable[[Principal], Work],
        runner: TaskRunner,
        *,
        info: AgentInfo | None = None,
        extended_card: ExtendedCard | None = None,
        push: PushNotifications | None = None,
        access: Access | None = None,
    ) -> None:
        self.agent_id = agent_id
        self._push = push
        self._work_for = work_for
        self._runner = runner
        self._log: EventLog = runner.log
        self._reader = TaskReader(runner.log)
        self._info = info or AgentInfo(agent_id, agent_id, agent_id)
        self._door = Door(self._info, access or Access(RoleAuthorizer(DEFAULT_ROLES)))
        self.extended_card = extended_card

    async def on_message_send(
        self, params: SendMessageRequest, context: ServerCallContext
    ) -> Task | Message:
        answer: SendMessageResponse = ParseDict(
            await self.send(params, context), SendMessageResponse(), ignore_unknown_fields=True
        )
        return answer.task if answer.HasField("task") else answer.message

    async def send(self, params: SendMessageRequest, context: ServerCallContext) -> Json:
        """SendMessage: A2A's JSON of its response, to be read only."""
        principal = self._door.caller(context)
        async with self._door.creating(principal, params, context):
            accepted = await self._accept(principal, params, context)
        task_id, after = accepted.task_id, accepted.seq
        if accepted.repeated:  # what stopped it since then is no news
            after = (await self._row(principal, task_id)).last_seq
        reader = self._reads(context)
        if params.configuration.return_immediately:
            projection = await reader.project(principal, task_id)
        else:
            projection = await reader.settled(principal, task_id, after)
        reply = projection.reply
        if reply is not None:
            return {"message": reply}
        return {"task": projection.json(_history_length(params.configuration))}

    async def send_stream(
        self, params: SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[TaskUpdate, None]:
        """SendStreamingMessage, each event with its number: the task, then what comes of it.

        Raises:
            A2AError: before the first event, when the message is not taken.
        """
        principal = self._door.caller(context)
        after = resume_position(context)
        async with self._door.creating(principal, params, context):
            accepted = await self._accept(principal, params, context)
        task_id, reader = accepted.task_id, self._reads(context)
        if after is None or not accepted.repeated:
            projection = await reader.project(principal, task_id, upto=max(accepted.seq, 1))
            yield snapshot(projection, _history_length(params.configuration))
            after = projection.seq
        rest = (
            reader.resumed(principal, task_id, after)
            if accepted.repeated
            else reader.updates(principal, task_id, projection.context_id, after)
        )
        async with aclosing(rest) as updates:
            async for update in updates:
                yield update

    async def task_stream(
        self, params: SubscribeToTaskRequest, context: ServerCallContext
    ) -> AsyncGenerator[TaskUpdate, None]:
        """SubscribeToTask, each event with its number: the task as it stands, then its updates; or
        what a caller that resumes has missed, and then the updates.

        Raises:
            A2AError: before the first event, when the task cannot be subscribed to.
        """
        principal = await self._door.enter(context, "task.read", params.id)
        after = resume_position(context)
        row, reader = await self._row(principal, params.id), self._reads(context)
        if after is None:
            if row.ended:
                raise UnsupportedOperationError(
                    f"task {row.task_id} has ended ({row.state}): get it instead of subscribing"
                )
            projection = await reader.project(principal, params.id, upto=row.last_seq)
            yield snapshot(projection)
            rest = reader.updates(principal, row.task_id, row.context_id, row.last_seq)
        else:
            rest = reader.resumed(principal, row.task_id, after)
        async with aclosing(rest) as updates:
            async for update in updates:
                yield update

    async def on_message_send_stream(
        self, params: SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[A2AEvent, None]:
        async with aclosing(self.send_stream(params, context)) as updates:
            async for update in updates:
                yield update.event

    async def on_subscribe_to_task(
        self, params: SubscribeToTaskRequest, context: ServerCallContext
    ) -> AsyncGenerator[A2AEvent, None]:
        async with aclosing(self.task_stream(params, context)) as updates:
            async for update in updates:
                yield update.event

    async def on_get_task(self, params: GetTaskRequest, context: ServerCallContext) -> Task | None:
        found: Task = ParseDict(await self.get(params, context), Task(), ignore_unknown_fields=True)
        return found

    async def get(self, params: GetTaskRequest, context: ServerCallContext) -> Json:
        """GetTask: A2A's JSON of the task, to be read only."""
        principal = await self._door.enter(context, "task.read", params.id)
        validate_history_length(params)
        whole = None if PARENT in context.state else self._log.whole(principal, params.id)
        if whole is not None and whole[0] == self.agent_id:
            projection = TaskProjection(whole[1])
        else:
            row = await self._row(principal, params.id)
            projection = await self._reads(context).project(principal, row.task_id)
        return projection.json(_history_length(params))

    async def on_cancel_task(
        self, params: CancelTaskRequest, context: ServerCallContext
    ) -> Task | None:
        principal = self._door.caller(context)
        async with self._door.doing(principal, "task.cancel", params.id, context):
            row = await self._row(principal, params.id)
            try:
                await self._runner.cancel(principal, row.task_id)
            except TaskEnded as error:
                raise TaskNotCancelableError(str(error)) from error
        return (await self._reader.project(principal, row.task_id)).task()

    async def pause(self, task_id: str, context: ServerCallContext, *, paused: bool) -> TaskRow:
        """Have a task, and what was begun for it, run by nobody, or again. Who may cancel it may.

        Raises:
            A2AError: there is no such task, or it has ended.
        """
        principal = self._door.caller(context)
        async with self._door.doing(principal, "task.cancel", task_id, context):
            row = await self._row(principal, task_id)
            act = self._runner.pause if paused else self._runner.unpause
            try:
                return await act(principal, row.task_id)
            except TaskEnded as error:
                raise TaskNotCancelableError(str(error)) from error

    async def edit_plan(
        self,
        task_id: str,
        edit: PlanEdit,
        agents: Sequence[AgentInfo],
        context: ServerCallContext,
    ) -> None:
        """Change the plan of a goal that is at work; who may cancel it may. ``agents`` are those
        that the caller may use.

        Raises:
            A2AError: there is no such goal, it has ended, or its plan cannot be changed so.
        """
        principal = self._door.caller(context)
        async with self._door.doing(principal, "task.cancel", task_id, context):
            row = await self._row(principal, task_id)
            try:
                await PlanEditing(self._runner).edit(principal, row.task_id, edit, agents)
            except TaskEnded as error:
                raise TaskNotCancelableError(str(error)) from error
            except (InvalidInputError, PlanError) as error:
                raise InvalidParamsError(str(error)) from error

    async def on_list_tasks(
        self, params: ListTasksRequest, context: ServerCallContext
    ) -> ListTasksResponse:
        principal = await self._door.enter(context, "task.read")
        return await list_tasks(self._log, principal, self.agent_id, params)

    async def _accept(
        self, principal: Principal, params: SendMessageRequest, context: ServerCallContext
    ) -> _Accepted:
        work = self._work(principal)
        check_message(params)
        check_modes(params.message, self._info.input_modes)
        message = Message()
        message.CopyFrom(params.message)
        if not params.configuration.HasField("task_push_notification_config"):
            return await self._hand_in(principal, work, message, context)
        wanted = params.configuration.task_push_notification_config
        await self._door.enter(context, "task.push", self.agent_id)
        push = self._pushing()
        await push.check(principal, wanted, message)
        accepted = await self._hand_in(principal, work, message, context)
        await push.announced(principal, accepted.task_id, wanted, message, accepted.seq)
        return accepted

    async def _hand_in(
        self, principal: Principal, work: Work, message: Message, context: ServerCallContext
    ) -> _Accepted:
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
            return _Accepted(repeated.task_id, repeated=True)
        except InvalidInputError as error:
            raise InvalidParamsError(str(error)) from error
        return _Accepted(task_id)

    async def _answer(
        self, principal: Principal, work: Work, message: Message, parent: ParentTask | None
    ) -> _Accepted:
        row = await self._row(principal, message.task_id)
        if message.context_id and message.context_id != row.context_id:
            raise InvalidParamsError(
                f"task {row.task_id} belongs to context {row.context_id}, not to"
                f" {message.context_id}: send its own contextId, or none"
            )
        if self._runner.idempotent:
            had = await self._reader.seq_of(principal, row.task_id, message.message_id)
            if had is not None:
                return _Accepted(row.task_id, had, repeated=True)
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
        return _Accepted(row.task_id, seq)

    async def _follow_up(
        self, principal: Principal, work: GrowingWork, row: TaskRow, message: Message
    ) -> _Accepted:
        try:
            seq = await FollowUps(self._runner).say(principal, work, row.task_id, message)
        except LogError:
            raise  # the same message may be taken when it comes again
        except (TaskError, InvalidInputError, PlanError) as error:
            raise UnsupportedOperationError(str(error)) from error
        return _Accepted(row.task_id, seq)

    @cached_property
    def _step_reader(self) -> TaskReader:
        return TaskReader(self._log.unbounded())

    def _reads(self, context: ServerCallContext) -> TaskReader:
        """What the caller reads by: a step of a goal has its results whole, however large."""
        return self._step_reader if PARENT in context.state else self._reader

    async def _row(self, principal: Principal, task_id: str) -> TaskRow:
        try:
            row = await self._log.task(principal, task_id)
        except UnknownTask as error:
            raise TaskNotFoundError(str(error)) from error
        if row.agent_id != self.agent_id:
            raise TaskNotFoundError(str(UnknownTask(task_id)))
        return row

    def _work(self, principal: Principal) -> Work:
        try:
            return self._work_for(principal)
        except (NotFoundError, ForbiddenError) as error:
            raise InvalidParamsError(f"there is no agent {self.agent_id!r}") from error

    async def on_create_task_push_notification_config(
        self, params: TaskPushNotificationConfig, context: ServerCallContext
    ) -> TaskPushNotificationConfig:
        principal, push, task_id = self._door.caller(context), self._pushing(), params.task_id
        to = _host_of(params.url)
        async with self._door.doing(principal, "task.push", task_id, context, to=to):
            row = await self._row(principal, params.task_id)
            return await push.create(principal, row, params)

    async def on_get_task_push_notification_config(
        self, params: GetTaskPushNotificationConfigRequest, context: ServerCallContext
    ) -> TaskPushNotificationConfig:
        push = self._pushing()
        principal = await self._door.enter(context, "task.push", params.task_id)
        return await push.get(principal, await self._row(principal, params.task_id), params)

    async def on_list_task_push_notification_configs(
        self, params: ListTaskPushNotificationConfigsRequest, context: ServerCallContext
    ) -> ListTaskPushNotificationConfigsResponse:
        push = self._pushing()
        principal = await self._door.enter(context, "task.push", params.task_id)
        return await push.list(principal, await self._row(principal, params.task_id), params)

    async def on_delete_task_push_notification_config(
        self, params: DeleteTaskPushNotificationConfigRequest, context: ServerCallContext
    ) -> None:
        principal, push, task_id = self._door.caller(context), self._pushing(), params.task_id
        async with self._door.doing(principal, "task.push", task_id, context, deleted=params.id):
            await push.delete(principal, await self._row(principal, params.task_id), params)

    def _pushing(self) -> PushNotifications:
        if self._push is None:
            raise PushNotificationNotSupportedError
        return self._push

    async def on_get_extended_agent_card(
        self, params: GetExtendedAgentCardRequest, context: ServerCallContext
    ) -> AgentCard:
        principal = await self._door.enter(context, "card.extended", self.agent_id)
        if self.extended_card is None:
            raise UnsupportedOperationError("this agent has no extended card")
        url = context.state.get(CARD_URL)
        if not isinstance(url, str):
            raise ExtendedAgentCardNotConfiguredError(
                "the binding does not say at which address the agent is: ask over another"
            )
        return self.extended_card(principal, url)

    def activated(self, context: ServerCallContext) -> dict[str, str]:
        """The header that tells which of the extensions that the caller named are at work."""
        known = {RESUME_EXTENSION, *self._info.required_extensions}
        found = sorted(known & context.requested_extensions)
        return {HTTP_EXTENSION_HEADER: ", ".join(found)} if found else {}


def _history_length(asked: SendMessageConfiguration | GetTaskRequest) -> int | None:
    return asked.history_length if asked.HasField("history_length") else None


def _host_of(url: str) -> str:
    """What may be written down of an address: what comes after the host is often a secret."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
