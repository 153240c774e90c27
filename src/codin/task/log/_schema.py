"""The tables of the log, and those of SQLite, one migration a version."""

from __future__ import annotations

from codin.database import Migrations, Schema, SqliteTables
from codin.task.errors import LogError, LogVersionError
from codin.task.log._claiming import UNFINISHED, free, roomless
from codin.task.log._pg_schema import MIGRATIONS as _POSTGRES
from codin.task.states import TERMINAL

NOW = SqliteTables.NOW

ROW = f"""task_id, tenant, subject, context_id, agent_id, goal_id, parent_id, state, status,
 last_seq, created, updated, owner, lease_expires < {NOW}, cancel_requested,
 lane, priority, deadline, paused"""
"""The columns of a ``TaskRow``, in its order."""

FREE, ROOMLESS = free(NOW, "?"), roomless(NOW)

ENDED = ", ".join(f"'{state}'" for state in sorted(TERMINAL))

_SQLITE: Migrations = (
    (
        """CREATE TABLE task (
            task_id TEXT PRIMARY KEY,
            tenant TEXT NOT NULL,
            subject TEXT NOT NULL,
            context_id TEXT NOT NULL,
            agent_id TEXT NOT NULL,
            goal_id TEXT NOT NULL,
            parent_id TEXT,
            state TEXT NOT NULL,
            status TEXT NOT NULL,
            last_seq INTEGER NOT NULL,
            created REAL NOT NULL,
            updated REAL NOT NULL,
            owner TEXT,
            fence INTEGER NOT NULL,
            lease_expires REAL NOT NULL,
            cancel_requested INTEGER NOT NULL DEFAULT 0
        ) WITHOUT ROWID""",
        "CREATE INDEX task_by_subject ON task (tenant, subject, updated DESC, task_id DESC)",
        "CREATE INDEX task_by_owner ON task (owner) WHERE owner IS NOT NULL",
        """CREATE TABLE step (
            task_id TEXT NOT NULL REFERENCES task,
            step_id TEXT NOT NULL,
            position INTEGER NOT NULL,
            agent TEXT NOT NULL,
            instruction TEXT NOT NULL,
            needs TEXT NOT NULL,
            state TEXT NOT NULL,
            attempt INTEGER NOT NULL,
            child_id TEXT,
            error TEXT,
            PRIMARY KEY (task_id, step_id)
        ) WITHOUT ROWID""",
        """CREATE TABLE task_event (
            task_id TEXT NOT NULL REFERENCES task,
            seq INTEGER NOT NULL,
            kind TEXT NOT NULL,
            body TEXT NOT NULL,
            time REAL NOT NULL,
            child_id TEXT,
            child_seq INTEGER,
            PRIMARY KEY (task_id, seq)
        ) WITHOUT ROWID""",
        """CREATE UNIQUE INDEX task_event_child ON task_event (child_id, child_seq)
            WHERE child_id IS NOT NULL""",
    ),
    ("ALTER TABLE step ADD COLUMN title TEXT NOT NULL DEFAULT ''",),
    (
        """CREATE TABLE task_key (
            tenant TEXT NOT NULL,
            subject TEXT NOT NULL,
            key TEXT NOT NULL,
            task_id TEXT NOT NULL,
            created REAL NOT NULL,
            PRIMARY KEY (tenant, subject, key)
        ) WITHOUT ROWID""",
    ),
    # Every gateway looks for lost tasks every few seconds, however many there have been.
    (f"CREATE INDEX task_unfinished ON task (created) WHERE {UNFINISHED}",),
    (
        "ALTER TABLE task ADD COLUMN lane TEXT NOT NULL DEFAULT 'agent'",
        "ALTER TABLE task ADD COLUMN priority INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE task ADD COLUMN deadline REAL",
        "ALTER TABLE task ADD COLUMN paused INTEGER NOT NULL DEFAULT 0",
        "CREATE INDEX task_by_goal ON task (goal_id)",
    ),
    ("ALTER TABLE step ADD COLUMN spec TEXT NOT NULL DEFAULT '{}'",),
)

LOG = Schema(
    "log",
    "the task log",
    LogError,
    sqlite=_SQLITE,
    postgres=_POSTGRES,
    newer=LogVersionError,
    was_sqlite="task",
    was_postgres="codin.log_version",
)
