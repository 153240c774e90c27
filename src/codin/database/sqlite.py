"""A SQLite file: the embedded default.

Write-ahead log, one writer thread that commits in groups, readers on connections of their own. What
was acknowledged survives ``kill -9`` of the process; with ``durability="full"`` (each commit waits
for the disk) a power loss too.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from codin.database._writer import Told, Writer
from codin.database.base import (
    Database,
    DatabaseError,
    DatabaseVersionError,
    Durability,
    Row,
    Schema,
    Statement,
    Tables,
)
from codin.private_file import opening

T = TypeVar("T")

_READERS = 4
_BUSY_MS = 10_000
"""How long a writer of another process is waited for."""

_SHARED = 1000
"""The file's ``user_version`` once it has the table of versions: a codin that knows no such table
takes the file for one of a newer codin, and leaves it alone."""

_ALONE = 3
"""The highest that it was while a file had one store, whose version it was."""


class SqliteDatabase(Database):
    """The file at ``path``, made when it is missing and readable by its user only. Several
    processes may use it."""

    def __init__(self, path: str | os.PathLike[str], *, durability: Durability = "process") -> None:
        self._path = Path(path)
        self.place = str(self._path)
        self.durability: Durability = durability
        self._lock = threading.Lock()
        self._writer: Writer | None = None
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="codin-database-reader")
        self._local = threading.local()
        self._open_readers: list[sqlite3.Connection] = []
        self._closed = False

    async def open(self) -> None:
        if self._writer is None or self._closed:
            await self._opened()

    async def migrate(self, schema: Schema) -> None:
        try:
            await self.write(lambda connection: _migrate(connection, schema, self.place))
        except DatabaseVersionError:
            raise
        except DatabaseError as error:
            cause = error.__cause__ or error.problem
            raise DatabaseError(self.place, f"cannot be opened: {cause}") from error

    def tables(self, schema: Schema, *, owned: bool = False) -> SqliteTables:
        return SqliteTables(self, schema, owned=owned)

    async def write(
        self,
        operation: Callable[[sqlite3.Connection], T],
        *,
        touches: Iterable[str] = (),
        told: Told | None = None,
        lasting: bool = False,
    ) -> T:
        """Run ``operation`` on the writer's thread, in one transaction with whatever else waits
        there, and give its result once it is committed. It may be run again after it was undone.

        ``told`` is called with what it ``touches`` and with its result, and those of others in the
        same commit, after that and before the result is given, from the writer's thread.
        ``lasting``: the commit waits for the disk.

        Raises:
            DatabaseError: the file cannot be used.
            Exception: whatever ``operation`` raises; nothing of it is written then.
        """
        writer = self._writer or await self._opened()
        if self._closed:
            raise DatabaseError(self.place, "is closed")
        return await writer.hand_in(operation, touches, told, lasting=lasting)

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``query`` on a reader's thread, and give its result.

        Raises:
            DatabaseError: the file cannot be used.
            Exception: whatever ``query`` raises.
        """
        if self._writer is None:
            await self._opened()
        if self._closed:
            raise DatabaseError(self.place, "is closed")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._readers, self._query, query)
        except sqlite3.Error as error:
            raise DatabaseError(self.place, f"cannot be used: {error}") from error

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._end)

    async def _opened(self) -> Writer:
        try:
            return await asyncio.to_thread(self._open)
        except (sqlite3.Error, OSError) as error:
            raise DatabaseError(self.place, f"cannot be opened: {error}") from error

    def _open(self) -> Writer:
        with self._lock:
            if self._closed:
                raise DatabaseError(self.place, "is closed")
            if self._writer is None:
                with opening(self._path):
                    self._writer = self._start()
            return self._writer

    def _start(self) -> Writer:
        connection = _connect(self._path)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            _share(connection, self.place)
            return Writer(connection, self.place, full=self.durability == "full")
        except BaseException:
            connection.close()
            raise

    def _end(self) -> None:
        with self._lock:
            if self._writer is not None:
                self._writer.close()
            self._readers.shutdown()
            for connection in self._open_readers:
                connection.close()

    def _query(self, query: Callable[[sqlite3.Connection], T]) -> T:
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = _connect(self._path)
            found.execute("PRAGMA query_only = ON")
            self._local.connection = found
            self._open_readers.append(found)
        return query(found)


class SqliteTables(Tables):
    """A store's tables in a SQLite file."""

    NOW = "((julianday('now') - 2440587.5) * 86400.0)"
    SKIP_LOCKED = ""

    def __init__(self, database: SqliteDatabase, schema: Schema, *, owned: bool = False) -> None:
        super().__init__(database, schema, owned=owned)
        self._database = database

    async def write(
        self,
        operation: Callable[[sqlite3.Connection], T],
        *,
        touches: Iterable[str] = (),
        told: Told | None = None,
        lasting: bool = False,
    ) -> T:
        """``SqliteDatabase.write``, with the store's own errors."""
        if not self._ready:
            await self._prepare()
        try:
            return await self._database.write(
                operation, touches=touches, told=told, lasting=lasting
            )
        except DatabaseError as error:
            raise self._failure(error) from error

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """``SqliteDatabase.read``, with the store's own errors."""
        if not self._ready:
            await self._prepare()
        try:
            return await self._database.read(query)
        except DatabaseError as error:
            raise self._failure(error) from error

    @staticmethod
    def among(values: Collection[Any]) -> tuple[str, Any]:
        return "IN (SELECT value FROM json_each(%s))", json.dumps(list(values))

    async def rows(self, query: str, values: Sequence[Any] = ()) -> list[Row]:
        return await self.read(
            lambda connection: connection.execute(marked(query), values).fetchall()
        )

    async def change(self, *statements: Statement, lasting: bool = False) -> list[Row]:
        def work(connection: sqlite3.Connection) -> list[Row]:
            found: list[Row] = []
            for statement, values in statements:
                found = connection.execute(marked(statement), values).fetchall()
            return found

        return await self.write(work, lasting=lasting)

    async def change_alone(self, lock: str, *statements: Statement) -> list[Row]:
        return await self.change(*statements)  # nobody else writes meanwhile


@lru_cache
def marked(statement: str) -> str:
    """``statement`` with its values marked as SQLite has it."""
    return statement.replace("%s", "?")


def _connect(path: Path) -> sqlite3.Connection:
    # Each connection is used by one thread at a time; the one that closes it may be another.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    return connection


def _share(connection: sqlite3.Connection, place: str) -> None:
    """Give the file its table of versions; the version of the one store that it had until then is
    kept under no name."""
    if _user_version(connection) == _SHARED:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = _user_version(connection)  # another process may have been faster
        if _ALONE < found != _SHARED:
            raise DatabaseVersionError(place, found, _ALONE)
        if found != _SHARED:
            connection.execute(
                """CREATE TABLE schema_version (name TEXT PRIMARY KEY, version INTEGER NOT NULL)
                    WITHOUT ROWID"""
            )
            connection.execute("INSERT INTO schema_version VALUES ('', ?)", (found,))
            connection.execute(f"PRAGMA user_version = {_SHARED}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _user_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _migrate(connection: sqlite3.Connection, schema: Schema, place: str) -> None:
    found, known = _version(connection, schema), len(schema.sqlite)
    if found > known:
        raise DatabaseVersionError(place, found, known)
    for statements in schema.sqlite[found:]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(
        """INSERT INTO schema_version VALUES (?, ?)
            ON CONFLICT DO UPDATE SET version = excluded.version
            WHERE version <> excluded.version""",
        (schema.name, known),
    )


def _version(connection: sqlite3.Connection, schema: Schema) -> int:
    versions = dict(connection.execute("SELECT name, version FROM schema_version"))
    if schema.name in versions:
        return int(versions[schema.name])
    stood = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (schema.was_sqlite,)
    ).fetchone()
    return int(versions[""]) if stood else 0
