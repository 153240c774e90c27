"""The event log: the contract, the SQLite file that is the embedded default, and Postgres.

``PostgresEventLog`` is imported when it is first used: it needs ``codin[postgres]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from codin.database import Durability
from codin.task.errors import LogError
from codin.task.log.base import EventLog
from codin.task.log.entries import Adopt, Entry, Kind, LogEvent
from codin.task.log.leases import Lease, Pulse
from codin.task.log.opening import open_log
from codin.task.log.rows import NewTask, StepRow, TaskFilter, TaskPage, TaskRow
from codin.task.log.sqlite import SqliteEventLog

if TYPE_CHECKING:
    from codin.task.log.postgres import PostgresEventLog

__all__ = [
    "Adopt",
    "Durability",
    "Entry",
    "EventLog",
    "Kind",
    "Lease",
    "LogEvent",
    "NewTask",
    "PostgresEventLog",
    "Pulse",
    "SqliteEventLog",
    "StepRow",
    "TaskFilter",
    "TaskPage",
    "TaskRow",
    "open_log",
]


def __getattr__(name: str) -> Any:
    if name != "PostgresEventLog":
        raise AttributeError(f"module 'codin.task.log' has no attribute {name!r}")
    try:
        from codin.task.log.postgres import PostgresEventLog
    except ModuleNotFoundError as error:
        raise LogError(
            f"the Postgres task log needs {error.name}: install codin[postgres]"
        ) from error
    return PostgresEventLog
