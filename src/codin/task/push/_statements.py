"""What the SQLite store of push configs does, each function inside a transaction."""
# ruff: noqa: S608 - queries are put together from this module's own constants only

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from codin.security import Principal
from codin.task.push._schema import NOW
from codin.task.push.base import Claim, DeadLetter, DeadLetterPage, PushConfig, PushPage
from codin.task.push.errors import PushConfigRefused, UnknownPushConfig

_CONFIG = "config_id, task_id, url, token, scheme, credentials"
_LETTER = "task_id, config_id, seq, url, reason, status, attempts, first, last"
_OF_TASK = "tenant = ? AND subject = ? AND task_id = ?"
_HELD = "number = ? AND owner = ?"


def put(
    connection: sqlite3.Connection,
    principal: Principal,
    config: PushConfig,
    after: int,
    most: int,
) -> None:
    others = connection.execute(
        f"SELECT COUNT(*) FROM push_config WHERE {_OF_TASK} AND config_id != ?",
        (*_whose(principal), config.task_id, config.id),
    ).fetchone()[0]
    if others >= most:
        raise PushConfigRefused(
            f"task {config.task_id} has {others} push notification configs, and more are not"
            " allowed: delete one first"
        )
    connection.execute(
        f"""INSERT INTO push_config (tenant, subject, {_CONFIG}, cursor)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (tenant, subject, task_id, config_id) DO UPDATE SET
                url = excluded.url, token = excluded.token, scheme = excluded.scheme,
                credentials = excluded.credentials,
                cursor = CASE WHEN done THEN excluded.cursor ELSE cursor END,
                done = 0
            WHERE (url, token, scheme, credentials) !=
                (excluded.url, excluded.token, excluded.scheme, excluded.credentials)""",
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


def get(
    connection: sqlite3.Connection, principal: Principal, task_id: str, config_id: str
) -> PushConfig:
    found = connection.execute(
        f"SELECT {_CONFIG} FROM push_config WHERE {_OF_TASK} AND config_id = ?",
        (*_whose(principal), task_id, config_id),
    ).fetchone()
    if found is None:
        raise UnknownPushConfig(task_id, config_id)
    return PushConfig(*found)


def page(
    connection: sqlite3.Connection, principal: Principal, task_id: str, limit: int, after: int
) -> PushPage:
    found = connection.execute(
        f"""SELECT number, {_CONFIG} FROM push_config
            WHERE {_OF_TASK} AND number > ? ORDER BY number LIMIT ?""",
        (*_whose(principal), task_id, after, limit + 1),
    ).fetchall()
    shown = found[:limit]
    return PushPage(
        tuple(PushConfig(*row[1:]) for row in shown),
        shown[-1][0] if len(found) > limit else None,
    )


def delete(
    connection: sqlite3.Connection, principal: Principal, task_id: str, config_id: str
) -> None:
    connection.execute(
        f"DELETE FROM push_config WHERE {_OF_TASK} AND config_id = ?",
        (*_whose(principal), task_id, config_id),
    )


def letters(
    connection: sqlite3.Connection,
    principal: Principal,
    task_id: str | None,
    limit: int,
    after: int | None,
) -> DeadLetterPage:
    found = connection.execute(
        f"""SELECT number, {_LETTER} FROM dead_letter
            WHERE tenant = ? AND subject = ? AND ifnull(task_id = ?, 1) AND ifnull(number < ?, 1)
            ORDER BY number DESC LIMIT ?""",
        (*_whose(principal), task_id, after, limit + 1),
    ).fetchall()
    shown = found[:limit]
    return DeadLetterPage(
        tuple(DeadLetter(*row[1:]) for row in shown),
        shown[-1][0] if len(found) > limit else None,
    )


def claim(
    connection: sqlite3.Connection,
    owner: str,
    ttl: float,
    is_dead: Callable[[str], bool],
    limit: int,
) -> tuple[Claim, ...]:
    holders = connection.execute(
        "SELECT DISTINCT owner FROM push_config WHERE done = 0 AND owner IS NOT NULL"
    ).fetchall()
    dead = [holder for (holder,) in holders if holder != owner and is_dead(holder)]
    among = ", ".join("?" * len(dead))
    found = connection.execute(
        f"""UPDATE push_config SET owner = ?, lease_expires = {NOW} + ? WHERE number IN (
                SELECT number FROM push_config
                WHERE done = 0 AND (owner IS NULL OR lease_expires < {NOW} OR owner IN ({among}))
                ORDER BY number LIMIT ?)
            RETURNING number, owner, tenant, subject, cursor, {_CONFIG}""",
        (owner, ttl, *dead, limit),
    ).fetchall()
    return tuple(_claim(row) for row in sorted(found))


def renew(connection: sqlite3.Connection, held: Sequence[tuple[float, int, str]]) -> None:
    connection.executemany(f"UPDATE push_config SET lease_expires = {NOW} + ? WHERE {_HELD}", held)


def current(connection: sqlite3.Connection, claim: Claim) -> Claim | None:
    found = connection.execute(
        f"SELECT number, owner, tenant, subject, cursor, {_CONFIG} FROM push_config WHERE {_HELD}",
        (claim.number, claim.owner),
    ).fetchone()
    return None if found is None else _claim(found)


def advance(
    connection: sqlite3.Connection,
    claim: Claim,
    seq: int,
    letter: DeadLetter | None,
    *,
    done: bool,
) -> bool:
    changed = connection.execute(
        f"UPDATE push_config SET cursor = max(cursor, ?), done = ? WHERE {_HELD}",
        (seq, done, claim.number, claim.owner),
    ).rowcount
    if not changed:
        return False
    if letter is not None:
        connection.execute(
            f"""INSERT INTO dead_letter (tenant, subject, {_LETTER})
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
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


def release(connection: sqlite3.Connection, claim: Claim) -> None:
    connection.execute(
        f"UPDATE push_config SET owner = NULL, lease_expires = 0 WHERE {_HELD}",
        (claim.number, claim.owner),
    )


def leave(connection: sqlite3.Connection, owner: str) -> None:
    connection.execute(
        "UPDATE push_config SET owner = NULL, lease_expires = 0 WHERE owner = ?", (owner,)
    )


def _whose(principal: Principal) -> tuple[str, str]:
    return principal.tenant, principal.subject


def _claim(row: tuple[Any, ...]) -> Claim:
    number, owner, tenant, subject, cursor, *config = row
    return Claim(number, owner, Principal(tenant, subject), PushConfig(*config), cursor)
