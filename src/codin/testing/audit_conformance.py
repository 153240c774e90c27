"""What every audit log must do. Subclass ``AuditLogSuite`` in a test module, and give it a fixture
``audit`` that yields an empty log which goes by the fixture ``clock``::

    class TestMine(AuditLogSuite):
        @pytest.fixture
        def audit(self, clock):
            return MyAudit(..., clock=clock)

Needs pytest with pytest-asyncio in automatic mode.
"""

from __future__ import annotations

import asyncio

import pytest

from codin.security import ForbiddenError, Principal
from codin.security.audit import AuditEntry, AuditLog
from codin.testing.security import ADMIN, STRANGER, USER, Clock

ENTRY = AuditEntry("task.create", "echo", True, ("gateway", "agent"), "192.0.2.7", {"parts": 2})


class AuditLogSuite:
    """The contract of ``AuditLog``, one test a rule."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    async def test_a_record_says_who_did_what_when_and_from_where(
        self, audit: AuditLog, clock: Clock
    ) -> None:
        first = await audit.record(USER, ENTRY)
        clock.now += 1
        second = await audit.record(USER, AuditEntry("tool.call", "rm", False))
        records = await audit.list(ADMIN)
        assert [record.seq for record in records] == [second, first]
        assert records[1].entry == ENTRY
        assert (records[1].tenant, records[1].subject) == ("acme", "uma")
        assert records[1].time == clock.now - 1
        assert records[0].entry.allowed is False
        assert [r.seq for r in await audit.list(ADMIN, before=second)] == [first]
        assert [r.seq for r in await audit.list(ADMIN, before=10**30, limit=1)] == [second]

    async def test_tenants_and_those_who_may_not_read_see_nothing(self, audit: AuditLog) -> None:
        await audit.record(USER, ENTRY)
        assert await audit.list(STRANGER) == []
        with pytest.raises(ForbiddenError):
            await audit.list(USER)

    async def test_what_is_too_long_is_cut(self, audit: AuditLog) -> None:
        await audit.record(USER, AuditEntry("a", "r" * 9000, False, detail={"x": "y" * 9000}))
        (record,) = await audit.list(ADMIN)
        assert len(record.entry.resource) == 2000
        assert len(str(record.entry.detail)) < 2100

    async def test_whatever_was_tried_is_written_down(self, audit: AuditLog) -> None:
        odd = "'; DROP TABLE audit; --\0\ud800\u202e"
        who = Principal("acme\0", odd, roles=frozenset({"owner"}))
        entry = AuditEntry(odd, odd, False, (odd,), odd, {odd: odd})
        await audit.record(who, entry)
        (record,) = await audit.list(who)
        shown = "'; DROP TABLE audit; --\\x00\\ud800\u202e"
        assert (record.tenant, record.subject) == ("acme\\x00", shown)
        assert record.entry == AuditEntry(shown, shown, False, (odd,), shown, {odd: odd})

    async def test_many_at_once_are_all_written_in_their_order(self, audit: AuditLog) -> None:
        entries = [AuditEntry("a", str(number), True) for number in range(350)]
        seqs = await asyncio.gather(*(audit.record(USER, entry) for entry in entries))
        assert len(set(seqs)) == 350
        records = {
            record.seq: record.entry.resource for record in await audit.list(ADMIN, limit=500)
        }
        assert [records[seq] for seq in seqs] == [entry.resource for entry in entries]

    async def test_who_goes_away_takes_nothing_with_them(self, audit: AuditLog) -> None:
        going = asyncio.create_task(audit.record(USER, AuditEntry("a", "gone", True)))
        await asyncio.sleep(0)
        going.cancel()
        await audit.record(USER, AuditEntry("a", "stays", True))
        async with asyncio.timeout(10):
            while len(records := await audit.list(ADMIN)) < 2:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        assert {record.entry.resource for record in records} == {"stays", "gone"}
