"""The event log of whichever database there is."""

from __future__ import annotations

from codin.database import Database, SqliteDatabase
from codin.task.artifacts import Artifacts, open_artifacts
from codin.task.log.base import EventLog
from codin.task.log.sqlite import SqliteEventLog
from codin.task.notify import Notifier


async def open_log(
    database: Database, *, notifier: Notifier | None = None, artifacts: Artifacts | None = None
) -> EventLog:
    """The event log in ``database``, which stays open when the log is closed. Its large contents
    are in ``artifacts``, those of the database when not given.

    Raises:
        LogVersionError: a newer codin made it.
        LogError: it cannot be opened.
        TypeError: there is no log for such a database.
    """
    log = await _log(database, notifier)
    log.artifacts = artifacts or open_artifacts(database)
    return log


async def _log(database: Database, notifier: Notifier | None) -> EventLog:
    if isinstance(database, SqliteDatabase):
        return await SqliteEventLog.over(database, notifier=notifier)
    from codin.database.postgres import PostgresDatabase
    from codin.task.log.postgres import PostgresEventLog

    if isinstance(database, PostgresDatabase):
        return await PostgresEventLog.over(database, notifier=notifier)
    raise TypeError(f"there is no task log for a {type(database).__name__}")
