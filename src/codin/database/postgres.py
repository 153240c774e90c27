"""A Postgres database: for gateways on many machines.

Any number of processes open the same one. All tables are in its schema ``codin``. Postgres commits
what arrives at once together; what was acknowledged survives whatever the server's
``synchronous_commit`` says: by default the loss of its power.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool

from codin.database.base import (
    Database,
    DatabaseError,
    DatabaseVersionError,
    Row,
    Schema,
    Statement,
    Tables,
)

T = TypeVar("T")

Pool = AsyncConnectionPool[AsyncConnection]
Act = Callable[[AsyncConnection], Awaitable[T]]

CONNECTIONS = 8
"""How many statements run at once."""

_OPEN_SECONDS = 10.0
_WAIT_SECONDS = 30.0
"""How long a call waits for a free connection, for a locked row, or for a server that is away."""
_CLOSE_SECONDS = 5.0
_TRY_SECONDS = 2.0
"""How long a lost connection is tried for, at growing intervals, before that begins anew: else they
would grow with the time for which a server is away, and it would be found as late again."""

_GIVEN: dict[str, Any] = {
    "autocommit": True,
    "application_name": "codin",
    "connect_timeout": int(_OPEN_SECONDS),
}

_LASTING: Statement = ("SET LOCAL synchronous_commit TO on", ())

_LOCK = 0x636F64696E  # any number that all versions agree on: "codin" in ASCII


class PostgresDatabase(Database):
    """The database ``url`` (``postgresql://user:password@host/name``, or any other libpq connection
    string). It belongs to the event loop that opens it, and needs a session of its own for each
    connection: behind a pooler, choose its session mode."""

    def __init__(self, url: str, *, connections: int = CONNECTIONS) -> None:
        self._url = url
        self._connections = connections
        self.place = _place(url)
        self._pool: Pool | None = None
        self._opening = asyncio.Lock()
        self._closed = False
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._trying: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        async with self._opening:
            if self._closed:
                raise DatabaseError(self.place, "is closed")
            if self._pool is None:
                try:
                    # A pool would try again and again, and say no reason at the end.
                    await (await self.connect()).close()
                    self._pool = await self.pool(self._connections)
                except (psycopg.Error, OSError) as error:
                    raise DatabaseError(self.place, f"cannot be opened: {error}") from error

    async def migrate(self, schema: Schema) -> None:
        try:
            await self.run(lambda connection: _migrate(connection, schema, self.place))
        except DatabaseVersionError:
            raise
        except DatabaseError as error:
            cause = error.__cause__ or error.problem
            raise DatabaseError(self.place, f"cannot be opened: {cause}") from error

    def tables(self, schema: Schema, *, owned: bool = False) -> PostgresTables:
        return PostgresTables(self, schema, owned=owned)

    async def run(self, act: Act[T]) -> T:
        """Do ``act`` on a connection that commits each statement by itself.

        Raises:
            DatabaseError: the database cannot be used.
            Exception: whatever ``act`` raises.
        """
        if self._pool is None:
            await self.open()
        if self._closed or self._pool is None:
            raise DatabaseError(self.place, "is closed")
        self._running += 1
        self._idle.clear()
        task = asyncio.current_task()
        asked = task.cancelling() if task else 0
        try:
            async with self._pool.connection() as connection:
                # the pool waits by wait_for, which before Python 3.12 may swallow it
                if task and task.cancelling() > asked:
                    raise asyncio.CancelledError
                return await act(connection)
        except psycopg.Error as error:
            raise DatabaseError(self.place, f"cannot be used: {error}") from error
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def connect(self) -> AsyncConnection:
        """A connection beside the pool, to be closed by the caller. Raises ``psycopg.Error``."""
        connection = await AsyncConnection.connect(
            self._url,
            **_GIVEN,
        )
        await _prepare(connection)
        return connection

    async def pool(self, size: int, *settings: str) -> Pool:
        """An open pool of ``size`` connections, to be closed by the caller, each of them begun with
        ``settings``. Raises ``psycopg.Error``."""

        async def configure(connection: AsyncConnection) -> None:
            await _prepare(connection)
            for setting in settings:
                await connection.execute(setting.encode())

        async def check(connection: AsyncConnection) -> None:
            try:
                _check(connection)
            except psycopg.Error:
                # The others ended with it, and each of them would be waited for longer.
                await pool.drain()
                raise

        pool: Pool = AsyncConnectionPool(
            self._url,
            kwargs=_GIVEN,
            min_size=min(size, 2),
            max_size=size,
            configure=configure,
            check=check,
            timeout=_WAIT_SECONDS,
            reconnect_timeout=_TRY_SECONDS,
            reconnect_failed=self._try_anew,
            open=False,
        )
        try:
            await pool.open(wait=True, timeout=_OPEN_SECONDS)
        except BaseException:
            await pool.close()
            raise
        return pool

    async def _try_anew(self, pool: AsyncConnectionPool[Any]) -> None:
        """Have ``pool`` connect anew, also when nobody asks it for a connection just now."""
        trying = asyncio.create_task(_ask(pool))
        self._trying.add(trying)
        trying.add_done_callback(self._trying.discard)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(TimeoutError):  # what waits for a server that is away fails below
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._idle.wait()
        async with self._opening:
            if self._pool is not None:
                await self._pool.close()


class PostgresTables(Tables):
    """A store's tables in Postgres."""

    NOW = "extract(epoch FROM clock_timestamp())::float8"
    SKIP_LOCKED = "FOR UPDATE SKIP LOCKED"

    def __init__(self, database: PostgresDatabase, schema: Schema, *, owned: bool = False) -> None:
        super().__init__(database, schema, owned=owned)
        self._database = database

    async def run(self, act: Act[T]) -> T:
        """``PostgresDatabase.run``, with the store's own errors."""
        if not self._ready:
            await self._prepare()
        try:
            return await self._database.run(act)
        except DatabaseError as error:
            raise self._failure(error) from error

    @staticmethod
    def among(values: Collection[Any]) -> tuple[str, Any]:
        return "= ANY(%s)", list(values)

    async def rows(self, query: str, values: Sequence[Any] = ()) -> list[Row]:
        return await self.run(lambda connection: _execute(connection, query, values))

    async def change(self, *statements: Statement, lasting: bool = False) -> list[Row]:
        begun: tuple[Statement, ...] = (_LASTING,) if lasting else ()

        async def work(connection: AsyncConnection) -> list[Row]:
            if len(statements) == 1 and not lasting:
                return await _execute(connection, *statements[0])
            found: list[Row] = []
            async with connection.transaction():
                for statement, values in (*begun, *statements):
                    found = await _execute(connection, statement, values)
            return found

        return await self.run(work)

    async def change_alone(self, lock: str, *statements: Statement) -> list[Row]:
        taken = ("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (lock,))
        return await self.change(taken, *statements)


async def _execute(connection: AsyncConnection, statement: str, values: Sequence[Any]) -> list[Row]:
    cursor = await connection.execute(statement.encode(), values)
    return await cursor.fetchall() if cursor.description else []


async def _prepare(connection: AsyncConnection) -> None:
    # A machine that vanishes inside a transaction must not keep its rows locked for hours.
    await connection.execute(
        """SELECT set_config('search_path', 'codin', false),
            set_config('idle_in_transaction_session_timeout', %(ms)s, false),
            set_config('lock_timeout', %(ms)s, false)""",
        {"ms": str(int(_WAIT_SECONDS * 1000))},
    )


async def _ask(pool: AsyncConnectionPool[Any]) -> None:
    with contextlib.suppress(psycopg.Error):  # it may be closed, or not have one in time
        async with pool.connection(timeout=_TRY_SECONDS):
            pass


def _check(connection: AsyncConnection) -> None:
    """Raise ``psycopg.Error`` when the server has closed the idle connection, such as in a restart.
    Only what has arrived is looked at: asking the server would cost each call a round trip."""
    connection.pgconn.consume_input()  # takes the server's farewell, if there is one
    connection.pgconn.consume_input()  # finds the end behind it


def _place(url: str) -> str:
    """What an error may say of ``url``: no password."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        return "Postgres"  # opening it says what is wrong with the address
    host, name = parts.get("host") or "localhost", parts.get("dbname") or parts.get("user")
    return f"{name} on {host}"


async def _migrate(connection: AsyncConnection, schema: Schema, place: str) -> None:
    known = len(schema.postgres)
    if await _version(connection, schema) == known:
        return
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        await connection.execute("CREATE SCHEMA IF NOT EXISTS codin")
        await connection.execute(
            """CREATE TABLE IF NOT EXISTS schema_version
                (name text PRIMARY KEY, version integer NOT NULL)"""
        )
        found = await _version(connection, schema)
        if found is None:
            found = await _take_over(connection, schema.was_postgres)
        if found > known:
            raise DatabaseVersionError(place, found, known)
        for statements in schema.postgres[found:]:
            for statement in statements:
                await connection.execute(statement.encode())
        await connection.execute(
            """INSERT INTO schema_version VALUES (%s, %s)
                ON CONFLICT (name) DO UPDATE SET version = excluded.version""",
            (schema.name, known),
        )


async def _version(connection: AsyncConnection, schema: Schema) -> int | None:
    if not await _stands(connection, "codin.schema_version"):
        return None
    query = "SELECT version FROM schema_version WHERE name = %s"
    found = await _execute(connection, query, (schema.name,))
    return int(found[0][0]) if found else None


async def _stands(connection: AsyncConnection, table: str) -> bool:
    return (await _execute(connection, "SELECT to_regclass(%s)", (table,)))[0][0] is not None


async def _take_over(connection: AsyncConnection, versions: str) -> int:
    """The version by the table ``versions``, if there is one, which goes; the tables beside it in
    another schema are moved to this one."""
    if not versions or not await _stands(connection, versions):
        return 0
    home, _, name = versions.partition(".")
    table = sql.Identifier(home, name)
    cursor = await connection.execute(
        sql.SQL("SELECT coalesce(max(version), 0) FROM {}").format(table)
    )
    (found,) = await cursor.fetchone() or (0,)
    await connection.execute(sql.SQL("DROP TABLE {}").format(table))
    if home != "codin":
        query = "SELECT tablename FROM pg_tables WHERE schemaname = %s"
        for (beside,) in await _execute(connection, query, (home,)):
            moved = sql.SQL("ALTER TABLE {} SET SCHEMA codin").format(sql.Identifier(home, beside))
            await connection.execute(moved)
        await connection.execute(sql.SQL("DROP SCHEMA {}").format(sql.Identifier(home)))
    return int(found)
