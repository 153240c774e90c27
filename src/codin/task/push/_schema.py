"""The tables of push configs and dead letters, one migration a version."""

from __future__ import annotations

from codin.database import Migrations, Schema
from codin.task.push.errors import PushStoreError

# Numbers are never used twice: a claim on a deleted config must not fit its successor.
_SQLITE: Migrations = (
    (
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
    (  # as in Postgres, so that one statement serves both
        "ALTER TABLE dead_letter RENAME COLUMN first TO first_try",
        "ALTER TABLE dead_letter RENAME COLUMN last TO last_try",
        "DROP INDEX push_config_open",
        "CREATE INDEX push_config_open ON push_config (number) WHERE NOT done",
    ),
)

_POSTGRES: Migrations = (
    (
        """CREATE TABLE push_config (
            number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            tenant text NOT NULL,
            subject text NOT NULL,
            task_id text NOT NULL,
            config_id text NOT NULL,
            url text NOT NULL,
            token text NOT NULL,
            scheme text NOT NULL,
            credentials text NOT NULL,
            cursor bigint NOT NULL,
            done boolean NOT NULL DEFAULT false,
            owner text,
            lease_expires float8 NOT NULL DEFAULT 0,
            UNIQUE (tenant, subject, task_id, config_id)
        ) WITH (fillfactor = 70)""",
        "CREATE INDEX push_config_open ON push_config (number) WHERE NOT done",
        """CREATE TABLE dead_letter (
            number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            tenant text NOT NULL,
            subject text NOT NULL,
            task_id text NOT NULL,
            config_id text NOT NULL,
            seq bigint NOT NULL,
            url text NOT NULL,
            reason text NOT NULL,
            status integer,
            attempts integer NOT NULL,
            first_try float8 NOT NULL,
            last_try float8 NOT NULL
        )""",
        "CREATE INDEX dead_letter_by_subject ON dead_letter (tenant, subject, number)",
    ),
)

PUSH = Schema(
    "push",
    "the push store",
    PushStoreError,
    sqlite=_SQLITE,
    postgres=_POSTGRES,
    was_sqlite="push_config",
    was_postgres="codin_push.push_version",
)
