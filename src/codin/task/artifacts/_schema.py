"""The tables of artifacts: which tasks refer to which contents, and in Postgres the contents."""

from __future__ import annotations

from codin.database import Migrations, Schema
from codin.task.errors import ArtifactError, ArtifactVersionError

_SQLITE: Migrations = (
    (
        """CREATE TABLE artifact_ref (
            digest TEXT NOT NULL,
            task_id TEXT NOT NULL,
            about TEXT NOT NULL,
            made REAL NOT NULL,
            found INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (digest, task_id)
        ) WITHOUT ROWID""",
        "CREATE INDEX artifact_ref_new ON artifact_ref (made) WHERE found = 0",
    ),
)

_POSTGRES: Migrations = (
    (
        """CREATE TABLE artifact_ref (
            digest text COLLATE "C" NOT NULL,
            task_id text COLLATE "C" NOT NULL,
            about text NOT NULL,
            made float8 NOT NULL,
            found integer NOT NULL DEFAULT 0,
            PRIMARY KEY (digest, task_id)
        )""",
        "CREATE INDEX artifact_ref_new ON artifact_ref (made) WHERE found = 0",
        """CREATE TABLE artifact (
            digest text COLLATE "C" PRIMARY KEY,
            content bytea NOT NULL,
            put float8 NOT NULL
        )""",
        # most of what is large is compressed already
        "ALTER TABLE artifact ALTER COLUMN content SET STORAGE EXTERNAL",
    ),
)

ARTIFACTS = Schema(
    "artifact",
    "the store of artifacts",
    ArtifactError,
    sqlite=_SQLITE,
    postgres=_POSTGRES,
    newer=ArtifactVersionError,
)
