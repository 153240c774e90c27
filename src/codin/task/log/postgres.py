"""The event log in Postgres: for gateways on many machines.

Any number of processes open the same database, and each serves every task. Rows are locked by the
statements that change them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import psycopg

from codin.database.postgres import CONNECTIONS, PostgresDatabase, PostgresTables
from codin.task.errors import LogError
from codin.task.log import _pg_queries, _pg_statements
from codin.task.log._pg_wakes import Wakes
from codin.task.log._recent import Noted
from codin.task.log._schema import LOG
from codin.task.log._stored import StoredLog
from codin.task.notify import LocalNotifier, Notifier

_WAKE_SECONDS = 10.0
"""How long is waited until wake-ups of others arrive."""


class PostgresEventLog(StoredLog):
    """Open it with ``await PostgresEventLog.open(url)``, or ``over`` a database that others use. It
    belongs to the event loop that opened it, and has two connections of its own for wake-ups."""

    statements: ClassVar[Any] = _pg_statements
    queries: ClassVar[Any] = _pg_queries

    def __init__(self, tables: PostgresTables, wakes: Wakes, notifier: Notifier) -> None:
        super().__init__()
        self.notifier = notifier
        self._tables = tables
        self._wakes = wakes

    @classmethod
    async def open(
        cls, url: str, *, notifier: Notifier | None = None, connections: int = CONNECTIONS
    ) -> PostgresEventLog:
        """The log in the database ``url`` (``postgresql://user:password@host/name``, or any other
        libpq connection string), in its schema ``codin``, which is made when it is not there.

        Raises:
            LogVersionError: a newer codin made it.
            LogError: it cannot be opened.
        """
        database = PostgresDatabase(url, connections=connections)
        return await cls._begun(database, database.tables(LOG, owned=True), notifier)

    @classmethod
    async def over(
        cls, database: PostgresDatabase, *, notifier: Notifier | None = None
    ) -> PostgresEventLog:
        """The log in ``database``, which stays open when the log is closed. Raises as ``open``."""
        return await cls._begun(database, database.tables(LOG), notifier)

    @classmethod
    async def _begun(
        cls, database: PostgresDatabase, tables: PostgresTables, notifier: Notifier | None
    ) -> PostgresEventLog:
        notifier = notifier or LocalNotifier()
        log = cls(await tables.open(), Wakes(database, notifier), notifier)
        try:
            async with asyncio.timeout(_WAKE_SECONDS):
                await log._wakes.start()
        except BaseException as error:
            await log.close()
            if isinstance(error, (psycopg.Error, OSError)):
                raise LogError(
                    f"{LOG.title} in {database.place} cannot be opened: {error}"
                ) from error
            raise
        return log

    async def close(self) -> None:
        await self._tables.close()
        await self._wakes.close()

    async def _write(
        self, statement: Callable[..., Any], *given: Any, touches: tuple[str, ...] = ()
    ) -> Any:
        try:
            result = await self._read(statement, *given)
        except asyncio.CancelledError:
            for task_id in touches:  # it may have been committed
                self._recent.drop(task_id)
            self._wakes.tell(*touches)
            raise
        if isinstance(result, Noted):
            self._recent.add(result)
        if touches:
            self._wakes.tell(*touches)
        return result

    def _read(self, query: Callable[..., Any], *given: Any) -> Awaitable[Any]:
        return self._tables.run(lambda connection: query(connection, *given))
