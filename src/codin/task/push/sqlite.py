"""Push notification configs in an SQLite file."""

from __future__ import annotations

import asyncio
import builtins
import os
import sqlite3
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from codin.private_file import opening
from codin.security import Principal
from codin.task.push import _statements as statements
from codin.task.push._schema import migrate
from codin.task.push.base import (
    Claim,
    DeadLetter,
    DeadLetterPage,
    PushConfig,
    PushConfigStore,
    PushPage,
)
from codin.task.push.errors import PushStoreError

T = TypeVar("T")

_BUSY_MS = 10_000
"""How long a writer of another process is waited for."""


class SqlitePushConfigStore(PushConfigStore):
    """Open it with ``await SqlitePushConfigStore.open(path)``. What was acknowledged survives the
    death of the process. Several processes may use one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="codin-push")
        self._connection = _connect(path)
        self._closed = False

    @classmethod
    async def open(cls, path: str | os.PathLike[str]) -> SqlitePushConfigStore:
        """The store in the file ``path``, which is made, readable by its user only, when it is not
        there.

        Raises:
            PushStoreError: it cannot be opened, or a newer codin made it.
        """
        place = Path(path)
        try:
            return await asyncio.to_thread(cls, place)
        except (sqlite3.Error, OSError) as error:
            raise PushStoreError(f"the push store {place} cannot be opened: {error}") from error

    async def put(self, principal: Principal, config: PushConfig, *, after: int, most: int) -> None:
        await self._run(
            lambda connection: statements.put(connection, principal, config, after, most)
        )

    async def get(self, principal: Principal, task_id: str, config_id: str) -> PushConfig:
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
        held: builtins.list[Any] = [(ttl, number, owner) for number in numbers]
        if held:
            await self._run(lambda connection: statements.renew(connection, held))

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
        if self._closed:
            return
        self._closed = True
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown(wait=False)

    async def _run(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``operation`` in one transaction, on the store's thread."""
        if self._closed:
            raise PushStoreError("the push store is closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._transaction, operation)

    def _transaction(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = operation(connection)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise PushStoreError(f"the push store {self._path} cannot be used: {error}") from error
        return result


def _connect(path: Path) -> sqlite3.Connection:
    with opening(path):
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            migrate(connection, str(path))
        except BaseException:
            connection.close()
            raise
    return connection
