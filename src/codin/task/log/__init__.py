"""The event log: the contract, and the SQLite file that is the embedded default."""

from codin.task.log.base import (
    Adopt,
    Entry,
    EventLog,
    Kind,
    Lease,
    LogEvent,
    NewTask,
    Pulse,
    StepRow,
    TaskFilter,
    TaskPage,
    TaskRow,
)
from codin.task.log.sqlite import SqliteEventLog

__all__ = [
    "Adopt",
    "Entry",
    "EventLog",
    "Kind",
    "Lease",
    "LogEvent",
    "NewTask",
    "Pulse",
    "SqliteEventLog",
    "StepRow",
    "TaskFilter",
    "TaskPage",
    "TaskRow",
]
