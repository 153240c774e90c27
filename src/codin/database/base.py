"""What databases of every kind have in common, whatever is kept in them.

A database is shared by several stores: each has a ``Schema``, and reaches its own through
``Tables``, which raise the store's own errors. Statements that go to either kind mark their values
with ``%s``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from codin.errors import CodinError

Durability = Literal["process", "full"]
"""What an acknowledged write survives: the death of this process, or a loss of power too."""

Migrations = tuple[tuple[str, ...], ...]
"""The statements that lead from each version to the next; the first begin with nothing."""

Row = tuple[Any, ...]
Statement = tuple[str, Sequence[Any]]
"""A statement, and a value for each ``%s`` in it."""


class DatabaseError(CodinError):
    """The database cannot be used: it is locked, broken, away or closed.

    ``place`` says which one, without a password, ``problem`` what is wrong with it.
    """

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"the database {place} {problem}")
        self.place = place
        self.problem = problem


class DatabaseVersionError(DatabaseError):
    """A newer codin made what is in the database."""

    def __init__(self, place: str, found: int, known: int) -> None:
        super().__init__(
            place,
            f"was made by a newer codin (schema {found}, this one knows {known}): upgrade codin, or"
            " give it another database",
        )


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one store, by the kind of database.

    ``title`` is what its user calls the store, ``failure`` what it raises when its database cannot
    be used, ``newer`` (a ``failure`` too) when a newer codin made it.

    Until databases were shared, the version stood elsewhere: in a SQLite file with the table
    ``was_sqlite`` it was the file's own, in Postgres it is in the table ``was_postgres``, and what
    else is in the schema of that one is moved to ``codin``.
    """

    name: str
    title: str
    failure: type[CodinError]
    sqlite: Migrations
    postgres: Migrations = ()
    newer: type[CodinError] | None = None
    was_sqlite: str = ""
    was_postgres: str = ""


class Database(ABC):
    """A database, opened by the first call that needs it or by ``open``.

    Safe to use from many asyncio tasks at once; nothing blocks the loop. A cancelled write may or
    may not have been committed, and is never half done.
    """

    place: str
    """Which one, for messages: no password in it."""

    @abstractmethod
    async def open(self) -> None:
        """Open it now. Once it is open, nothing happens.

        Raises:
            DatabaseVersionError: a newer codin made it.
            DatabaseError: it cannot be opened.
        """

    @abstractmethod
    async def migrate(self, schema: Schema) -> None:
        """Bring the tables of ``schema`` to their last version, in one transaction, whoever else is
        about to.

        Raises:
            DatabaseVersionError: they are ahead of it.
            DatabaseError: it cannot be done.
        """

    @abstractmethod
    def tables(self, schema: Schema, *, owned: bool = False) -> Tables:
        """The way to the tables of ``schema``, which are made or migrated by the first call;
        ``owned``: whoever closes them closes the database."""

    @abstractmethod
    async def close(self) -> None:
        """Commit what was handed in, and let go. Closing twice does nothing."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class Tables(ABC):
    """What one store has in a database. Every call raises the schema's ``failure`` when the
    database cannot be used."""

    NOW: ClassVar[str]
    """An expression: the database's clock, in seconds since the epoch."""

    SKIP_LOCKED: ClassVar[str]
    """What ends a query for rows to be changed, so that those are passed over which others are
    changing just now; empty where there is one writer at a time."""

    def __init__(self, database: Database, schema: Schema, *, owned: bool) -> None:
        self._owner = database
        self._schema = schema
        self._owned = owned
        self._ready = False
        self._closed = False

    async def open(self) -> Self:
        """Open the database and migrate now; who owns it and fails closes it."""
        try:
            await self._prepare()
        except BaseException:
            if self._owned:
                await self.close()
            raise
        return self

    @staticmethod
    @abstractmethod
    def among(values: Collection[Any]) -> tuple[str, Any]:
        """A condition that follows a column which is one of ``values``, and the value for it."""

    @abstractmethod
    async def rows(self, query: str, values: Sequence[Any] = ()) -> list[Row]:
        """What ``query`` finds."""

    @abstractmethod
    async def change(self, *statements: Statement, lasting: bool = False) -> list[Row]:
        """Do ``statements`` in one transaction, and give what the last one returns, if it does.
        ``lasting``: it survives a loss of power, whatever the database's durability."""

    @abstractmethod
    async def change_alone(self, lock: str, *statements: Statement) -> list[Row]:
        """``change``, with nobody else between its first statement and its end who asks for the
        same ``lock``."""

    async def close(self) -> None:
        """Use them no more. Closing twice does nothing."""
        self._closed, self._ready = True, False
        if self._owned:
            await self._owner.close()

    async def _prepare(self) -> None:
        if self._closed:
            raise self._schema.failure(f"{self._schema.title} is closed")
        try:
            await self._owner.open()
            await self._owner.migrate(self._schema)
        except DatabaseError as error:
            raise self._failure(error) from error
        self._ready = not self._closed

    def _failure(self, error: DatabaseError) -> CodinError:
        kind = self._schema.failure
        if isinstance(error, DatabaseVersionError):
            kind = self._schema.newer or kind
        return kind(f"{self._schema.title} in {error.place} {error.problem}")


def storable(*texts: str | None) -> bool:
    """Whether a text column can hold them all: Postgres has no NUL, neither kind a lone
    surrogate."""
    for text in texts:
        if text is None or (text.isascii() and "\x00" not in text):
            continue
        try:
            text.encode()
        except UnicodeEncodeError:
            return False
        if "\x00" in text:
            return False
    return True
