"""Wake-ups between the processes that share one Postgres log.

What was committed is told to this process at once and to the others by ``NOTIFY``, a batch at a
time on a connection of its own: Postgres lets only one transaction at a time commit a ``NOTIFY``,
so one inside each write would have all writers wait for each other. One that is lost costs a
reader elsewhere its slow poll, as the contract of ``Notifier`` has it.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Iterable, Iterator

import psycopg
from psycopg import AsyncConnection

from codin.database import storable
from codin.database.postgres import Pool, PostgresDatabase
from codin.ending import end
from codin.task.notify import Notifier

_log = logging.getLogger(__name__)

_CHANNEL = "codin_task"
_PAYLOAD_BYTES = 7900
"""Postgres takes less than 8000 bytes."""
_NOT_LASTING = "SET synchronous_commit TO off"
_TOGETHER_SECONDS = 0.01
"""The first wake-up after a pause goes at once, those that follow within this time together."""
_RETRY_SECONDS = 1.0
_CLOSE_SECONDS = 2.0
"""How long the last wake-ups are tried for: the server may be away."""


class Wakes:
    """Tells other processes of commits here, and this one of commits there."""

    def __init__(
        self,
        database: PostgresDatabase,
        notifier: Notifier,
    ) -> None:
        self._database = database
        self._pool: Pool | None = None
        self._notifier = notifier
        self._origin = uuid.uuid4().hex
        self._untold: set[str] = set()
        self._some = asyncio.Event()
        self._closing = False
        self._listening = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Return once wake-ups of others arrive.

        Raises:
            psycopg.Error: the database cannot be used.
        """
        self._pool = pool = await self._database.pool(1, _NOT_LASTING)
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._send(pool))]
        await self._listening.wait()

    def tell(self, *task_ids: str) -> None:
        """Wake whoever reads these tasks, here and elsewhere."""
        self._notify(task_ids)
        self._untold.update(task_ids)
        self._some.set()

    async def close(self) -> None:
        """Tell what is untold, and end. Ending twice does nothing."""
        self._closing = True
        self._some.set()
        if self._tasks:
            listener, sender = self._tasks
            listener.cancel()
            await asyncio.wait([sender], timeout=_CLOSE_SECONDS)
            await end(listener, sender)
        if self._pool is not None:
            await self._pool.close()

    async def _send(self, pool: Pool) -> None:
        while not (self._closing and not self._untold):
            await self._some.wait()
            self._some.clear()
            told, self._untold = self._untold, set()
            try:
                async with pool.connection() as connection:
                    for payload in _payloads(self._origin, told):
                        await connection.execute("SELECT pg_notify(%s, %s)", (_CHANNEL, payload))
            except psycopg.Error as error:
                _log.warning("readers in other processes have to poll: %s", error)
            if not self._closing:
                await asyncio.sleep(_TOGETHER_SECONDS)

    async def _listen(self) -> None:
        while True:
            try:
                async with await self._database.connect() as connection:
                    await self._hear(connection)
            except psycopg.Error as error:
                _log.warning("wake-ups of other processes are late: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _hear(self, connection: AsyncConnection) -> None:
        await connection.execute(f"LISTEN {_CHANNEL}")
        self._listening.set()
        async for heard in connection.notifies():
            self._notify(self._others(heard.payload))

    def _others(self, payload: str) -> list[str]:
        # Whoever may connect may notify: at worst it wakes somebody who finds nothing.
        origin, *task_ids = payload.split("\n")
        return [] if origin == self._origin else task_ids

    def _notify(self, task_ids: Iterable[str]) -> None:
        try:
            self._notifier.notify(task_ids)
        except Exception:  # readers poll too; what was written stands
            _log.exception("the readers of the log could not be woken")


def _payloads(origin: str, task_ids: Iterable[str]) -> Iterator[str]:
    batch, size = [origin], len(origin)
    for task_id in task_ids:
        more = len(task_id.encode("utf-8", "replace")) + 1
        if "\n" in task_id or not storable(task_id) or len(origin) + more > _PAYLOAD_BYTES:
            continue  # no id of ours looks so; its readers poll
        if size + more > _PAYLOAD_BYTES:
            yield "\n".join(batch)
            batch, size = [origin], len(origin)
        batch.append(task_id)
        size += more
    if len(batch) > 1:
        yield "\n".join(batch)
