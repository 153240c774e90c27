"""A2A's eleven operations (section 9.4), apart from the binding by which they are asked for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from a2a.server.context import ServerCallContext
from a2a.server.routes.common import serialize_list_tasks_response
from a2a.types import (
    CancelTaskRequest,
    DeleteTaskPushNotificationConfigRequest,
    GetExtendedAgentCardRequest,
    GetTaskPushNotificationConfigRequest,
    GetTaskRequest,
    ListTaskPushNotificationConfigsRequest,
    ListTasksRequest,
    SendMessageRequest,
    SubscribeToTaskRequest,
    Task,
    TaskPushNotificationConfig,
    TaskState,
)
from a2a.utils.errors import InvalidParamsError, TaskNotFoundError
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message as Proto

from codin.task.handler import AgentRequestHandler
from codin.task.updates import TaskUpdate

Json = dict[str, Any]
Ask = Callable[[AgentRequestHandler, Any, ServerCallContext], Awaitable[Json]]
Stream = Callable[[AgentRequestHandler, Any, ServerCallContext], AsyncGenerator[TaskUpdate, None]]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation: what is asked, and what answers, once or by a stream."""

    request: type[Proto]
    ask: Ask | None = None
    stream: Stream | None = None

    def parse(self, params: Mapping[str, Any]) -> Any:
        """The request that the JSON ``params`` says. Fields that are not known are left out, as
        section 5.7 has it.

        Raises:
            InvalidParamsError: it says none.
        """
        if not isinstance(params, Mapping):
            raise InvalidParamsError("params has to be an object")
        _check_names(self.request, params)
        request = self.request()
        try:
            ParseDict(dict(params), request, ignore_unknown_fields=True)
        except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise InvalidParamsError(f"the parameters cannot be read: {error}"[:500]) from error
        except Exception as error:  # protobuf's own ParseError has no base but Exception
            raise InvalidParamsError(f"the parameters cannot be read: {error}"[:500]) from error
        return request


_STATES = frozenset(TaskState.keys())


def _check_names(kind: type[Proto], params: Mapping[str, Any]) -> None:
    """The parser takes a state that it does not know for none at all, and would list all tasks."""
    state = params.get("status") if kind is ListTasksRequest else None
    if isinstance(state, str) and state not in _STATES and not state.isdigit():
        raise InvalidParamsError(f"there is no task state {state[:60]!r}")


async def _cancel(handler: AgentRequestHandler, request: Any, context: ServerCallContext) -> Json:
    return _json(_found(await handler.on_cancel_task(request, context)))


async def _list(handler: AgentRequestHandler, request: Any, context: ServerCallContext) -> Json:
    page = await handler.on_list_tasks(request, context)
    listed: Json = serialize_list_tasks_response(page, request.include_artifacts)
    return listed


async def _create_push(
    handler: AgentRequestHandler, request: Any, context: ServerCallContext
) -> Json:
    return _json(await handler.on_create_task_push_notification_config(request, context))


async def _get_push(handler: AgentRequestHandler, request: Any, context: ServerCallContext) -> Json:
    return _json(await handler.on_get_task_push_notification_config(request, context))


async def _list_push(
    handler: AgentRequestHandler, request: Any, context: ServerCallContext
) -> Json:
    return _json(await handler.on_list_task_push_notification_configs(request, context))


async def _delete_push(
    handler: AgentRequestHandler, request: Any, context: ServerCallContext
) -> Json:
    await handler.on_delete_task_push_notification_config(request, context)
    return {}


async def _card(handler: AgentRequestHandler, request: Any, context: ServerCallContext) -> Json:
    return _json(await handler.on_get_extended_agent_card(request, context))


OPERATIONS: Mapping[str, Operation] = {
    "SendMessage": Operation(SendMessageRequest, ask=AgentRequestHandler.send),
    "SendStreamingMessage": Operation(SendMessageRequest, stream=AgentRequestHandler.send_stream),
    "GetTask": Operation(GetTaskRequest, ask=AgentRequestHandler.get),
    "ListTasks": Operation(ListTasksRequest, ask=_list),
    "CancelTask": Operation(CancelTaskRequest, ask=_cancel),
    "SubscribeToTask": Operation(SubscribeToTaskRequest, stream=AgentRequestHandler.task_stream),
    "CreateTaskPushNotificationConfig": Operation(TaskPushNotificationConfig, ask=_create_push),
    "GetTaskPushNotificationConfig": Operation(GetTaskPushNotificationConfigRequest, ask=_get_push),
    "ListTaskPushNotificationConfigs": Operation(
        ListTaskPushNotificationConfigsRequest, ask=_list_push
    ),
    "DeleteTaskPushNotificationConfig": Operation(
        DeleteTaskPushNotificationConfigRequest, ask=_delete_push
    ),
    "GetExtendedAgentCard": Operation(GetExtendedAgentCardRequest, ask=_card),
}
"""The operations by their names in JSON-RPC and gRPC."""


def _json(message: Proto) -> Json:
    found: Json = MessageToDict(message)
    return found


def _found(task: Task | None) -> Task:
    if task is None:
        raise TaskNotFoundError
    return task
