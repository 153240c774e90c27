"""What the Postgres log writes.

A connection commits each statement by itself, so what is one statement here is one transaction and
one round trip; what needs more opens its transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation

from codin.security import Principal
from codin.task.errors import (
    LogError,
    TaskEnded,
    TaskExists,
    TaskRepeated,
)
from codin.task.log._claiming import UNFINISHED
from codin.task.log._json import dump
from codin.task.log._pg_appending import ENDED, append
from codin.task.log._pg_queries import EXPIRED, FREE, NOW, ROOMLESS, ROW, find, mine, row_of
from codin.task.log._recent import Noted
from codin.task.log.base import REPEAT_SECONDS
from codin.task.log.entries import Entry, last_status, state_of
from codin.task.log.leases import Lease, Pulse, Room, pulse_of
from codin.task.log.rows import NewTask, TaskRow, check_new, repeat_key

__all__ = [
    "append",
    "claim",
    "claim_lost",
    "create",
    "pulse",
    "release",
    "request_cancel",
    "request_pause",
]

_SEEN = 4
"""How many times as many waiting tasks are looked at as are claimed."""

# Lists go in binary (%b): as text each quotation mark in them would be escaped, one by one.

# The key is taken by the unique index, so of two at once the second waits and finds it taken.
_CREATE = f"""
WITH allowed AS MATERIALIZED (
    SELECT {NOW} AS now WHERE %(parent)s::text IS NULL OR EXISTS (
        SELECT FROM task
        WHERE task_id = %(parent)s AND tenant = %(tenant)s AND subject = %(subject)s)
), keyed AS (
    INSERT INTO task_key (tenant, subject, key, task_id, created)
    SELECT %(tenant)s, %(subject)s, %(key)s, %(task)s, now
    FROM allowed WHERE %(key)s::text IS NOT NULL
    ON CONFLICT (tenant, subject, key)
    DO UPDATE SET task_id = excluded.task_id, created = excluded.created
    WHERE task_key.created <= excluded.created - {REPEAT_SECONDS}
    RETURNING task_id
), made AS (
    INSERT INTO task (task_id, tenant, subject, context_id, agent_id, goal_id, parent_id,
        state, status, last_seq, created, updated, owner, fence, lease_expires,
        lane, priority, deadline)
    SELECT %(task)s, %(tenant)s, %(subject)s, %(context)s, %(agent)s, %(goal)s, %(parent)s,
        %(state)s, %(status)s, cardinality(%(kinds)b::text[]), now, now, %(owner)s, 1,
        now + %(ttl)s, %(lane)s, %(priority)s, %(deadline)s
    FROM allowed WHERE %(key)s::text IS NULL OR EXISTS (SELECT FROM keyed)
    RETURNING task_id, created, lease_expires
), first AS (
    INSERT INTO task_event (task_id, seq, kind, body, time)
    SELECT task_id, n, kind, body, created
    FROM made, unnest(%(kinds)b::text[], %(bodies)b::text[]) WITH ORDINALITY AS e (kind, body, n)
)
SELECT lease_expires, created FROM made""".encode()  # noqa: S608


async def create(
    connection: AsyncConnection,
    principal: Principal,
    task: NewTask,
    entries: Sequence[Entry],
    *,
    owner: str | None,
    ttl: float,
    dedupe: str | None,
) -> Noted:
    check_new(principal, task)
    last = last_status(entries)
    bodies = [dump(entry.body) for entry in entries]
    values = {
        "tenant": principal.tenant,
        "subject": principal.subject,
        "key": None if dedupe is None else repeat_key(task, dedupe),
        "task": task.task_id,
        "context": task.context_id,
        "agent": task.agent_id,
        "goal": task.goal_id,
        "parent": task.parent_id,
        "state": state_of(last.kind, last.body),
        "status": dump(last.body["status"]),
        "owner": owner,
        "ttl": ttl,
        "lane": task.lane,
        "priority": task.priority,
        "deadline": task.deadline,
        "kinds": [entry.kind for entry in entries],
        "bodies": bodies,
    }
    try:
        cursor = await connection.execute(_CREATE, values)
    except UniqueViolation as error:
        raise TaskExists(f"there is a task {task.task_id!r} already: choose another id") from error
    made = await cursor.fetchone()
    if made is None:
        await _refuse(connection, principal, task, values["key"])
    expires, now = made
    noted = Noted(
        principal, task.task_id, Lease(task.task_id, owner or "", 1, expires), task.agent_id
    )
    noted.take_all(entries, bodies, len(entries), now)
    return noted


async def _refuse(
    connection: AsyncConnection, principal: Principal, task: NewTask, key: Any
) -> NoReturn:
    if task.parent_id is not None:
        await find(connection, principal, task.parent_id)
    cursor = await connection.execute(
        "SELECT task_id FROM task_key WHERE tenant = %s AND subject = %s AND key = %s",
        (principal.tenant, principal.subject, key),
    )
    found = await cursor.fetchone()
    if found is None:
        raise LogError(f"the task log did not take the task {task.task_id}: try again")
    raise TaskRepeated(found[0])


async def claim(
    connection: AsyncConnection,
    principal: Principal,
    task_id: str,
    *,
    owner: str,
    ttl: float,
    dead: str | None,
) -> Lease | None:
    # A claim by id waits for whoever writes the row just now, and then looks at it anew: to pass
    # over a locked row would refuse a free task because somebody asks for its cancellation.
    cursor = await connection.execute(
        f"""UPDATE task SET owner = %s, fence = fence + 1, lease_expires = {NOW} + %s,
                cancel_requested = false
            WHERE task_id = %s AND tenant = %s AND subject = %s AND NOT state = ANY(%s)
                AND ({EXPIRED} OR owner = %s)
            RETURNING fence, lease_expires""".encode(),  # noqa: S608
        (owner, ttl, *mine(principal, task_id), ENDED, owner, dead),
    )
    found = await cursor.fetchone()
    if found is None:
        await find(connection, principal, task_id)
        return None
    return Lease(task_id, owner, *found)


async def claim_lost(
    connection: AsyncConnection, owner: str, ttl: float, limit: int, room: Room | None
) -> list[tuple[TaskRow, Lease]]:
    claimed = []
    if room is None or room.roomless:
        claimed = await _claim_first(connection, owner, ttl, limit)
    left = limit - len(claimed) if room is None else min(limit - len(claimed), room.runs)
    if left > 0:
        claimed += await _claim_in_turn(connection, owner, ttl, left, room or Room(left))
    return claimed


async def _claim_first(
    connection: AsyncConnection, owner: str, ttl: float, limit: int
) -> list[tuple[TaskRow, Lease]]:
    """Claim free tasks that take no room."""
    chosen = f"""SELECT task_id FROM task WHERE {UNFINISHED} AND {FREE} AND {ROOMLESS}
        ORDER BY created LIMIT %s FOR UPDATE SKIP LOCKED"""  # noqa: S608
    found = await _claim_these(connection, chosen, [owner, limit], owner, ttl)
    return sorted(found, key=lambda one: one[0].created)


async def _claim_in_turn(
    connection: AsyncConnection, owner: str, ttl: float, limit: int, room: Room
) -> list[tuple[TaskRow, Lease]]:
    """Claim free tasks that take room, of the tenants in turn."""
    cursor = await connection.execute(
        f"""SELECT task_id FROM (
                SELECT task_id, created, tenant, row_number() OVER (
                    PARTITION BY tenant ORDER BY priority DESC, created, task_id) AS turn
                FROM task WHERE {UNFINISHED} AND {FREE} AND NOT {ROOMLESS}
                    AND NOT tenant = ANY(%s) AND NOT agent_id = ANY(%s)) AS waiting
            ORDER BY turn, array_position(%s, tenant) NULLS FIRST, created, task_id
            LIMIT %s""".encode(),  # noqa: S608
        (owner, sorted(room.tenants), sorted(room.agents), list(room.served), _SEEN * limit),
    )
    order = [task_id for (task_id,) in await cursor.fetchall()]
    # What others have locked since is passed over, which is why some more are looked at.
    chosen = f"""SELECT task_id FROM task
        WHERE task_id = ANY(%s) AND {UNFINISHED} AND {FREE}
        ORDER BY array_position(%s, task_id) LIMIT %s FOR UPDATE SKIP LOCKED"""  # noqa: S608
    found = await _claim_these(connection, chosen, [order, owner, order, limit], owner, ttl)
    return sorted(found, key=lambda one: order.index(one[0].task_id))


async def _claim_these(
    connection: AsyncConnection, chosen: str, given: Sequence[Any], owner: str, ttl: float
) -> list[tuple[TaskRow, Lease]]:
    cursor = await connection.execute(
        f"""UPDATE task SET owner = %s, fence = fence + 1, lease_expires = {NOW} + %s
            WHERE task_id IN ({chosen}) RETURNING {ROW}, fence, lease_expires""".encode(),  # noqa: S608
        (owner, ttl, *given),
    )
    return [
        (row_of(columns), Lease(columns[0], owner, fence, expires))
        for *columns, fence, expires in await cursor.fetchall()
    ]


async def release(connection: AsyncConnection, lease: Lease) -> None:
    await connection.execute(
        "UPDATE task SET owner = NULL WHERE task_id = %s AND owner = %s AND fence = %s",
        (lease.task_id, lease.owner, lease.fence),
    )


async def pulse(connection: AsyncConnection, owner: str, ttl: float) -> Pulse:
    cursor = await connection.execute(
        f"""UPDATE task SET lease_expires = {NOW} + %s
            WHERE owner = %s AND NOT state = ANY(%s)
            RETURNING task_id, cancel_requested, paused""".encode(),  # noqa: S608
        (ttl, owner, ENDED),
    )
    return pulse_of(await cursor.fetchall())


async def request_cancel(
    connection: AsyncConnection, principal: Principal, task_id: str
) -> TaskRow:
    cursor = await connection.execute(
        f"""UPDATE task SET cancel_requested = true
            WHERE task_id = %s AND tenant = %s AND subject = %s AND NOT state = ANY(%s)
            RETURNING {ROW}""".encode(),  # noqa: S608
        (*mine(principal, task_id), ENDED),
    )
    found = await cursor.fetchone()
    if found is not None:
        return row_of(found)
    row = await find(connection, principal, task_id)
    raise TaskEnded(f"task {task_id} has ended ({row.state}): there is nothing to cancel")


async def request_pause(
    connection: AsyncConnection, principal: Principal, task_id: str, paused: bool, below: bool
) -> TaskRow:
    row = await find(connection, principal, task_id)
    if row.ended:
        raise TaskEnded(f"task {task_id} has ended ({row.state}): there is nothing to pause")
    await connection.execute(
        "UPDATE task SET paused = %s WHERE task_id = %s OR goal_id = %s",
        (paused, task_id, task_id if below else None),
    )
    return await find(connection, principal, task_id)
