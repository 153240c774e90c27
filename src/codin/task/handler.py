"""A2A's operations for one agent, over the log and the runner.

Whatever transport a request came by, who makes it is in the call context's state: see ``door``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
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
    UnsupportedOperationError,
)
from a2a.utils.task import validate_history_length
from google.protobuf.json_format import ParseDict

from codin.agent.base import AgentInfo
from codin.agent.cards import RESUME_EXTENSION
from codin.agent.planning.edits import PlanEdit
from codin.agent.planning.plan import PlanError
from codin.errors import InvalidInputError
from codin.security import DEFAULT_ROLES, Access, Principal, RoleAuthorizer
from codin.task._listing import list_tasks
from codin.task._reading import TaskReader, task_of
from codin.task.door import PARENT, Door
from codin.task.errors import TaskEnded
from codin.task.intake import Intake
from codin.task.log.base import EventLog
from codin.task.log.rows import TaskRow
from codin.task.plan_editing import PlanEditing
from codin.task.projection import Json, TaskProjection
from codin.task.runner import TaskRunner
from codin.task.updates import (
    A2AEvent,
    TaskUpdate,
    resume_position,
    snapshot,
)
from codin.task.work import Work

if TYPE_CHECKING:
    from codin.task.push import PushNotifications

CARD_URL = "codin.card_url"
"""Key, in the call context's state, of the address that the agent's card is to name. A binding sets
it from the address by which the caller came."""

ExtendedCard = Callable[[Principal, str], AgentCard]
"""Makes the card that an authenticated caller may see, for the agent at an address."""


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
        self._runner = runner
        self._log: EventLog = runner.log
        self._reader = TaskReader(runner.log)
        self._info = info or AgentInfo(agent_id, agent_id, agent_id)
        self._door = Door(self._info, access or Access(RoleAuthorizer(DEFAULT_ROLES)))
        self._intake = Intake(
            agent_id, work_for, runner, info=self._info, door=self._door, push=push
        )
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
            accepted = await self._intake.accept(principal, params, context)
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
            accepted = await self._intake.accept(principal, params, context)
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
                await self._runner.control.cancel(principal, row.task_id)
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
            act = self._runner.control.pause if paused else self._runner.control.unpause
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

    @cached_property
    def _step_reader(self) -> TaskReader:
        return TaskReader(self._log.unbounded())

    def _reads(self, context: ServerCallContext) -> TaskReader:
        """What the caller reads by: a step of a goal has its results whole, however large."""
        return self._step_reader if PARENT in context.state else self._reader

    async def _row(self, principal: Principal, task_id: str) -> TaskRow:
        return await task_of(self._log, principal, self.agent_id, task_id)

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
