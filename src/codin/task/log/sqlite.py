"""The event log in a SQLite file: the embedded default."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from codin.database import Durability, SqliteDatabase, SqliteTables
from codin.task.log import _queries, _statements
from codin.task.log._recent import Noted
from codin.task.log._schema import LOG
from codin.task.log._stored import StoredLog
from codin.task.notify import LocalNotifier, Notifier


class SqliteEventLog(StoredLog):
    """Open it with ``await SqliteEventLog.open(path)``, or ``over`` a database that others use."""

    statements: ClassVar[Any] = _statements
    queries: ClassVar[Any] = _queries

    def __init__(self, tables: SqliteTables, notifier: Notifier) -> None:
        super().__init__()
        self.notifier = notifier
        self._tables = tables

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

    async def close(self) -> None:
        await self._tables.close()

    async def _write(
        self, statement: Callable[..., Any], *given: Any, touches: tuple[str, ...] = ()
    ) -> Any:
        return await self._tables.write(
            lambda connection: statement(connection, *given),
            touches=touches,
            told=self._committed if touches else None,
        )

    def _committed(self, touched: set[str], results: list[Any]) -> None:
        """First what there is to read, then who reads it: who is woken must not find the old."""
        for found in results:
            if isinstance(found, Noted):
                self._recent.add(found)
        self.notifier.notify(touched)

    def _read(self, query: Callable[..., Any], *given: Any) -> Awaitable[Any]:
        return self._tables.read(lambda connection: query(connection, *given))
