"""Tasks: their log, how one is run, and how a goal is planned and dispatched.

The names that need the A2A server's parts are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from codin.task.errors import (
    FencedError,
    LogError,
    LogVersionError,
    TaskEnded,
    TaskError,
    TaskExists,
    UnknownTask,
)
from codin.task.log import EventLog, LogEvent, SqliteEventLog

if TYPE_CHECKING:
    from codin.task.calls import LogCallRecorder
    from codin.task.handler import AgentRequestHandler
    from codin.task.projection import TaskProjection, data_parts, to_stream_response
    from codin.task.runner import TaskRunner
    from codin.task.work import AgentWork, ParentTask, Run, RunServices, Work

_HOMES = {
    "AgentRequestHandler": "codin.task.handler",
    "AgentWork": "codin.task.work",
    "LogCallRecorder": "codin.task.calls",
    "ParentTask": "codin.task.work",
    "Run": "codin.task.work",
    "RunServices": "codin.task.work",
    "TaskProjection": "codin.task.projection",
    "TaskRunner": "codin.task.runner",
    "Work": "codin.task.work",
    "data_parts": "codin.task.projection",
    "to_stream_response": "codin.task.projection",
}

__all__ = [
    "AgentRequestHandler",
    "AgentWork",
    "EventLog",
    "FencedError",
    "LogCallRecorder",
    "LogError",
    "LogEvent",
    "LogVersionError",
    "ParentTask",
    "Run",
    "RunServices",
    "SqliteEventLog",
    "TaskEnded",
    "TaskError",
    "TaskExists",
    "TaskProjection",
    "TaskRunner",
    "UnknownTask",
    "Work",
    "data_parts",
    "to_stream_response",
]


def __getattr__(name: str) -> Any:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'codin.task' has no attribute {name!r}") from None
    return getattr(import_module(home), name)
