"""One thread that writes to a SQLite file, and commits in groups."""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from codin.database.base import DatabaseError

T = TypeVar("T")

Told = Callable[[set[str], list[Any]], None]
"""Is told, from the writer's thread, what was touched by the writes of one commit, and what they
gave."""

_log = logging.getLogger(__name__)

_GROUP = 512
"""Writes in one commit at most: more would make the first of them wait for the last."""


@dataclass(slots=True)
class _Write:
    operation: Callable[[sqlite3.Connection], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    touches: Iterable[str]
    told: Told | None
    lasting: bool
    result: Any = None
    error: BaseException | None = None


class Writer:
    """Runs operations one after the other, those that wait together in one transaction.

    An operation that raises is undone alone; the others of its group are kept. So one may be run
    more than once, and must do nothing but what it does to the database. With ``full`` each
    commit waits for the disk, otherwise only one with a lasting write in it.
    """

    def __init__(self, connection: sqlite3.Connection, place: str, *, full: bool) -> None:
        self._connection = connection
        self._place = place
        self._full = full
        self._queue: queue.SimpleQueue[list[_Write] | None] = queue.SimpleQueue()
        self._turns: dict[asyncio.AbstractEventLoop, list[_Write]] = {}
        self._closing = False
        connection.execute(f"PRAGMA synchronous = {'FULL' if full else 'NORMAL'}")
        self._thread = threading.Thread(target=self._run, name="codin-database-writer", daemon=True)
        self._thread.start()

    def hand_in(
        self,
        operation: Callable[[sqlite3.Connection], T],
        touches: Iterable[str],
        told: Told | None,
        *,
        lasting: bool,
    ) -> asyncio.Future[T]:
        """Have ``operation`` run: gives its result once it is committed, and ``told`` was told of
        it and what it ``touches``."""
        if self._closing:
            raise DatabaseError(self._place, "is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        write = _Write(operation, loop, future, touches, told, lasting)
        # Waking the thread costs more than many a write: once a turn of the loop.
        turn = self._turns.get(loop)
        if turn is None:
            self._turns[loop] = [write]
            loop.call_soon(self._pass_on, loop)
        else:
            turn.append(write)
        return future

    def close(self) -> None:
        """Finish what was handed in, and end the thread. Blocks meanwhile."""
        if not self._closing:
            self._closing = True
            for loop in list(self._turns):
                self._pass_on(loop)
            self._queue.put(None)
        self._thread.join()

    def _pass_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give the thread what was handed in from ``loop`` in this turn."""
        writes = self._turns.pop(loop, None)
        if writes:
            self._queue.put(writes)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            group, more = self._collect(first)
            for begin in range(0, len(group), _GROUP):
                self._commit(group[begin : begin + _GROUP])
            if not more:
                break
        self._connection.close()

    def _collect(self, group: list[_Write]) -> tuple[list[_Write], bool]:
        while len(group) < _GROUP:
            try:
                writes = self._queue.get_nowait()
            except queue.Empty:
                break
            if writes is None:
                return group, False
            group += writes
        return group, True

    def _commit(self, group: list[_Write]) -> None:
        lasting = not self._full and any(write.lasting for write in group)
        try:
            if lasting:
                self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("BEGIN IMMEDIATE")
            self._apply_all(group)
            kept = any(write.error is None for write in group)
            self._connection.execute("COMMIT" if kept else "ROLLBACK")
        except sqlite3.Error as error:
            self._give_up(group, error)
        else:
            self._tell(group)
        finally:
            if lasting:
                self._connection.execute("PRAGMA synchronous = NORMAL")
        self._answer(group)

    def _tell(self, group: list[_Write]) -> None:
        by_ear: dict[Told, tuple[set[str], list[Any]]] = {}
        for write in group:
            if write.told is not None and write.error is None:
                touched, results = by_ear.setdefault(write.told, (set(), []))
                touched.update(write.touches)
                results.append(write.result)
        for told, (touched, results) in by_ear.items():
            try:
                told(touched, results)
            except Exception:  # who waits polls too; the thread that writes must go on
                _log.exception("nobody could be told of a commit to %s", self._place)

    def _apply_all(self, group: list[_Write]) -> None:
        """Apply them as if each were the only one. Hardly ever does one fail: so they are tried
        together first, as marking where each begins costs more than many a write."""
        for write in group:
            self._apply(write)
            if write.error is not None:
                break
        else:
            return
        if len(group) == 1:
            return
        self._connection.execute("ROLLBACK")
        self._connection.execute("BEGIN IMMEDIATE")
        for write in group:
            write.result = write.error = None
            self._apply_beside(write)

    def _apply_beside(self, write: _Write) -> None:
        """Apply one of several, of which it may be undone alone."""
        self._connection.execute("SAVEPOINT one")
        self._apply(write)
        if write.error is not None:
            self._connection.execute("ROLLBACK TO one")
        self._connection.execute("RELEASE one")

    def _apply(self, write: _Write) -> None:
        try:
            write.result = write.operation(self._connection)
        except Exception as error:  # whatever it is, it belongs to that caller alone
            write.error = self._failure(error) if isinstance(error, sqlite3.Error) else error

    def _give_up(self, group: list[_Write], error: sqlite3.Error) -> None:
        with suppress(sqlite3.Error):  # the thread goes on, whatever has befallen the disk
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        for write in group:
            write.error = write.error or self._failure(error)

    def _failure(self, error: sqlite3.Error) -> DatabaseError:
        failure = DatabaseError(self._place, f"cannot be used: {error}")
        failure.__cause__ = error
        return failure

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


def _settle(writes: list[_Write]) -> None:
    for write in writes:
        if write.future.done():
            continue
        if write.error is not None:
            write.future.set_exception(write.error)
        else:
            write.future.set_result(write.result)
