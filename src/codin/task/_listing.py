"""A2A's ListTasks (section 3.1.4) over the log."""

from __future__ import annotations

import base64
import json

from a2a.types import ListTasksRequest, ListTasksResponse, Task, TaskState
from a2a.utils.errors import InvalidParamsError
from a2a.utils.task import apply_history_length, validate_history_length, validate_page_size

from codin.security import Principal
from codin.task.log.base import EventLog
from codin.task.log.entries import Kind
from codin.task.log.rows import TaskFilter, TaskRow
from codin.task.projection import TaskProjection

_DEFAULT_PAGE = 50
_ALL = 1_000_000_000

_HISTORY: tuple[Kind, ...] = ("task", "message")
_WITH_ARTIFACTS: tuple[Kind, ...] = (*_HISTORY, "artifact")


async def list_tasks(
    log: EventLog, principal: Principal, agent_id: str, params: ListTasksRequest
) -> ListTasksResponse:
    """The page that ``params`` asks for, newest status first.

    Raises:
        InvalidParamsError: its size, its token or a filter cannot be used.
    """
    validate_history_length(params)
    if params.HasField("page_size"):
        validate_page_size(params.page_size)
    size = params.page_size or _DEFAULT_PAGE
    after = _decode(params.page_token) if params.page_token else None
    page = await log.tasks(principal, _filter(agent_id, params), limit=size, after=after)
    tasks = [await _task(log, principal, row, params) for row in page.tasks]
    return ListTasksResponse(
        tasks=tasks,
        page_size=size,
        total_size=page.total,
        next_page_token=_encode(page.cursor) if page.cursor else "",
    )


def _filter(agent_id: str, params: ListTasksRequest) -> TaskFilter:
    since = None
    if params.HasField("status_timestamp_after"):
        # The log's clock counts whole milliseconds: a task must be found by its own timestamp.
        since = params.status_timestamp_after.ToMilliseconds() / 1e3 - 0.001
    state = TaskState.Name(params.status) if params.status else None
    return TaskFilter(
        agent_id=agent_id, context_id=params.context_id or None, state=state, updated_from=since
    )


async def _task(
    log: EventLog, principal: Principal, row: TaskRow, params: ListTasksRequest
) -> Task:
    from google.protobuf.json_format import ParseDict

    kinds = _WITH_ARTIFACTS if params.include_artifacts else _HISTORY
    events = await log.read(principal, row.task_id, 0, _ALL, kinds=kinds)
    task = TaskProjection(events).task()
    ParseDict(row.status, task.status, ignore_unknown_fields=True)
    return apply_history_length(task, params)


def _encode(cursor: tuple[float, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(cursor).encode()).decode().rstrip("=")


def _decode(token: str) -> tuple[float, str]:
    try:
        found = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        updated, task_id = found
        return float(updated), str(task_id)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InvalidParamsError(
            "the page token is not one that this server gave: begin without one"
        ) from error
