"""Databases: a SQLite file that is the embedded default, and Postgres; several stores share one.

``PostgresDatabase`` is imported when it is first used: it needs ``codin[postgres]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from codin.database.base import (
    Database,
    DatabaseError,
    DatabaseVersionError,
    Durability,
    Migrations,
    Row,
    Schema,
    Statement,
    Tables,
    storable,
)
from codin.database.opening import FILE_NAME, database_at, open_database
from codin.database.sqlite import SqliteDatabase, SqliteTables

if TYPE_CHECKING:
    from codin.database.postgres import PostgresDatabase, PostgresTables

__all__ = [
    "FILE_NAME",
    "Database",
    "DatabaseError",
    "DatabaseVersionError",
    "Durability",
    "Migrations",
    "PostgresDatabase",
    "PostgresTables",
    "Row",
    "Schema",
    "SqliteDatabase",
    "SqliteTables",
    "Statement",
    "Tables",
    "database_at",
    "open_database",
    "storable",
]


def __getattr__(name: str) -> Any:
    if name not in ("PostgresDatabase", "PostgresTables"):
        raise AttributeError(f"module 'codin.database' has no attribute {name!r}")
    from codin.database import postgres

    return getattr(postgres, name)
