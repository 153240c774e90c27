"""What the Postgres store of push configs does, each function inside a transaction."""
# ruff: noqa: S608 - queries are put together from this module's own constants only

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from psycopg import AsyncConnection

from codin.security import Principal
from codin.task.push.base import Claim, DeadLetter, DeadLetterPage, PushConfig, PushPage
from codin.task.push.errors import PushConfigRefused, PushStoreError, UnknownPushConfig

NOW = "extract(epoch FROM clock_timestamp())::float8"
"""The database's clock, in seconds since the epoch: leases go by it."""

_LOCK = 0x70757368  # any number that all versions agree on: "push" in ASCII
_CONFIG = "config_id, task_id, url, token, scheme, credentials"
_LETTER = "task_id, config_id, seq, url, reason, status, attempts, first_try, last_try"
_OF_TASK = "tenant = %s AND subject = %s AND task_id = %s"
_HELD = "number = %s AND owner = %s"

_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # Numbers are never used twice: a claim on a deleted config must not fit its successor.
        """CREATE TABLE push_config (
            number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            tenant text NOT NULL,
            subject text NOT NULL,
            task_id text NOT NULL,
            config_id text NOT NULL,
            url text NOT NULL,
            token text NOT NULL,
            scheme text NOT NULL,
            credentials text NOT NULL,
            cursor bigint NOT NULL,
            done boolean NOT NULL DEFAULT false,
            owner text,
            lease_expires float8 NOT NULL DEFAULT 0,
            UNIQUE (tenant, subject, task_id, config_id)
        ) WITH (fillfactor = 70)""",
        "CREATE INDEX push_config_open ON push_config (number) WHERE NOT done",
        """CREATE TABLE dead_letter (
            number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            tenant text NOT NULL,
            subject text NOT NULL,
            task_id text NOT NULL,
            config_id text NOT NULL,
            seq bigint NOT NULL,
            url text NOT NULL,
            reason text NOT NULL,
            status integer,
            attempts integer NOT NULL,
            first_try float8 NOT NULL,
            last_try float8 NOT NULL
        )""",
        "CREATE INDEX dead_letter_by_subject ON dead_letter (tenant, subject, number)",
    ),
)

VERSION = len(_MIGRATIONS)


async def migrate(connection: AsyncConnection) -> None:
    """Bring the database to ``VERSION``.

    Raises:
        PushStoreError: it is ahead of this version already.
    """
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    await connection.execute("CREATE SCHEMA IF NOT EXISTS codin_push")
    await connection.execute("CREATE TABLE IF NOT EXISTS push_version (version integer NOT NULL)")
    found = (await _all(connection, "SELECT coalesce(max(version), 0) FROM push_version"))[0][0]
    if found > VERSION:
        raise PushStoreError(
            f"the push store was made by a newer codin (schema {found}, this one knows {VERSION}):"
            " upgrade codin, or give it another database"
        )
    for number, statements in enumerate(_MIGRATIONS[found:], found + 1):
        for statement in statements:
            await connection.execute(statement.encode())
        await connection.execute("INSERT INTO push_version VALUES (%s)", (number,))


async def put(
    connection: AsyncConnection, principal: Principal, config: PushConfig, after: int, most: int
) -> None:
    of_task = (*_whose(principal), config.task_id)
    # Of two at once the second must see what the first has made.
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", ("\x1f".join(of_task),)
    )
    [(others,)] = await _all(
        connection,
        f"SELECT count(*) FROM push_config WHERE {_OF_TASK} AND config_id <> %s",
        (*of_task, config.id),
    )
    if others >= most:
        raise PushConfigRefused(
            f"task {config.task_id} has {others} push notification configs, and more are not"
            " allowed: delete one first"
        )
    await connection.execute(
        f"""INSERT INTO push_config AS kept (tenant, subject, {_CONFIG}, cursor)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (tenant, subject, task_id, config_id) DO UPDATE SET
                url = excluded.url, token = excluded.token, scheme = excluded.scheme,
                credentials = excluded.credentials,
                cursor = CASE WHEN kept.done THEN excluded.cursor ELSE kept.cursor END,
                done = false
            WHERE (kept.url, kept.token, kept.scheme, kept.credentials) <>
                (excluded.url, excluded.token, excluded.scheme, excluded.credentials)""".encode(),
        (
            *_whose(principal),
            config.id,
            config.task_id,
            config.url,
            config.token,
            config.scheme,
            config.credentials,
            after,
        ),
    )


async def get(
    connection: AsyncConnection, principal: Principal, task_id: str, config_id: str
) -> PushConfig:
    found = await _all(
        connection,
        f"SELECT {_CONFIG} FROM push_config WHERE {_OF_TASK} AND config_id = %s",
        (*_whose(principal), task_id, config_id),
    )
    if not found:
        raise UnknownPushConfig(task_id, config_id)
    return PushConfig(*found[0])


async def page(
    connection: AsyncConnection, principal: Principal, task_id: str, limit: int, after: int
) -> PushPage:
    found = await _all(
        connection,
        f"""SELECT number, {_CONFIG} FROM push_config
            WHERE {_OF_TASK} AND number > %s ORDER BY number LIMIT %s""",
        (*_whose(principal), task_id, after, limit + 1),
    )
    shown = found[:limit]
    return PushPage(
        tuple(PushConfig(*row[1:]) for row in shown),
        shown[-1][0] if len(found) > limit else None,
    )


async def delete(
    connection: AsyncConnection, principal: Principal, task_id: str, config_id: str
) -> None:
    await connection.execute(
        f"DELETE FROM push_config WHERE {_OF_TASK} AND config_id = %s".encode(),
        (*_whose(principal), task_id, config_id),
    )


async def letters(
    connection: AsyncConnection,
    principal: Principal,
    task_id: str | None,
    limit: int,
    after: int | None,
) -> DeadLetterPage:
    found = await _all(
        connection,
        f"""SELECT number, {_LETTER} FROM dead_letter
            WHERE tenant = %s AND subject = %s
                AND (%s::text IS NULL OR task_id = %s) AND (%s::bigint IS NULL OR number < %s)
            ORDER BY number DESC LIMIT %s""",
        (*_whose(principal), task_id, task_id, after, after, limit + 1),
    )
    shown = found[:limit]
    return DeadLetterPage(
        tuple(DeadLetter(*row[1:]) for row in shown),
        shown[-1][0] if len(found) > limit else None,
    )


async def claim(
    connection: AsyncConnection,
    owner: str,
    ttl: float,
    is_dead: Callable[[str], bool],
    limit: int,
) -> tuple[Claim, ...]:
    holders = await _all(
        connection,
        "SELECT DISTINCT owner FROM push_config WHERE NOT done AND owner IS NOT NULL",
    )
    dead = [holder for (holder,) in holders if holder != owner and is_dead(holder)]
    found = await _all(
        connection,
        f"""UPDATE push_config SET owner = %s, lease_expires = {NOW} + %s WHERE number IN (
                SELECT number FROM push_config
                WHERE NOT done AND (owner IS NULL OR lease_expires < {NOW} OR owner = ANY(%s))
                ORDER BY number LIMIT %s FOR UPDATE SKIP LOCKED)
            RETURNING number, owner, tenant, subject, cursor, {_CONFIG}""",
        (owner, ttl, dead, limit),
    )
    return tuple(_claim(row) for row in sorted(found))


async def renew(
    connection: AsyncConnection, owner: str, ttl: float, numbers: Collection[int]
) -> None:
    await connection.execute(
        f"""UPDATE push_config SET lease_expires = {NOW} + %s
            WHERE number = ANY(%s) AND owner = %s""".encode(),
        (ttl, list(numbers), owner),
    )


async def current(connection: AsyncConnection, claim: Claim) -> Claim | None:
    found = await _all(
        connection,
        f"SELECT number, owner, tenant, subject, cursor, {_CONFIG} FROM push_config WHERE {_HELD}",
        (claim.number, claim.owner),
    )
    return _claim(found[0]) if found else None


async def advance(
    connection: AsyncConnection, claim: Claim, seq: int, letter: DeadLetter | None, *, done: bool
) -> bool:
    changed = await connection.execute(
        f"UPDATE push_config SET cursor = greatest(cursor, %s), done = %s WHERE {_HELD}".encode(),
        (seq, done, claim.number, claim.owner),
    )
    if not changed.rowcount:
        return False
    if letter is not None:
        await connection.execute(
            f"""INSERT INTO dead_letter (tenant, subject, {_LETTER})
                VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""".encode(),
            (
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
            ),
        )
    return True


async def release(connection: AsyncConnection, claim: Claim) -> None:
    await connection.execute(
        f"UPDATE push_config SET owner = NULL, lease_expires = 0 WHERE {_HELD}".encode(),
        (claim.number, claim.owner),
    )


async def leave(connection: AsyncConnection, owner: str) -> None:
    await connection.execute(
        "UPDATE push_config SET owner = NULL, lease_expires = 0 WHERE owner = %s", (owner,)
    )


async def _all(
    connection: AsyncConnection, query: str, values: tuple[Any, ...] = ()
) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query.encode(), values)).fetchall()


def _whose(principal: Principal) -> tuple[str, str]:
    return principal.tenant, principal.subject


def _claim(row: tuple[Any, ...]) -> Claim:
    number, owner, tenant, subject, cursor, *config = row
    return Claim(number, owner, Principal(tenant, subject), PushConfig(*config), cursor)
