"""The tables of the Postgres log, one migration a version, in the schema ``codin``."""

from __future__ import annotations

from codin.database import Migrations

# Ids are compared by their bytes, so that pages have one order whatever the database's locale; the
# table of tasks leaves room in its pages, since each append rewrites one row.
MIGRATIONS: Migrations = (
    (
        """CREATE TABLE task (
            task_id text COLLATE "C" PRIMARY KEY,
            tenant text NOT NULL,
            subject text NOT NULL,
            context_id text NOT NULL,
            agent_id text NOT NULL,
            goal_id text NOT NULL,
            parent_id text COLLATE "C",
            state text NOT NULL,
            status text NOT NULL,
            last_seq bigint NOT NULL,
            created float8 NOT NULL,
            updated float8 NOT NULL,
            owner text,
            fence bigint NOT NULL,
            lease_expires float8 NOT NULL,
            cancel_requested boolean NOT NULL DEFAULT false
        ) WITH (fillfactor = 70)""",
        "CREATE INDEX task_by_subject ON task (tenant, subject, updated DESC, task_id DESC)",
        "CREATE INDEX task_by_owner ON task (owner) WHERE owner IS NOT NULL",
        """CREATE INDEX task_unfinished ON task (created) WHERE state IN
            ('TASK_STATE_SUBMITTED', 'TASK_STATE_WORKING')""",
        """CREATE TABLE step (
            task_id text COLLATE "C" NOT NULL REFERENCES task,
            step_id text COLLATE "C" NOT NULL,
            position bigint NOT NULL,
            body text NOT NULL,
            PRIMARY KEY (task_id, step_id)
        )""",
        """CREATE TABLE task_event (
            task_id text COLLATE "C" NOT NULL,
            seq bigint NOT NULL,
            kind text NOT NULL,
            body text NOT NULL,
            time float8 NOT NULL,
            child_id text COLLATE "C",
            child_seq bigint,
            PRIMARY KEY (task_id, seq)
        )""",
        """CREATE UNIQUE INDEX task_event_child ON task_event (child_id, child_seq)
            WHERE child_id IS NOT NULL""",
        """CREATE TABLE task_key (
            tenant text NOT NULL,
            subject text NOT NULL,
            key text COLLATE "C" NOT NULL,
            task_id text COLLATE "C" NOT NULL,
            created float8 NOT NULL,
            PRIMARY KEY (tenant, subject, key)
        )""",
    ),
    (
        "ALTER TABLE task ADD COLUMN lane text NOT NULL DEFAULT 'agent'",
        "ALTER TABLE task ADD COLUMN priority integer NOT NULL DEFAULT 0",
        "ALTER TABLE task ADD COLUMN deadline float8",
        "ALTER TABLE task ADD COLUMN paused boolean NOT NULL DEFAULT false",
        "CREATE INDEX task_by_goal ON task (goal_id)",
    ),
)
