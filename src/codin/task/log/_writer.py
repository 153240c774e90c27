"""One thread that writes to a SQLite file, and commits in groups."""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from codin.task.errors import LogError

T = TypeVar("T")

_log = logging.getLogger(__name__)

_GROUP = 512
"""Writes in one commit at most: more would make the first of them wait for the last."""


@dataclass(slots=True)
class _Write:
    operation: Callable[[sqlite3.Connection], tuple[Any, Iterable[str]]]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    result: Any = None
    touched: Iterable[str] = ()
    error: BaseException | None = None


class Writer:
    """Runs operations one after the other, those that wait together in one transaction.

    An operation that raises is undone alone; the others of its group are kept.
    """

    def __init__(
        self, connection: sqlite3.Connection, committed: Callable[[Iterable[str]], None]
    ) -> None:
        self._connection = connection
        self._committed = committed
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="codin-log-writer", daemon=True)
        self._thread.start()

    async def run(self, operation: Callable[[sqlite3.Connection], tuple[T, Iterable[str]]]) -> T:
        """Run ``operation``, which returns its result and the ids of the tasks it wrote to, and
        give the result once it is committed."""
        if self._closing:
            raise LogError("the task log is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._queue.put(_Write(operation, loop, future))
        return cast("T", await future)

    async def close(self) -> None:
        """Finish what was handed in, and end the thread."""
        if not self._closing:
            self._closing = True
            self._queue.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            group, more = self._collect(first)
            self._commit(group)
            if not more:
                break
        self._connection.close()

    def _collect(self, first: _Write) -> tuple[list[_Write], bool]:
        group = [first]
        while len(group) < _GROUP:
            try:
                write = self._queue.get_nowait()
            except queue.Empty:
                break
            if write is None:
                return group, False
            group.append(write)
        return group, True

    def _commit(self, group: list[_Write]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for write in group:
                self._apply(write)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._give_up(group, error)
        else:
            self._tell({task for write in group for task in write.touched})
        self._answer(group)

    def _tell(self, touched: set[str]) -> None:
        try:
            self._committed(touched)
        except Exception:  # readers poll too; the thread that writes must go on
            _log.exception("the readers of the log could not be woken")

    def _apply(self, write: _Write) -> None:
        self._connection.execute("SAVEPOINT one")
        try:
            write.result, write.touched = write.operation(self._connection)
        except Exception as error:  # whatever it is, it belongs to that caller alone
            write.error = _log_error(error) if isinstance(error, sqlite3.Error) else error
            self._connection.execute("ROLLBACK TO one")
        self._connection.execute("RELEASE one")

    def _give_up(self, group: list[_Write], error: sqlite3.Error) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        for write in group:
            write.error = write.error or _log_error(error)

    @staticmethod
    def _answer(group: list[_Write]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[_Write]] = {}
        for write in group:
            by_loop.setdefault(write.loop, []).append(write)
        for loop, writes in by_loop.items():
            try:
                loop.call_soon_threadsafe(_settle, writes)
            except RuntimeError:  # that loop is closed: nobody waits there any more
                continue


def _log_error(error: sqlite3.Error) -> LogError:
    failure = LogError(f"the task log could not be written: {error}")
    failure.__cause__ = error
    return failure


def _settle(writes: list[_Write]) -> None:
    for write in writes:
        if write.future.done():
            continue
        if write.error is not None:
            write.future.set_exception(write.error)
        else:
            write.future.set_result(write.result)
