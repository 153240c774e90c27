"""The event log in a SQLite file: the embedded default."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from codin.database import Durability, SqliteDatabase, SqliteTables
from codin.security import Principal
from codin.task.log import _queries, _statements
from codin.task.log._recent import Noted, RecentEvents
from codin.task.log._schema import LOG
from codin.task.log._stored import StoredLog
from codin.task.log.base import LogEvent
from codin.task.notify import LocalNotifier, Notifier


class SqliteEventLog(StoredLog):
    """Open it with ``await SqliteEventLog.open(path)``, or ``over`` a database that others use."""

    statements: ClassVar[Any] = _statements
    queries: ClassVar[Any] = _queries

    def __init__(self, tables: SqliteTables, notifier: Notifier) -> None:
        self.notifier = notifier
        self._tables = tables
        self._recent = RecentEvents()

    @classmethod
    async def open(
        cls,
        path: str | os.PathLike[str],
        *,
        durability: Durability = "process",
        notifier: Notifier | None = None,
    ) -> SqliteEventLog:
        """The log in the file ``path``, which is made, readable by its user only, when it is not
        there.

        Raises:
            LogVersionError: a newer codin made it.
            LogError: it cannot be opened.
        """
        tables = SqliteDatabase(path, durability=durability).tables(LOG, owned=True)
        return cls(await tables.open(), notifier or LocalNotifier())

    @classmethod
    async def over(
        cls, database: SqliteDatabase, *, notifier: Notifier | None = None
    ) -> SqliteEventLog:
        """The log in ``database``, which stays open when the log is closed. Raises as ``open``."""
        return cls(await database.tables(LOG).open(), notifier or LocalNotifier())

    def recent(self, principal: Principal, task_id: str, after: int) -> list[LogEvent]:
        return self._at_hand(self._recent.after(principal, task_id, after))

    def whole(self, principal: Principal, task_id: str) -> tuple[str, list[LogEvent]] | None:
        found = self._recent.whole(principal, task_id)
        if found is None:
            return None
        agent_id, events = found
        given = self._at_hand(events)
        return (agent_id, given) if len(given) == len(events) else None

    async def close(self) -> None:
        await self._tables.close()

    async def _write(
        self, statement: Callable[..., Any], *given: Any, touches: tuple[str, ...] = ()
    ) -> Any:
        found = await self._tables.write(
            lambda connection: statement(connection, *given),
            touches=touches,
            told=self._committed if touches else None,
        )
        return found.result if isinstance(found, Noted) else found

    def _committed(self, touched: set[str], results: list[Any]) -> None:
        """First what there is to read, then who reads it: who is woken must not find the old."""
        for found in results:
            if isinstance(found, Noted):
                self._recent.add(found)
        self.notifier.notify(touched)

    def _read(self, query: Callable[..., Any], *given: Any) -> Awaitable[Any]:
        return self._tables.read(lambda connection: query(connection, *given))
