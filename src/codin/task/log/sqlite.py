"""The event log in a SQLite file: the embedded default.

Write-ahead log, one writer thread that commits in groups, readers on connections of their own. What
was acknowledged survives ``kill -9`` of the process; with ``durability="full"`` (each commit waits
for the disk) a power loss too.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeVar

from codin.private_file import opening
from codin.security import Principal
from codin.task.errors import LogError
from codin.task.log import _queries as queries
from codin.task.log import _statements as statements
from codin.task.log._schema import migrate
from codin.task.log._writer import Writer
from codin.task.log.base import (
    READ_LIMIT,
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
from codin.task.notify import LocalNotifier, Notifier

T = TypeVar("T")

Durability = Literal["process", "full"]
"""What an acknowledged write survives: the death of this process, or a loss of power too."""

_SYNCHRONOUS: dict[Durability, str] = {"process": "NORMAL", "full": "FULL"}

_READERS = 4
_BUSY_MS = 10_000
"""How long a writer of another process is waited for."""


class SqliteEventLog(EventLog):
    """Open it with ``await SqliteEventLog.open(path)``."""

    def __init__(self, path: Path, durability: Durability, notifier: Notifier):
        self.notifier = notifier
        self._path = path
        self._local = threading.local()
        self._open_readers: list[sqlite3.Connection] = []
        with opening(path):
            connection = _connect(path)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[durability]}")
                migrate(connection, str(path))
            except BaseException:
                connection.close()
                raise
        self._writer = Writer(connection, notifier.notify)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="codin-log-reader")
        self._closed = False

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
        place = Path(path)
        try:
            return await asyncio.to_thread(cls, place, durability, notifier or LocalNotifier())
        except (sqlite3.Error, OSError) as error:
            raise LogError(f"the task log {place} cannot be opened: {error}") from error

    async def create(
        self,
        principal: Principal,
        task: NewTask,
        first: Entry,
        *,
        owner: str,
        ttl: float,
        dedupe: str | None = None,
    ) -> Lease:
        return await self._writer.run(
            lambda connection: statements.create(
                connection, principal, task, first, owner=owner, ttl=ttl, dedupe=dedupe
            )
        )

    async def append(
        self, lease: Lease, entries: Sequence[Entry | Adopt], *, steps: Sequence[StepRow] = ()
    ) -> int:
        return await self._writer.run(
            lambda connection: statements.append(connection, lease, entries, steps)
        )

    async def claim(
        self,
        principal: Principal,
        task_id: str,
        *,
        owner: str,
        ttl: float,
        dead: str | None = None,
    ) -> Lease | None:
        return await self._writer.run(
            lambda connection: statements.claim(
                connection, principal, task_id, owner=owner, ttl=ttl, dead=dead
            )
        )

    async def claim_lost(
        self, *, owner: str, ttl: float, limit: int = 100
    ) -> list[tuple[TaskRow, Lease]]:
        return await self._writer.run(
            lambda connection: statements.claim_lost(connection, owner, ttl, limit)
        )

    async def release(self, lease: Lease) -> None:
        await self._writer.run(lambda connection: statements.release(connection, lease))

    async def pulse(self, owner: str, ttl: float) -> Pulse:
        return await self._writer.run(lambda connection: statements.pulse(connection, owner, ttl))

    async def request_cancel(self, principal: Principal, task_id: str) -> TaskRow:
        return await self._writer.run(
            lambda connection: statements.request_cancel(connection, principal, task_id)
        )

    async def read(
        self,
        principal: Principal,
        task_id: str,
        after: int = 0,
        limit: int = READ_LIMIT,
        *,
        kinds: Collection[Kind] | None = None,
    ) -> list[LogEvent]:
        return await self._read(
            lambda connection: queries.events(
                connection, principal, task_id, after=after, limit=limit, kinds=kinds
            )
        )

    async def task(self, principal: Principal, task_id: str) -> TaskRow:
        return await self._read(lambda connection: statements.find(connection, principal, task_id))

    async def tasks(
        self,
        principal: Principal,
        where: TaskFilter | None = None,
        *,
        limit: int = 50,
        after: tuple[float, str] | None = None,
    ) -> TaskPage:
        return await self._read(
            lambda connection: queries.page(
                connection, principal, where or TaskFilter(), limit, after
            )
        )

    async def steps(self, principal: Principal, task_id: str) -> list[StepRow]:
        return await self._read(lambda connection: queries.steps(connection, principal, task_id))

    async def unfinished(self, *, limit: int = 1000) -> list[TaskRow]:
        return await self._read(lambda connection: queries.unfinished(connection, limit))

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._writer.close()
        await asyncio.to_thread(self._readers.shutdown)
        for connection in self._open_readers:
            connection.close()

    async def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        if self._closed:
            raise LogError("the task log is closed")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._readers, lambda: query(self._reader()))
        except sqlite3.Error as error:
            raise LogError(f"the task log {self._path} could not be read: {error}") from error

    def _reader(self) -> sqlite3.Connection:
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = _connect(self._path)
            found.execute("PRAGMA query_only = ON")
            self._local.connection = found
            self._open_readers.append(found)
        return found


def _connect(path: Path) -> sqlite3.Connection:
    # Each connection is used by one thread at a time; the one that closes it may be another.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    return connection
