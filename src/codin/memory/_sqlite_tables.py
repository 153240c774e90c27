"""What the memory's tables have in common in a SQLite file."""

from __future__ import annotations

from codin.database import Migrations, Schema
from codin.memory._words import TOKENIZER
from codin.memory.errors import MemoryFailure
from codin.security import Scope

_MIGRATIONS: Migrations = (
    (
        """
        CREATE TABLE message (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            tenant TEXT NOT NULL, user TEXT NOT NULL, agent TEXT NOT NULL, session TEXT NOT NULL,
            id TEXT NOT NULL, role TEXT NOT NULL, text TEXT NOT NULL, task_id TEXT,
            time REAL NOT NULL, body TEXT,
            UNIQUE (tenant, user, agent, session, id)
        )
        """,
        "CREATE INDEX message_session ON message (tenant, user, session, seq)",
        """
        CREATE TABLE note (
            tenant TEXT NOT NULL, user TEXT NOT NULL, agent TEXT NOT NULL, session TEXT NOT NULL,
            key TEXT NOT NULL, value TEXT NOT NULL, updated REAL NOT NULL,
            PRIMARY KEY (tenant, user, agent, session, key)
        ) WITHOUT ROWID
        """,
    ),
    (
        "ALTER TABLE note ADD COLUMN expires REAL",
        "CREATE INDEX note_expiry ON note (expires) WHERE expires IS NOT NULL",
        # ``held`` chunks are in it, ``removed`` were taken out of it since it was made.
        """
        CREATE TABLE chunk_collection (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            tenant TEXT NOT NULL, user TEXT NOT NULL, name TEXT NOT NULL,
            embedder TEXT, dimension INTEGER,
            held INTEGER NOT NULL DEFAULT 0, removed INTEGER NOT NULL DEFAULT 0,
            UNIQUE (tenant, user, name)
        )
        """,
        # Its numbers are never used again: whoever holds one of before would take it for another.
        """
        CREATE TABLE chunk (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            collection INTEGER NOT NULL, agent TEXT NOT NULL, session TEXT NOT NULL,
            id TEXT NOT NULL, updated REAL NOT NULL, expires REAL,
            text TEXT NOT NULL, metadata TEXT NOT NULL,
            UNIQUE (collection, agent, session, id)
        )
        """,
        "CREATE INDEX chunk_of_collection ON chunk (collection)",
        "CREATE INDEX chunk_expiry ON chunk (expires) WHERE expires IS NOT NULL",
        # Beside the texts: these are looked up one by one, and are on fewer pages so.
        "CREATE TABLE chunk_vector (seq INTEGER PRIMARY KEY, vector BLOB NOT NULL)",
        """
        CREATE TABLE chunk_tag (
            collection INTEGER NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
            seq INTEGER NOT NULL,
            PRIMARY KEY (collection, key, value, seq)
        ) WITHOUT ROWID
        """,
        f"CREATE VIRTUAL TABLE chunk_word USING fts5(words, content='', {TOKENIZER})",
    ),
)
MEMORY = Schema("memory", "the memory", MemoryFailure, sqlite=_MIGRATIONS, was_sqlite="message")

EXACT = "tenant = ? AND user = ? AND agent = ? AND session = ?"
WITHIN = "tenant = ? AND user = ? AND ifnull(agent = ?, 1) AND ifnull(session = ?, 1)"


def owner(scope: Scope) -> tuple[str, str, str, str]:
    """The values of ``EXACT``."""
    # Empty text for what is not given: NULLs are never equal in a unique index.
    return scope.tenant, scope.user, scope.agent or "", scope.session or ""


def reach(scope: Scope) -> tuple[str, str, str | None, str | None]:
    """The values of ``WITHIN``."""
    return scope.tenant, scope.user, scope.agent, scope.session
