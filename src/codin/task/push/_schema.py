"""The tables of the SQLite store of push configs, one migration a version."""

from __future__ import annotations

import sqlite3

from codin.task.push.errors import PushStoreError

NOW = "((julianday('now') - 2440587.5) * 86400.0)"
"""The database's clock, in seconds since the epoch: leases go by it."""

_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # Numbers are never used twice: a claim on a deleted config must not fit its successor.
        """CREATE TABLE push_config (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            tenant TEXT NOT NULL,
            subject TEXT NOT NULL,
            task_id TEXT NOT NULL,
            config_id TEXT NOT NULL,
            url TEXT NOT NULL,
            token TEXT NOT NULL,
            scheme TEXT NOT NULL,
            credentials TEXT NOT NULL,
            cursor INTEGER NOT NULL,
            done INTEGER NOT NULL DEFAULT 0,
            owner TEXT,
            lease_expires REAL NOT NULL DEFAULT 0,
            UNIQUE (tenant, subject, task_id, config_id)
        )""",
        "CREATE INDEX push_config_open ON push_config (number) WHERE done = 0",
        """CREATE TABLE dead_letter (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            tenant TEXT NOT NULL,
            subject TEXT NOT NULL,
            task_id TEXT NOT NULL,
            config_id TEXT NOT NULL,
            seq INTEGER NOT NULL,
            url TEXT NOT NULL,
            reason TEXT NOT NULL,
            status INTEGER,
            attempts INTEGER NOT NULL,
            first REAL NOT NULL,
            last REAL NOT NULL
        )""",
        "CREATE INDEX dead_letter_by_subject ON dead_letter (tenant, subject, number)",
    ),
)

VERSION = len(_MIGRATIONS)


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the database to ``VERSION``, in one transaction.

    Raises:
        PushStoreError: it is ahead of this version already.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        found: int = connection.execute("PRAGMA user_version").fetchone()[0]
        if found > VERSION:
            raise PushStoreError(
                f"the push store {path} was made by a newer codin (schema {found}, this one knows "
                f"{VERSION}): upgrade codin, or give it another data folder"
            )
        for statements in _MIGRATIONS[found:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
