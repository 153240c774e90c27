"""A2A's operations for one agent, over the log and the runner.

Whatever transport a request came by, its principal is in the call context's state under
``PRINCIPAL``; without one nothing is answered.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection

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
    SendMessageRequest,
    SubscribeToTaskRequest,
    Task,
    TaskArtifactUpdateEvent,
    TaskPushNotificationConfig,
    TaskStatusUpdateEvent,
)
from a2a.utils.errors import (
    InvalidParamsError,
    InvalidRequestError,
    PushNotificationNotSupportedError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from a2a.utils.task import apply_history_length, validate_history_length

from codin.errors import NotFoundError
from codin.security import ForbiddenError, Principal
from codin.task._listing import list_tasks
from codin.task._requests import check_message, event_of
from codin.task.errors import TaskEnded, TaskError, UnknownTask
from codin.task.log.base import EventLog, TaskRow
from codin.task.log.follow import follow
from codin.task.projection import TaskProjection
from codin.task.runner import TaskRunner
from codin.task.states import INTERRUPTED, TERMINAL
from codin.task.work import ParentTask, Work

PRINCIPAL = "principal"
PARENT = "codin.parent"
"""Key of the ``ParentTask`` in the call context's state. Only the in-memory transport sets it: what
comes over a wire cannot make itself a step of somebody's goal."""

A2AEvent = Message | Task | TaskStatusUpdateEvent | TaskArtifactUpdateEvent

_STOPS = TERMINAL | INTERRUPTED


class AgentRequestHandler(RequestHandler):
    """Answers for the agent ``agent_id``.

    ``work_for`` gives what does the agent's tasks, or raises ``NotFoundError`` when the principal
    may not use it. A task goes on when the client that sent it leaves; any number of clients see
    its events, each all of them, in the order of the log.
    """

    def __init__(
        self, agent_id: str, work_for: Callable[[Principal], Work], runner: TaskRunner
    ) -> None:
        self.agent_id = agent_id
        self._work_for = work_for
        self._runner = runner
        self._log: EventLog = runner.log

    async def on_message_send(
        self, params: SendMessageRequest, context: ServerCallContext
    ) -> Task | Message:
        principal = _principal(context)
        task_id, after = await self._accept(principal, params, context)
        if not params.configuration.return_immediately:
            async for _ in follow(self._log, principal, task_id, after=after, until=_STOPS):
                pass
        projection = await self._project(principal, task_id)
        return apply_history_length(projection.task(), params.configuration)

    async def on_message_send_stream(
        self, params: SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[A2AEvent, None]:
        principal = _principal(context)
        task_id, after = await self._accept(principal, params, context)
        projection = await self._project(principal, task_id, upto=max(after, 1))
        yield apply_history_length(projection.task(), params.configuration)
        async for event in self._updates(principal, projection):
            yield event

    async def on_subscribe_to_task(
        self, params: SubscribeToTaskRequest, context: ServerCallContext
    ) -> AsyncGenerator[A2AEvent, None]:
        principal = _principal(context)
        row = await self._row(principal, params.id)
        if row.ended:
            raise UnsupportedOperationError(
                f"task {row.task_id} has ended ({row.state}): get it instead of subscribing to it"
            )
        projection = await self._project(principal, params.id, upto=row.last_seq)
        yield projection.task()
        # Who subscribes to a task that waits for an answer wants to see what comes of it.
        until = TERMINAL if row.interrupted else _STOPS
        async for event in self._updates(principal, projection, until):
            yield event

    async def on_get_task(self, params: GetTaskRequest, context: ServerCallContext) -> Task | None:
        principal = _principal(context)
        validate_history_length(params)
        row = await self._row(principal, params.id)
        projection = await self._project(principal, row.task_id)
        return apply_history_length(projection.task(), params)

    async def on_cancel_task(
        self, params: CancelTaskRequest, context: ServerCallContext
    ) -> Task | None:
        principal = _principal(context)
        row = await self._row(principal, params.id)
        try:
            await self._runner.cancel(principal, row.task_id)
        except TaskEnded as error:
            raise TaskNotCancelableError(str(error)) from error
        return (await self._project(principal, row.task_id)).task()

    async def on_list_tasks(
        self, params: ListTasksRequest, context: ServerCallContext
    ) -> ListTasksResponse:
        return await list_tasks(self._log, _principal(context), self.agent_id, params)

    async def _accept(
        self, principal: Principal, params: SendMessageRequest, context: ServerCallContext
    ) -> tuple[str, int]:
        """The task that the message is for, and the seq after which its news are."""
        work = self._work(principal)
        check_message(params)
        message = Message()
        message.CopyFrom(params.message)
        if message.task_id:
            return message.task_id, await self._answer(principal, work, message)
        parent = context.state.get(PARENT)
        task_id = await self._runner.start(
            principal,
            work,
            message,
            context_id=message.context_id or None,
            parent=parent if isinstance(parent, ParentTask) else None,
        )
        return task_id, 0

    async def _answer(self, principal: Principal, work: Work, message: Message) -> int:
        row = await self._row(principal, message.task_id)
        if message.context_id and message.context_id != row.context_id:
            raise InvalidParamsError(
                f"task {row.task_id} belongs to context {row.context_id}, not to"
                f" {message.context_id}: send its own contextId, or none"
            )
        if not row.interrupted:
            doing = "has ended" if row.ended else "is still at work"
            raise UnsupportedOperationError(
                f"task {row.task_id} {doing} ({row.state}) and takes no message: begin a new task"
                f" in context {row.context_id}"
            )
        try:
            return await self._runner.resume(principal, work, row, message)
        except TaskError as error:
            raise UnsupportedOperationError(str(error)) from error

    async def _updates(
        self, principal: Principal, seen: TaskProjection, until: Collection[str] = _STOPS
    ) -> AsyncGenerator[A2AEvent, None]:
        task = seen.task()
        async for event in follow(self._log, principal, task.id, after=seen.seq, until=until):
            shown = event_of(event, task.context_id)
            if shown is not None:
                yield shown

    async def _project(
        self, principal: Principal, task_id: str, *, upto: int | None = None
    ) -> TaskProjection:
        projection = TaskProjection()
        while upto is None or projection.seq < upto:
            limit = 500 if upto is None else min(500, upto - projection.seq)
            events = await self._log.read(principal, task_id, projection.seq, limit)
            for event in events:
                projection.apply(event)
            if not events:
                break
        return projection

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
        raise PushNotificationNotSupportedError

    async def on_get_task_push_notification_config(
        self, params: GetTaskPushNotificationConfigRequest, context: ServerCallContext
    ) -> TaskPushNotificationConfig:
        raise PushNotificationNotSupportedError

    async def on_list_task_push_notification_configs(
        self, params: ListTaskPushNotificationConfigsRequest, context: ServerCallContext
    ) -> ListTaskPushNotificationConfigsResponse:
        raise PushNotificationNotSupportedError

    async def on_delete_task_push_notification_config(
        self, params: DeleteTaskPushNotificationConfigRequest, context: ServerCallContext
    ) -> None:
        raise PushNotificationNotSupportedError

    async def on_get_extended_agent_card(
        self, params: GetExtendedAgentCardRequest, context: ServerCallContext
    ) -> AgentCard:
        raise UnsupportedOperationError("this agent has no extended card")


def _principal(context: ServerCallContext) -> Principal:
    principal = context.state.get(PRINCIPAL)
    if not isinstance(principal, Principal):
        raise InvalidRequestError("the call does not say who makes it: authenticate first")
    return principal
