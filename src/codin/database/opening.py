"""Which kind of database an address means."""

from __future__ import annotations

import os

from codin.database.base import Database, DatabaseError, Durability
from codin.database.sqlite import SqliteDatabase

FILE_NAME = "tasks.db"
"""The file below the platform's home in which tasks, push configs, keys and the audit log are."""


def database_at(place: str | os.PathLike[str], *, durability: Durability = "process") -> Database:
    """The database at ``place``, opened by its first use: a file, or what a ``postgresql://``
    address names. ``durability`` is a file's; a server has its own.

    Raises:
        DatabaseError: Postgres needs ``codin[postgres]``.
    """
    if not (isinstance(place, str) and place.startswith(("postgresql://", "postgres://"))):
        return SqliteDatabase(place, durability=durability)
    try:
        from codin.database.postgres import PostgresDatabase
    except ModuleNotFoundError as error:
        raise DatabaseError(
            "at a Postgres server", f"needs {error.name}: install codin[postgres]"
        ) from error
    return PostgresDatabase(place)


async def open_database(
    place: str | os.PathLike[str], *, durability: Durability = "process"
) -> Database:
    """``database_at``, opened now.

    Raises:
        DatabaseVersionError: a newer codin made it.
        DatabaseError: it cannot be opened.
    """
    database = database_at(place, durability=durability)
    try:
        await database.open()
    except BaseException:
        await database.close()
        raise
    return database
