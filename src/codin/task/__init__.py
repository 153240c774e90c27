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
    TaskRepeated,
    UnknownTask,
    UnstorableName,
)
from codin.task.log import EventLog, LogEvent, SqliteEventLog

if TYPE_CHECKING:
    from codin.task.calls import LogCallRecorder
    from codin.task.conversation import MemoryConversation
    from codin.task.files import GoalFiles
    from codin.task.goal import ORCHESTRATOR, GoalLimits
    from codin.task.handler import AgentRequestHandler
    from codin.task.log.postgres import PostgresEventLog
    from codin.task.manager import ORCHESTRATOR_INFO, TaskManager
    from codin.task.projection import TaskProjection, data_parts, to_stream_response
    from codin.task.runner import TaskRunner
    from codin.task.tasks import Tasks
    from codin.task.transport import InMemoryTransport, in_memory_client
    from codin.task.work import AgentWork, ParentTask, Run, RunServices, Work

_HOMES = {
    "AgentRequestHandler": "codin.task.handler",
    "AgentWork": "codin.task.work",
    "GoalFiles": "codin.task.files",
    "GoalLimits": "codin.task.goal",
    "InMemoryTransport": "codin.task.transport",
    "LogCallRecorder": "codin.task.calls",
    "MemoryConversation": "codin.task.conversation",
    "ORCHESTRATOR": "codin.task.goal",
    "ORCHESTRATOR_INFO": "codin.task.manager",
    "ParentTask": "codin.task.work",
    "PostgresEventLog": "codin.task.log",
    "Run": "codin.task.work",
    "RunServices": "codin.task.work",
    "TaskManager": "codin.task.manager",
    "TaskProjection": "codin.task.projection",
    "TaskRunner": "codin.task.runner",
    "Tasks": "codin.task.tasks",
    "Work": "codin.task.work",
    "data_parts": "codin.task.projection",
    "in_memory_client": "codin.task.transport",
    "to_stream_response": "codin.task.projection",
}

__all__ = [
    "ORCHESTRATOR",
    "ORCHESTRATOR_INFO",
    "AgentRequestHandler",
    "AgentWork",
    "EventLog",
    "FencedError",
    "GoalFiles",
    "GoalLimits",
    "InMemoryTransport",
    "LogCallRecorder",
    "LogError",
    "LogEvent",
    "LogVersionError",
    "MemoryConversation",
    "ParentTask",
    "PostgresEventLog",
    "Run",
    "RunServices",
    "SqliteEventLog",
    "TaskEnded",
    "TaskError",
    "TaskExists",
    "TaskManager",
    "TaskProjection",
    "TaskRepeated",
    "TaskRunner",
    "Tasks",
    "UnknownTask",
    "UnstorableName",
    "Work",
    "data_parts",
    "in_memory_client",
    "to_stream_response",
]


def __getattr__(name: str) -> Any:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'codin.task' has no attribute {name!r}") from None
    return getattr(import_module(home), name)
