"""The tables of the Postgres log, one migration a version, in the schema ``codin``."""

from __future__ import annotations

from psycopg import AsyncConnection

from codin.task.errors import LogVersionError

NOW = "extract(epoch FROM clock_timestamp())::float8"
"""The database's clock, in seconds since the epoch."""

ROW = f"""task_id, tenant, subject, context_id, agent_id, goal_id, parent_id, state, status,
 last_seq, created, updated, owner, owner IS NULL OR lease_expires < {NOW}, cancel_requested"""
"""The columns of a ``TaskRow``, in its order."""

_LOCK = 0x636F64696E  # any number that all versions agree on: "codin" in ASCII

# Ids are compared by their bytes, so that pages have one order whatever the database's locale; the
# table of tasks leaves room in its pages, since each append rewrites one row.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
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
)

VERSION = len(_MIGRATIONS)


async def migrate(connection: AsyncConnection, place: str) -> None:
    """Bring the database to ``VERSION``, in one transaction that keeps others who start out.

    Raises:
        LogVersionError: it is ahead of this version already.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        await connection.execute("CREATE SCHEMA IF NOT EXISTS codin")
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS log_version (version integer NOT NULL)"
        )
        cursor = await connection.execute("SELECT max(version) FROM log_version")
        row = await cursor.fetchone()
        found = (row[0] if row else None) or 0
        if found > VERSION:
            raise LogVersionError(
                f"the task log {place} was made by a newer codin (schema {found}, this one knows "
                f"{VERSION}): upgrade codin, or give it another database"
            )
        for number, statements in enumerate(_MIGRATIONS[found:], found + 1):
            for statement in statements:
                await connection.execute(statement.encode())
            await connection.execute("INSERT INTO log_version VALUES (%s)", (number,))
