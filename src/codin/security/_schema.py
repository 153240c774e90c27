"""The tables of API keys and of the audit log, one migration a version."""

from __future__ import annotations

from codin.database import Schema
from codin.security.errors import SecurityFailure

KEYS = Schema(
    "keys",
    "the key store",
    SecurityFailure,
    sqlite=(
        (
            """CREATE TABLE api_key (
                id TEXT PRIMARY KEY, digest BLOB NOT NULL, tenant TEXT NOT NULL,
                subject TEXT NOT NULL, roles TEXT NOT NULL, scopes TEXT NOT NULL,
                note TEXT NOT NULL, made_by TEXT NOT NULL,
                created REAL NOT NULL, expires REAL, revoked REAL
            ) WITHOUT ROWID""",
            "CREATE INDEX api_key_tenant ON api_key (tenant, created)",
        ),
    ),
    postgres=(
        (
            """CREATE TABLE api_key (
                id text COLLATE "C" PRIMARY KEY, digest bytea NOT NULL, tenant text NOT NULL,
                subject text NOT NULL, roles text NOT NULL, scopes text NOT NULL,
                note text NOT NULL, made_by text NOT NULL,
                created float8 NOT NULL, expires float8, revoked float8
            )""",
            "CREATE INDEX api_key_tenant ON api_key (tenant, created)",
        ),
    ),
    was_sqlite="api_key",
)

AUDIT = Schema(
    "audit",
    "the audit log",
    SecurityFailure,
    sqlite=(
        (
            """CREATE TABLE audit (
                seq INTEGER PRIMARY KEY AUTOINCREMENT,
                time REAL NOT NULL, tenant TEXT NOT NULL, subject TEXT NOT NULL,
                behalf TEXT NOT NULL, action TEXT NOT NULL, resource TEXT NOT NULL,
                allowed INTEGER NOT NULL, origin TEXT NOT NULL, detail TEXT NOT NULL
            )""",
            "CREATE INDEX audit_tenant ON audit (tenant, seq)",
            """CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
                BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END""",
            """CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
                BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END""",
            # REPLACE takes the old row away without asking the trigger above.
            """CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit
                WHEN EXISTS (SELECT 1 FROM audit WHERE seq = new.seq)
                BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END""",
        ),
    ),
    postgres=(
        (
            """CREATE TABLE audit (
                seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                time float8 NOT NULL, tenant text NOT NULL, subject text NOT NULL,
                behalf text NOT NULL, action text NOT NULL, resource text NOT NULL,
                allowed boolean NOT NULL, origin text NOT NULL, detail text NOT NULL
            )""",
            "CREATE INDEX audit_tenant ON audit (tenant, seq)",
            """CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$""",
            """CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
                FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()""",
            # Otherwise a session that says it replicates is not asked.
            "ALTER TABLE audit ENABLE ALWAYS TRIGGER audit_append_only",
        ),
    ),
    was_sqlite="audit",
)
