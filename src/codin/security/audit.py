"""Who did what to what: written once, never changed."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from codin.security._database import SecurityDatabase
from codin.security.authorizer import Authorizer
from codin.security.principal import Principal

READ = "audit.read"

_CHARS = 2000


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

    @abstractmethod
    async def list(
        self, principal: Principal, *, before: int | None = None, limit: int = 100
    ) -> list[AuditRecord]:
        """The tenant's records, the latest first, those with a seq less than ``before``.

        Raises:
            ForbiddenError: ``principal`` lacks ``audit.read``.
        """


class SQLiteAuditLog(AuditLog):
    """The log in the security database, whose triggers refuse to change or delete a record."""

    def __init__(
        self,
        database: SecurityDatabase,
        authorizer: Authorizer,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._authorizer = authorizer
        self._clock = clock
        self._waiting: list[tuple[tuple[Any, ...], asyncio.Future[int]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def record(self, principal: Principal, entry: AuditEntry) -> int:
        row = (
            self._clock(),
            principal.tenant,
            principal.subject,
            json.dumps(entry.behalf),
            entry.action[:_CHARS],
            entry.resource[:_CHARS],
            entry.allowed,
            entry.origin[:_CHARS],
            _bounded(entry.detail),
        )
        written: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, written))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        return await written

    async def _write(self) -> None:
        # What comes while one transaction is written goes into the next, all of it at once.
        while self._waiting:
            batch, self._waiting = self._waiting, []
            insert = partial(_insert, rows=[row for row, _ in batch])
            try:
                numbers = await self._database.run(insert)
            except Exception as error:
                for _, written in batch:
                    if not written.done():
                        written.set_exception(error)
            else:
                for (_, written), seq in zip(batch, numbers, strict=True):
                    if not written.done():
                        written.set_result(seq)

    async def list(
        self, principal: Principal, *, before: int | None = None, limit: int = 100
    ) -> list[AuditRecord]:
        self._authorizer.require(principal, READ)
        query = (
            "SELECT seq, time, tenant, subject, behalf, action, resource, allowed, origin, detail "
            "FROM audit WHERE tenant = ? AND seq < ? ORDER BY seq DESC LIMIT ?"
        )
        first = 2**63 - 1 if before is None else before
        arguments = (principal.tenant, first, min(max(limit, 0), 1000))
        rows = await self._database.run(
            lambda connection: connection.execute(query, arguments).fetchall()
        )
        return [_record(row) for row in rows]


def _insert(connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> list[int]:
    insert = (
        "INSERT INTO audit "
        "(time, tenant, subject, behalf, action, resource, allowed, origin, detail) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    )
    return [int(connection.execute(insert, row).lastrowid or 0) for row in rows]


def _bounded(detail: Mapping[str, Any]) -> str:
    text = json.dumps(dict(detail), default=str)
    return text if len(text) <= _CHARS else json.dumps({"cut": text[: _CHARS - 100]})


def _record(row: tuple[Any, ...]) -> AuditRecord:
    seq, when, tenant, subject, behalf, action, resource, allowed, origin, detail = row
    entry = AuditEntry(
        action, resource, bool(allowed), tuple(json.loads(behalf)), origin, json.loads(detail)
    )
    return AuditRecord(seq, when, tenant, subject, entry)
