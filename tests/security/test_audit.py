"""The audit log: whose it is, and that nothing in it changes."""

import asyncio
import sqlite3
from pathlib import Path

import psycopg
import pytest
from security_people import ADMIN, USER, Clock

from codin.database import FILE_NAME, Database, open_database
from codin.security import (
    DEFAULT_ROLES,
    AuditLog,
    RoleAuthorizer,
    SecurityFailure,
    SecurityStore,
    StoredAudit,
)
from codin.testing.audit_conformance import ENTRY, AuditLogSuite
from codin.testing.postgres import PostgresServer


class TestStored(AuditLogSuite):
    @pytest.fixture
    def audit(self, database: Database, clock: Clock) -> AuditLog:
        return StoredAudit(database, RoleAuthorizer(DEFAULT_ROLES), clock=clock)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET allowed = 0",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE seq = 1",
        "INSERT OR REPLACE INTO audit VALUES (1, 0, 'acme', 'x', '[]', 'a', 'r', 1, '', '{}')",
        "REPLACE INTO audit SELECT 1, time, tenant, 'x', behalf, action, resource, 1, '', '{}' "
        "FROM audit",
        "INSERT INTO audit VALUES (1, 0, 'acme', 'x', '[]', 'a', 'r', 1, '', '{}') "
        "ON CONFLICT DO UPDATE SET subject = 'x'",
    ],
)
async def test_the_file_itself_refuses_changes(
    store: SecurityStore, tmp_path: Path, statement: str
) -> None:
    await store.audit.record(USER, ENTRY)
    before = await store.audit.list(ADMIN)
    connection = sqlite3.connect(tmp_path / "home" / FILE_NAME)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"), connection:
        connection.execute(statement)
    connection.close()
    assert await store.audit.list(ADMIN) == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET allowed = false",
        "UPDATE audit SET allowed = false WHERE false",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "SET session_replication_role = replica; DELETE FROM audit",
        "INSERT INTO audit OVERRIDING SYSTEM VALUE "
        "VALUES (1, 0, 'a', 's', '', '', '', true, '', '') "
        "ON CONFLICT (seq) DO UPDATE SET subject = 'x'",
        "MERGE INTO audit USING (SELECT 1) AS one ON true WHEN MATCHED THEN DELETE",
    ],
)
async def test_the_server_itself_refuses_changes(postgres: PostgresServer, statement: str) -> None:
    with postgres.database() as url:
        async with await open_database(url) as database:
            audit = StoredAudit(database, RoleAuthorizer(DEFAULT_ROLES))
            await audit.record(USER, ENTRY)
            before = await audit.list(ADMIN)
            with (
                psycopg.connect(url, options="-c search_path=codin") as connection,
                pytest.raises(psycopg.errors.RaiseException, match="append-only"),
            ):
                connection.execute(statement.encode())
            assert await audit.list(ADMIN) == before


async def test_what_cannot_be_written_is_an_error_to_each_and_not_the_end(
    store: SecurityStore, tmp_path: Path
) -> None:
    await store.audit.record(USER, ENTRY)
    connection = sqlite3.connect(tmp_path / "home" / FILE_NAME)
    connection.execute("ALTER TABLE audit RENAME TO away")
    connection.commit()
    done = await asyncio.gather(
        *(store.audit.record(USER, ENTRY) for _ in range(3)), return_exceptions=True
    )
    assert [type(each) for each in done] == [SecurityFailure] * 3
    connection.execute("ALTER TABLE away RENAME TO audit")
    connection.commit()
    connection.close()
    await store.audit.record(USER, ENTRY)
    await store.close()
    with pytest.raises(SecurityFailure, match="closed"):
        await store.audit.record(USER, ENTRY)
