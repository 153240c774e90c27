"""Tasks: their log, how one is run, and how a goal is planned and dispatched.

The names that need the A2A server's parts are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codin.lazy import lazy_names
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
    from codin.task.chain import CallLimits, CallRefused
    from codin.task.conversation import MemoryConversation
    from codin.task.files import GoalFiles
    from codin.task.goal import ORCHESTRATOR, GoalLimits
    from codin.task.handler import AgentRequestHandler
    from codin.task.log import PostgresEventLog
    from codin.task.manager import ORCHESTRATOR_INFO, TaskManager
    from codin.task.projection import TaskProjection, data_parts, to_stream_response
    from codin.task.runner import TaskRunner
    from codin.task.tasks import Tasks
    from codin.task.transport import InMemoryTransport, in_memory_client
    from codin.task.work import AgentWork, ParentTask, Run, RunServices, Work

_HOMES = {
    "calls": ("LogCallRecorder",),
    "chain": (
        "CallLimits",
        "CallRefused",
    ),
    "conversation": ("MemoryConversation",),
    "files": ("GoalFiles",),
    "goal": (
        "GoalLimits",
        "ORCHESTRATOR",
    ),
    "handler": ("AgentRequestHandler",),
    "log": ("PostgresEventLog",),
    "manager": (
        "ORCHESTRATOR_INFO",
        "TaskManager",
    ),
    "projection": (
        "TaskProjection",
        "data_parts",
        "to_stream_response",
    ),
    "runner": ("TaskRunner",),
    "tasks": ("Tasks",),
    "transport": (
        "InMemoryTransport",
        "in_memory_client",
    ),
    "work": (
        "AgentWork",
        "ParentTask",
        "Run",
        "RunServices",
        "Work",
    ),
}

__all__ = [
    "ORCHESTRATOR",
    "ORCHESTRATOR_INFO",
    "AgentRequestHandler",
    "AgentWork",
    "CallLimits",
    "CallRefused",
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

__getattr__ = lazy_names(__name__, _HOMES)
