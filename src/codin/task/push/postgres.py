"""Push notification configs in Postgres: for gateways on many machines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from codin.security import Principal
from codin.task.push import _pg_statements as statements
from codin.task.push.base import (
    Claim,
    DeadLetter,
    DeadLetterPage,
    PushConfig,
    PushConfigStore,
    PushPage,
)
from codin.task.push.errors import PushStoreError, UnknownPushConfig

T = TypeVar("T")

CONNECTIONS = 4

_OPEN_SECONDS = 10.0
_WAIT_SECONDS = 30.0
"""How long a call waits for a free connection, for a locked row, or for a server that is away."""


class PostgresPushConfigStore(PushConfigStore):
    """Open it with ``await PostgresPushConfigStore.open(url)``. Any number of processes share it,
    and each config is told by one of them. It belongs to the event loop that opened it."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection]) -> None:
        self._pool = pool
        self._closed = False

    @classmethod
    async def open(cls, url: str, *, connections: int = CONNECTIONS) -> PostgresPushConfigStore:
        """The store in the database ``url`` (a libpq connection string), in its schema
        ``codin_push``, which is made when it is not there.

        Raises:
            PushStoreError: it cannot be opened, or a newer codin made it.
        """
        pool: AsyncConnectionPool[AsyncConnection] | None = None
        try:
            pool = AsyncConnectionPool(
                url,
                kwargs={"autocommit": True, "application_name": "codin"},
                min_size=1,
                max_size=connections,
                configure=_prepare,
                check=AsyncConnectionPool.check_connection,
                timeout=_WAIT_SECONDS,
                open=False,
            )
            await pool.open(wait=True, timeout=_OPEN_SECONDS)
            store = cls(pool)
            await store._run(statements.migrate)
        except BaseException as error:
            if pool is not None:
                await pool.close()
            if isinstance(error, (psycopg.Error, OSError)):
                raise PushStoreError(f"the push store cannot be opened: {error}") from error
            raise
        return store

    async def put(self, principal: Principal, config: PushConfig, *, after: int, most: int) -> None:
        await self._run(
            lambda connection: statements.put(connection, principal, config, after, most)
        )

    async def get(self, principal: Principal, task_id: str, config_id: str) -> PushConfig:
        if "\0" in config_id:  # Postgres keeps no such text
            raise UnknownPushConfig(task_id, config_id)
        return await self._run(
            lambda connection: statements.get(connection, principal, task_id, config_id)
        )

    async def list(
        self, principal: Principal, task_id: str, *, limit: int = 50, after: int | None = None
    ) -> PushPage:
        return await self._run(
            lambda connection: statements.page(connection, principal, task_id, limit, after or 0)
        )

    async def delete(self, principal: Principal, task_id: str, config_id: str) -> None:
        if "\0" in config_id:
            return
        await self._run(
            lambda connection: statements.delete(connection, principal, task_id, config_id)
        )

    async def dead_letters(
        self,
        principal: Principal,
        *,
        task_id: str | None = None,
        limit: int = 50,
        after: int | None = None,
    ) -> DeadLetterPage:
        return await self._run(
            lambda connection: statements.letters(connection, principal, task_id, limit, after)
        )

    async def claim(
        self, owner: str, ttl: float, is_dead: Callable[[str], bool], *, limit: int = 1000
    ) -> tuple[Claim, ...]:
        return await self._run(
            lambda connection: statements.claim(connection, owner, ttl, is_dead, limit)
        )

    async def renew(self, owner: str, ttl: float, numbers: Collection[int]) -> None:
        if numbers:
            await self._run(lambda connection: statements.renew(connection, owner, ttl, numbers))

    async def current(self, claim: Claim) -> Claim | None:
        return await self._run(lambda connection: statements.current(connection, claim))

    async def advance(
        self, claim: Claim, seq: int, *, letter: DeadLetter | None = None, done: bool = False
    ) -> bool:
        return await self._run(
            lambda connection: statements.advance(connection, claim, seq, letter, done=done)
        )

    async def release(self, claim: Claim) -> None:
        await self._run(lambda connection: statements.release(connection, claim))

    async def leave(self, owner: str) -> None:
        await self._run(lambda connection: statements.leave(connection, owner))

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._pool.close()

    async def _run(self, operation: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run ``operation`` in one transaction."""
        if self._closed:
            raise PushStoreError("the push store is closed")
        try:
            async with self._pool.connection() as connection, connection.transaction():
                return await operation(connection)
        except psycopg.Error as error:
            raise PushStoreError(f"the push store cannot be used: {error}") from error


async def _prepare(connection: AsyncConnection) -> None:
    # A machine that vanishes inside a transaction must not keep its rows locked for hours.
    await connection.execute(
        """SELECT set_config('search_path', 'codin_push', false),
            set_config('idle_in_transaction_session_timeout', %(ms)s, false),
            set_config('lock_timeout', %(ms)s, false)""",
        {"ms": str(int(_WAIT_SECONDS * 1000))},
    )
