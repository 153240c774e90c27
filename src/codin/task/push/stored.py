"""Push notification configs in a database, of whichever kind."""
# ruff: noqa: S608 - statements are put together from this module's own constants only

from __future__ import annotations

import builtins
import os
from collections.abc import Callable, Collection
from typing import Any

from codin.database import Database, DatabaseError, Row, Statement, Tables, database_at, storable
from codin.security import Principal
from codin.task.push._schema import PUSH
from codin.task.push.base import (
    Claim,
    DeadLetter,
    DeadLetterPage,
    PushConfig,
    PushConfigStore,
    PushPage,
)
from codin.task.push.errors import PushConfigRefused, PushStoreError, UnknownPushConfig

_CONFIG = "config_id, task_id, url, token, scheme, credentials"
_CLAIM = f"number, owner, tenant, subject, cursor, {_CONFIG}"
_LETTER = "task_id, config_id, seq, url, reason, status, attempts, first_try, last_try"
_OF_TASK = "tenant = %s AND subject = %s AND task_id = %s"
_HELD = "number = %s AND owner = %s"

_OTHERS = f"SELECT count(*) FROM push_config WHERE {_OF_TASK} AND config_id <> %s"

_PUT = f"""INSERT INTO push_config AS kept (tenant, subject, {_CONFIG}, cursor)
    SELECT %s, %s, %s, %s, %s, %s, %s, %s, %s WHERE ({_OTHERS}) < %s
    ON CONFLICT (tenant, subject, task_id, config_id) DO UPDATE SET
        url = excluded.url, token = excluded.token, scheme = excluded.scheme,
        credentials = excluded.credentials,
        cursor = CASE WHEN kept.done THEN excluded.cursor ELSE kept.cursor END,
        done = false
    WHERE (kept.url, kept.token, kept.scheme, kept.credentials) <>
        (excluded.url, excluded.token, excluded.scheme, excluded.credentials)"""

_ADVANCE = f"""UPDATE push_config
    SET cursor = CASE WHEN cursor < %s THEN %s ELSE cursor END, done = %s WHERE {_HELD}"""

_BURY = f"""INSERT INTO dead_letter (tenant, subject, {_LETTER})
    SELECT %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s FROM push_config WHERE {_HELD}"""


class StoredPushConfigs(PushConfigStore):
    """Open it with ``await StoredPushConfigs.open(place)``, or ``over`` a database that others use.
    What was acknowledged survives the death of the process. Several processes share it, and each
    config is told by one of them."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    @classmethod
    async def open(cls, place: str | os.PathLike[str]) -> StoredPushConfigs:
        """The store at ``place``: a file, which is made, readable by its user only, when it is not
        there, or a ``postgresql://`` address.

        Raises:
            PushStoreError: it cannot be opened, or a newer codin made it.
        """
        try:
            database = database_at(place)
        except DatabaseError as error:
            raise PushStoreError(str(error)) from error
        return cls(await database.tables(PUSH, owned=True).open())

    @classmethod
    async def over(cls, database: Database) -> StoredPushConfigs:
        """The store in ``database``, which stays open when the store is closed. Raises as
        ``open``."""
        return cls(await database.tables(PUSH).open())

    async def put(self, principal: Principal, config: PushConfig, *, after: int, most: int) -> None:
        whose = _whose(principal)
        fields = (config.url, config.token, config.scheme, config.credentials)
        if not storable(*whose, config.id, config.task_id, *fields):
            raise PushConfigRefused(
                "the push notification config holds a character that cannot be stored (NUL or half"
                " a surrogate pair): leave it out"
            )
        others = (*whose, config.task_id, config.id)
        values = (*whose, config.id, config.task_id, *fields, after, *others, most)
        # Of two at once the second must see what the first has made.
        [(count,)] = await self._tables.change_alone(
            "\x1f".join((*whose, config.task_id)), (_PUT, values), (_OTHERS, others)
        )
        if count >= most:
            raise PushConfigRefused(
                f"task {config.task_id} has {count} push notification configs, and more are not"
                " allowed: delete one first"
            )

    async def get(self, principal: Principal, task_id: str, config_id: str) -> PushConfig:
        key = (*_whose(principal), task_id, config_id)
        query = f"SELECT {_CONFIG} FROM push_config WHERE {_OF_TASK} AND config_id = %s"
        found = await self._tables.rows(query, key) if storable(*key) else []
        if not found:
            raise UnknownPushConfig(task_id, config_id)
        return PushConfig(*found[0])

    async def list(
        self, principal: Principal, task_id: str, *, limit: int = 50, after: int | None = None
    ) -> PushPage:
        key = (*_whose(principal), task_id)
        query = f"""SELECT number, {_CONFIG} FROM push_config
            WHERE {_OF_TASK} AND number > %s ORDER BY number LIMIT %s"""
        values = (*key, after or 0, limit + 1)
        found = await self._tables.rows(query, values) if storable(*key) else []
        shown, cursor = _page(found, limit)
        return PushPage(tuple(PushConfig(*row) for row in shown), cursor)

    async def delete(self, principal: Principal, task_id: str, config_id: str) -> None:
        key = (*_whose(principal), task_id, config_id)
        statement = f"DELETE FROM push_config WHERE {_OF_TASK} AND config_id = %s"
        if storable(*key):
            await self._tables.change((statement, key))

    async def dead_letters(
        self,
        principal: Principal,
        *,
        task_id: str | None = None,
        limit: int = 50,
        after: int | None = None,
    ) -> DeadLetterPage:
        where, values = "tenant = %s AND subject = %s", [*_whose(principal)]
        given: builtins.list[Any] = []
        for condition, value in (("task_id = %s", task_id), ("number < %s", after)):
            if value is not None:
                where += f" AND {condition}"
                given.append(value)
        query = f"""SELECT number, {_LETTER} FROM dead_letter
            WHERE {where} ORDER BY number DESC LIMIT %s"""
        readable = storable(*values, task_id)
        found = await self._tables.rows(query, (*values, *given, limit + 1)) if readable else []
        shown, cursor = _page(found, limit)
        return DeadLetterPage(tuple(DeadLetter(*row) for row in shown), cursor)

    async def claim(
        self, owner: str, ttl: float, is_dead: Callable[[str], bool], *, limit: int = 1000
    ) -> tuple[Claim, ...]:
        now, skip_locked = self._tables.NOW, self._tables.SKIP_LOCKED
        holders = await self._tables.rows(
            "SELECT DISTINCT owner FROM push_config WHERE NOT done AND owner IS NOT NULL"
        )
        dead = [holder for (holder,) in holders if holder != owner and is_dead(holder)]
        among, these = self._tables.among(dead)
        statement = f"""UPDATE push_config SET owner = %s, lease_expires = {now} + %s
            WHERE number IN (
                SELECT number FROM push_config
                WHERE NOT done AND (owner IS NULL OR lease_expires < {now} OR owner {among})
                ORDER BY number LIMIT %s {skip_locked})
            RETURNING {_CLAIM}"""
        found = await self._tables.change((statement, (owner, ttl, these, limit)))
        return tuple(_claim(row) for row in sorted(found))

    async def renew(self, owner: str, ttl: float, numbers: Collection[int]) -> None:
        if numbers:
            among, these = self._tables.among(numbers)
            statement = f"""UPDATE push_config SET lease_expires = {self._tables.NOW} + %s
                WHERE owner = %s AND number {among}"""
            await self._tables.change((statement, (ttl, owner, these)))

    async def current(self, claim: Claim) -> Claim | None:
        query = f"SELECT {_CLAIM} FROM push_config WHERE {_HELD}"
        found = await self._tables.rows(query, (claim.number, claim.owner))
        return _claim(found[0]) if found else None

    async def advance(
        self, claim: Claim, seq: int, *, letter: DeadLetter | None = None, done: bool = False
    ) -> bool:
        held = (claim.number, claim.owner)
        advance = (f"{_ADVANCE} RETURNING number", (seq, seq, done, *held))
        if letter is None:
            return bool(await self._tables.change(advance))
        # The first keeps the row, so that the others find what it found.
        still = (f"SELECT number FROM push_config WHERE {_HELD}", held)
        return bool(await self._tables.change(advance, _burial(claim, letter), still))

    async def release(self, claim: Claim) -> None:
        await self._tables.change(
            (
                f"UPDATE push_config SET owner = NULL, lease_expires = 0 WHERE {_HELD}",
                (claim.number, claim.owner),
            )
        )

    async def leave(self, owner: str) -> None:
        await self._tables.change(
            ("UPDATE push_config SET owner = NULL, lease_expires = 0 WHERE owner = %s", (owner,))
        )

    async def close(self) -> None:
        await self._tables.close()


def _burial(claim: Claim, letter: DeadLetter) -> Statement:
    values = (
        *_whose(claim.principal),
        letter.task_id,
        letter.config_id,
        letter.seq,
        letter.url,
        letter.reason,
        letter.status,
        letter.attempts,
        letter.first,
        letter.last,
    )
    return _BURY, (*values, claim.number, claim.owner)


def _page(found: list[Row], limit: int) -> tuple[list[Row], int | None]:
    """The rows of a page without their numbers, and where the next one begins."""
    shown = found[:limit]
    return [row[1:] for row in shown], shown[-1][0] if shown and len(found) > limit else None


def _whose(principal: Principal) -> tuple[str, str]:
    return principal.tenant, principal.subject


def _claim(row: Row) -> Claim:
    number, owner, tenant, subject, cursor, *config = row
    return Claim(number, owner, Principal(tenant, subject), PushConfig(*config), cursor)
