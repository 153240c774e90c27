"""Who did what to what: written once, never changed."""
# ruff: noqa: S608 - statements are put together from this module's own constants only

from __future__ import annotations

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from codin.database import Database, Row, storable
from codin.security._schema import AUDIT
from codin.security.authorizer import Authorizer
from codin.security.principal import Principal

READ = "audit.read"

_CHARS = 2000
_AT_ONCE = 100
_LAST = 2**63 - 1
_COLUMNS = "time, tenant, subject, behalf, action, resource, allowed, origin, detail"
_LIST = f"""SELECT seq, {_COLUMNS} FROM audit
    WHERE tenant = %s AND seq < %s ORDER BY seq DESC LIMIT %s"""

_Waiting = tuple[Row, "asyncio.Future[int]"]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One decision. ``behalf`` names those who acted for the principal, the nearest first.

    ``action`` is the permission asked for or what was done (``task.create``, ``auth.keys``),
    ``origin`` where from (an address), ``detail`` small facts, never a secret.
    """

    action: str
    resource: str
    allowed: bool
    behalf: tuple[str, ...] = ()
    origin: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """An entry as it is kept: whose, when (seconds since the epoch), and at which place."""

    seq: int
    time: float
    tenant: str
    subject: str
    entry: AuditEntry


class AuditLog(ABC):
    """Append-only. Raises ``SecurityFailure`` when it cannot be used: what cannot be written
    down must not be done."""

    @abstractmethod
    async def record(self, principal: Principal, entry: AuditEntry) -> int:
        """Write ``entry`` down for ``principal``; its seq. Texts are cut at 2,000 characters."""

    def begin(self, principal: Principal, entry: AuditEntry) -> asyncio.Future[int]:
        """``record``, begun: what it gives or raises comes by the future, which has to be awaited.
        It is written also when nobody waits any more."""
        return asyncio.ensure_future(self.record(principal, entry))

    @abstractmethod
    async def list(
        self, principal: Principal, *, before: int | None = None, limit: int = 100
    ) -> list[AuditRecord]:
        """The tenant's records, the latest first, those with a seq less than ``before``.

        Raises:
            ForbiddenError: ``principal`` lacks ``audit.read``.
        """


class StoredAudit(AuditLog):
    """The log in ``database``, whose triggers refuse to change or delete a record."""

    def __init__(
        self,
        database: Database,
        authorizer: Authorizer,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._tables = database.tables(AUDIT)
        self._authorizer = authorizer
        self._clock = clock
        self._waiting: list[_Waiting] = []
        self._writing: set[asyncio.Task[None]] = set()

    async def record(self, principal: Principal, entry: AuditEntry) -> int:
        return await self.begin(principal, entry)

    def begin(self, principal: Principal, entry: AuditEntry) -> asyncio.Future[int]:
        row = (
            self._clock(),
            _text(principal.tenant),
            _text(principal.subject),
            json.dumps(entry.behalf) if entry.behalf else "[]",
            _text(entry.action)[:_CHARS],
            _text(entry.resource)[:_CHARS],
            entry.allowed,
            _text(entry.origin)[:_CHARS],
            _bounded(entry.detail),
        )
        loop = asyncio.get_running_loop()
        written: asyncio.Future[int] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._hand_in)
        self._waiting.append((row, written))
        return written

    def _hand_in(self) -> None:
        # What is recorded in one turn of the loop goes into one statement, in a task of its own:
        # whose caller goes away is written all the same.
        waiting, self._waiting = self._waiting, []
        for first in range(0, len(waiting), _AT_ONCE):
            task = asyncio.create_task(self._write(waiting[first : first + _AT_ONCE]))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def _write(self, batch: Sequence[_Waiting]) -> None:
        values = [value for row, _ in batch for value in row]
        try:
            found = await self._tables.change((_insert(len(batch)), values))
        except Exception as error:
            for _, written in batch:
                if not written.done():
                    written.set_exception(error)
        else:
            for (_, written), (seq,) in zip(batch, sorted(found), strict=True):
                if not written.done():
                    written.set_result(seq)

    async def list(
        self, principal: Principal, *, before: int | None = None, limit: int = 100
    ) -> list[AuditRecord]:
        self._authorizer.require(principal, READ)
        first = _LAST if before is None else min(before, _LAST)
        values = (_text(principal.tenant), first, min(max(limit, 0), 1000))
        return [_record(row) for row in await self._tables.rows(_LIST, values)]


@cache
def _insert(count: int) -> str:
    rows = ", ".join(["(%s, %s, %s, %s, %s, %s, %s, %s, %s)"] * count)
    return f"INSERT INTO audit ({_COLUMNS}) VALUES {rows} RETURNING seq"


def _text(text: str) -> str:
    """``text`` as every database holds it: what is recorded may be what an attacker sent."""
    if storable(text):
        return text
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def _bounded(detail: Mapping[str, Any]) -> str:
    text = json.dumps(dict(detail), default=str)
    return text if len(text) <= _CHARS else json.dumps({"cut": text[: _CHARS - 100]})


def _record(row: Row) -> AuditRecord:
    seq, when, tenant, subject, behalf, action, resource, allowed, origin, detail = row
    entry = AuditEntry(
        action, resource, bool(allowed), tuple(json.loads(behalf)), origin, json.loads(detail)
    )
    return AuditRecord(seq, when, tenant, subject, entry)
