"""The audit log: whose it is, and that nothing in it changes."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from security_people import ADMIN, STRANGER, USER, Clock

from codin.security import AuditEntry, ForbiddenError, SecurityFailure, SecurityStore

ENTRY = AuditEntry("task.create", "echo", True, ("gateway", "agent"), "192.0.2.7", {"parts": 2})


async def test_a_record_says_who_did_what_when_and_from_where(
    store: SecurityStore, clock: Clock
) -> None:
    first = await store.audit.record(USER, ENTRY)
    clock.now += 1
    second = await store.audit.record(USER, AuditEntry("tool.call", "rm", False))
    records = await store.audit.list(ADMIN)
    assert [record.seq for record in records] == [second, first]
    assert records[1].entry == ENTRY
    assert (records[1].tenant, records[1].subject) == ("acme", "uma")
    assert records[1].time == clock.now - 1
    assert not records[0].entry.allowed
    assert [r.seq for r in await store.audit.list(ADMIN, before=second)] == [first]
    assert [r.seq for r in await store.audit.list(ADMIN, limit=1)] == [second]


async def test_tenants_and_those_who_may_not_read_see_nothing(store: SecurityStore) -> None:
    await store.audit.record(USER, ENTRY)
    assert await store.audit.list(STRANGER) == []
    with pytest.raises(ForbiddenError):
        await store.audit.list(USER)


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
    connection = sqlite3.connect(tmp_path / "home" / "security.db")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"), connection:
        connection.execute(statement)
    connection.close()
    assert await store.audit.list(ADMIN) == before


async def test_what_is_too_long_is_cut(store: SecurityStore) -> None:
    await store.audit.record(USER, AuditEntry("a", "r" * 9000, False, detail={"x": "y" * 9000}))
    (record,) = await store.audit.list(ADMIN)
    assert len(record.entry.resource) == 2000
    assert len(str(record.entry.detail)) < 2100


async def test_many_at_once_are_all_written_in_their_order(store: SecurityStore) -> None:
    entries = [AuditEntry("a", str(number), True) for number in range(200)]
    seqs = await asyncio.gather(*(store.audit.record(USER, entry) for entry in entries))
    assert seqs == sorted(seqs)
    records = {
        record.seq: record.entry.resource for record in await store.audit.list(ADMIN, limit=500)
    }
    assert [records[seq] for seq in seqs] == [entry.resource for entry in entries]


async def test_who_goes_away_takes_nothing_with_them(store: SecurityStore) -> None:
    going = asyncio.create_task(store.audit.record(USER, AuditEntry("a", "gone", True)))
    await asyncio.sleep(0)
    going.cancel()
    await store.audit.record(USER, AuditEntry("a", "stays", True))
    written = [record.entry.resource for record in await store.audit.list(ADMIN)]
    assert written == ["stays", "gone"]


async def test_what_cannot_be_written_is_an_error_to_each_and_not_the_end(
    store: SecurityStore, tmp_path: Path
) -> None:
    await store.audit.record(USER, ENTRY)
    connection = sqlite3.connect(tmp_path / "home" / "security.db")
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
