"""Where a gateway of the proof is killed: between the steps by which a write becomes known.

A log is wrapped, a notifier is given, and what the databases' drivers offer is used; the product's
own code knows nothing of it.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

from codin.database import Database, SqliteDatabase
from codin.security import Principal
from codin.task.log import Entry, EventLog, NewTask, SqliteEventLog, StepRow
from codin.task.log.entries import Adopt
from codin.task.log.leases import Lease
from codin.task.notify import LocalNotifier

Moment = Literal["append", "commit", "notify", "acknowledgement", "any"]

MOMENTS: tuple[Moment, ...] = ("append", "commit", "notify", "acknowledgement", "any")
"""The process dies when a write was handed to the database and is not committed; when it is
committed and nobody was told; when readers were told and the writer was not; when the writer was
told and the client was not; or whenever it strikes."""

_FLIGHT_SECONDS = 0.003
"""About as long as a statement is under way to a server, and its answer back."""


class Doom:
    """Kills this process, once armed, at the ``passages``-th time that it comes by ``moment``."""

    def __init__(self, moment: Moment, passages: int) -> None:
        self.moment = moment
        self._left = passages
        self._armed = False

    def arm(self) -> None:
        """From now on count."""
        self._armed = True

    def passes(self, moment: Moment) -> None:
        """The process comes by."""
        if self._due(moment):
            os.kill(os.getpid(), signal.SIGKILL)

    def passes_soon(self, moment: Moment) -> None:
        """A statement is sent: die while it is under way."""
        if self._due(moment):
            wait = random.uniform(0, _FLIGHT_SECONDS)
            asyncio.get_running_loop().call_later(wait, os.kill, os.getpid(), signal.SIGKILL)

    def _due(self, moment: Moment) -> bool:
        if not self._armed or moment != self.moment:
            return False
        self._left -= 1
        return self._left <= 0


class DoomedNotifier(LocalNotifier):
    """Comes by before and after it wakes the readers in this process."""

    def __init__(self, doom: Doom) -> None:
        super().__init__()
        self._doom = doom

    def notify(self, task_ids: Iterable[str]) -> None:
        self._doom.passes("commit")
        super().notify(task_ids)
        self._doom.passes("notify")


class _Doomed(EventLog):
    doom: Doom
    flight = False

    async def create(
        self,
        principal: Principal,
        task: NewTask,
        first: Entry,
        *then: Entry,
        owner: str | None,
        ttl: float,
        dedupe: str | None = None,
    ) -> Lease:
        self._sends()
        lease = await super().create(  # type: ignore[safe-super]  # beside a real log
            principal, task, first, *then, owner=owner, ttl=ttl, dedupe=dedupe
        )
        self.doom.passes("acknowledgement")
        return lease

    async def append(
        self, lease: Lease, entries: Sequence[Entry | Adopt], *, steps: Sequence[StepRow] = ()
    ) -> int:
        self._sends()
        seq = await super().append(lease, entries, steps=steps)  # type: ignore[safe-super]
        self.doom.passes("acknowledgement")
        return seq

    def _sends(self) -> None:
        if self.flight:
            self.doom.passes_soon("append")


class _DoomedSqliteLog(_Doomed, SqliteEventLog):
    pass


async def doomed_log(database: Database, doom: Doom) -> EventLog:
    """The log in ``database``, in a process that is to die by ``doom``."""
    notifier = DoomedNotifier(doom)
    _Doomed.doom = doom
    if isinstance(database, SqliteDatabase):
        log = await _DoomedSqliteLog.over(database, notifier=notifier)
        await database.write(lambda connection: _trace(connection, doom))
        return log
    from codin.database.postgres import PostgresDatabase
    from codin.task.log import PostgresEventLog

    class DoomedPostgresLog(_Doomed, PostgresEventLog):
        flight = True

    assert isinstance(database, PostgresDatabase)
    _break_transactions(doom)
    return await DoomedPostgresLog.over(database, notifier=notifier)


def _trace(connection: sqlite3.Connection, doom: Doom) -> None:
    """SQLite tells of each statement before it is run: here of the commit of what was written."""

    def told(statement: str) -> None:
        if statement == "COMMIT":
            doom.passes("append")

    connection.set_trace_callback(told)


def _break_transactions(doom: Doom) -> None:
    """A statement alone commits by itself; where there are more, die before their commit."""
    from psycopg import AsyncConnection

    real = AsyncConnection.transaction

    @asynccontextmanager
    async def transaction(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async with real(self, *args, **kwargs) as inner:
            yield inner
            doom.passes("append")

    AsyncConnection.transaction = transaction  # type: ignore[method-assign]
