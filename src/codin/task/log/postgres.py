"""The event log in Postgres: for gateways on many machines.

Any number of processes open the same database, and each serves every task. Rows are locked by the
statements that change them; Postgres commits what arrives at once together. What was acknowledged
survives whatever the server's ``synchronous_commit`` says: by default the loss of its power.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool

from codin.security import Principal
from codin.task.errors import LogError
from codin.task.log import _pg_queries as queries
from codin.task.log import _pg_statements as statements
from codin.task.log._pg_schema import migrate
from codin.task.log._pg_wakes import Wakes
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

_Pool = AsyncConnectionPool[AsyncConnection]

CONNECTIONS = 8
"""How many statements run at once; wake-ups have two connections of their own."""

_OPEN_SECONDS = 10.0
_WAIT_SECONDS = 30.0
"""How long a call waits for a free connection, or for a server that is away."""
_CLOSE_SECONDS = 5.0


class PostgresEventLog(EventLog):
    """Open it with ``await PostgresEventLog.open(url)``. It belongs to the event loop that opened
    it."""

    def __init__(
        self, place: str, pool: _Pool, wake_pool: _Pool, wakes: Wakes, notifier: Notifier
    ) -> None:
        self.notifier = notifier
        self._place = place
        self._pool = pool
        self._wake_pool = wake_pool
        self._wakes = wakes
        self._closed = False
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @classmethod
    async def open(
        cls, url: str, *, notifier: Notifier | None = None, connections: int = CONNECTIONS
    ) -> PostgresEventLog:
        """The log in the database ``url`` (``postgresql://user:password@host/name``, or any other
        libpq connection string), in its schema ``codin``, which is made when it is not there.

        It needs a session of its own a connection: behind a pooler, choose its session mode.

        Raises:
            LogVersionError: a newer codin made it.
            LogError: it cannot be opened.
        """
        connect = partial(
            AsyncConnection.connect, url, autocommit=True, connect_timeout=int(_OPEN_SECONDS)
        )
        log: PostgresEventLog | None = None
        try:
            place = _place(url)
            pools = _pool(url, connections, _prepare), _pool(url, 1, _prepare_wakes)
            wakes = Wakes(connect, pools[1], notifier := notifier or LocalNotifier())
            log = cls(place, pools[0], pools[1], wakes, notifier)
            async with await connect() as connection:
                await _prepare(connection)
                await migrate(connection, place)
            await log._start()
        except BaseException as error:
            if log is not None:
                await log.close()
            if isinstance(error, (psycopg.Error, OSError)):
                raise LogError(f"the task log cannot be opened: {error}") from error
            raise
        return log

    async def _start(self) -> None:
        for pool in (self._pool, self._wake_pool):
            await pool.open(wait=True, timeout=_OPEN_SECONDS)
        async with asyncio.timeout(_OPEN_SECONDS):
            await self._wakes.start()

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
        return await self._write(
            task.task_id,
            lambda connection: statements.create(
                connection, principal, task, first, owner=owner, ttl=ttl, dedupe=dedupe
            ),
        )

    async def append(
        self, lease: Lease, entries: Sequence[Entry | Adopt], *, steps: Sequence[StepRow] = ()
    ) -> int:
        return await self._write(
            lease.task_id,
            lambda connection: statements.append(connection, lease, entries, steps),
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
        return await self._write(
            task_id,
            lambda connection: statements.claim(
                connection, principal, task_id, owner=owner, ttl=ttl, dead=dead
            ),
        )

    async def claim_lost(
        self, *, owner: str, ttl: float, limit: int = 100
    ) -> list[tuple[TaskRow, Lease]]:
        return await self._run(
            lambda connection: statements.claim_lost(connection, owner, ttl, limit)
        )

    async def release(self, lease: Lease) -> None:
        await self._run(lambda connection: statements.release(connection, lease))

    async def pulse(self, owner: str, ttl: float) -> Pulse:
        return await self._run(lambda connection: statements.pulse(connection, owner, ttl))

    async def request_cancel(self, principal: Principal, task_id: str) -> TaskRow:
        return await self._write(
            task_id,
            lambda connection: statements.request_cancel(connection, principal, task_id),
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
        return await self._run(
            lambda connection: queries.events(
                connection, principal, task_id, after=after, limit=limit, kinds=kinds
            )
        )

    async def task(self, principal: Principal, task_id: str) -> TaskRow:
        return await self._run(lambda connection: queries.find(connection, principal, task_id))

    async def tasks(
        self,
        principal: Principal,
        where: TaskFilter | None = None,
        *,
        limit: int = 50,
        after: tuple[float, str] | None = None,
    ) -> TaskPage:
        return await self._run(
            lambda connection: queries.page(
                connection, principal, where or TaskFilter(), limit, after
            )
        )

    async def steps(self, principal: Principal, task_id: str) -> list[StepRow]:
        return await self._run(lambda connection: queries.steps(connection, principal, task_id))

    async def unfinished(self, *, limit: int = 1000) -> list[TaskRow]:
        return await self._run(lambda connection: queries.unfinished(connection, limit))

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(TimeoutError):  # what waits for a server that is away fails below
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._idle.wait()
        await self._wakes.close()
        await self._wake_pool.close()
        await self._pool.close()

    async def _write(self, task_id: str, act: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        try:
            result = await self._run(act)
        except asyncio.CancelledError:
            self._wakes.tell(task_id)  # it may have been committed
            raise
        self._wakes.tell(task_id)
        return result

    async def _run(self, act: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        if self._closed:
            raise LogError("the task log is closed")
        self._running += 1
        self._idle.clear()
        try:
            async with self._pool.connection() as connection:
                return await act(connection)
        except psycopg.Error as error:
            raise LogError(f"the task log {self._place} cannot be used: {error}") from error
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()


def _pool(url: str, size: int, configure: Callable[[AsyncConnection], Awaitable[None]]) -> _Pool:
    return AsyncConnectionPool(
        url,
        kwargs={"autocommit": True, "application_name": "codin"},
        min_size=min(size, 2),
        max_size=size,
        configure=configure,
        check=_check,
        timeout=_WAIT_SECONDS,
        open=False,
    )


async def _prepare(connection: AsyncConnection) -> None:
    # A machine that vanishes inside a transaction must not keep its rows locked for hours.
    await connection.execute(
        """SELECT set_config('search_path', 'codin', false),
            set_config('idle_in_transaction_session_timeout', %(ms)s, false),
            set_config('lock_timeout', %(ms)s, false)""",
        {"ms": str(int(_WAIT_SECONDS * 1000))},
    )


async def _check(connection: AsyncConnection) -> None:
    """Raise when the server has closed the idle connection, such as in a restart. Only what has
    arrived is looked at: asking the server would cost each call a round trip."""
    connection.pgconn.consume_input()  # takes the server's farewell, if there is one
    connection.pgconn.consume_input()  # finds the end behind it


async def _prepare_wakes(connection: AsyncConnection) -> None:
    await _prepare(connection)
    await connection.execute("SET synchronous_commit TO off")  # a wake-up need not last


def _place(url: str) -> str:
    """What an error may say of ``url``: no password."""
    parts = conninfo_to_dict(url)
    host, name = parts.get("host") or "localhost", parts.get("dbname") or parts.get("user")
    return f"{name} on {host}"
