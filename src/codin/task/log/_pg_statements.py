"""What the Postgres log writes.

A connection commits each statement by itself, so what is one statement here is one transaction and
one round trip; what needs more opens its transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation

from codin.security import Principal
from codin.task.errors import (
    FencedError,
    LogError,
    TaskEnded,
    TaskExists,
    TaskRepeated,
    UnknownTask,
)
from codin.task.log._claiming import UNFINISHED
from codin.task.log._json import dump
from codin.task.log._pg_queries import FREE, NOW, ROOMLESS, ROW, find, mine, row_of
from codin.task.log.base import (
    REPEAT_SECONDS,
    Adopt,
    Entry,
    Lease,
    NewTask,
    Pulse,
    Room,
    StepRow,
    TaskRow,
    check_new,
    holds,
    last_status,
    latest,
    place_of,
    pulse_of,
    repeat_key,
    state_of,
)
from codin.task.states import STOPPED, TERMINAL

_ENDED = sorted(TERMINAL)
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
SELECT lease_expires FROM made""".encode()  # noqa: S608

# The task's row is locked by its change of last_seq, so the events' numbers follow each other. A
# status is kept only when the state changes with it: in the entries, or from how the task stands.
_APPEND = f"""
WITH moved AS (
    UPDATE task SET last_seq = last_seq + %(count)s,
        state = COALESCE(%(state)s, state),
        status = CASE WHEN %(changes)s OR state <> %(state)s THEN %(status)s ELSE status END,
        updated = CASE WHEN %(changes)s OR state <> %(state)s THEN {NOW} ELSE updated END,
        owner = CASE WHEN %(gives_back)s THEN NULL ELSE owner END
    WHERE task_id = %(task)s AND owner = %(owner)s AND fence = %(fence)s
        AND NOT state = ANY(%(ended)s)
    RETURNING task_id, last_seq
), written AS (
    INSERT INTO task_event (task_id, seq, kind, body, time)
    SELECT task_id, last_seq - %(count)s + n, kind, body, {NOW}
    FROM moved, unnest(%(kinds)b::text[], %(bodies)b::text[]) WITH ORDINALITY AS e (kind, body, n)
)
SELECT last_seq FROM moved""".encode()  # noqa: S608


async def create(
    connection: AsyncConnection,
    principal: Principal,
    task: NewTask,
    entries: Sequence[Entry],
    *,
    owner: str | None,
    ttl: float,
    dedupe: str | None,
) -> Lease:
    check_new(principal, task)
    last = last_status(entries)
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
        "bodies": [dump(entry.body) for entry in entries],
    }
    try:
        cursor = await connection.execute(_CREATE, values)
    except UniqueViolation as error:
        raise TaskExists(f"there is a task {task.task_id!r} already: choose another id") from error
    made = await cursor.fetchone()
    if made is None:
        return await _refuse(connection, principal, task, values["key"])
    return Lease(task.task_id, owner or "", 1, made[0])


async def _refuse(
    connection: AsyncConnection, principal: Principal, task: NewTask, key: Any
) -> Lease:
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


async def append(
    connection: AsyncConnection,
    lease: Lease,
    entries: Sequence[Entry | Adopt],
    steps: Sequence[StepRow],
) -> int:
    plain = [entry for entry in entries if isinstance(entry, Entry)]
    if plain and not steps and len(plain) == len(entries) and _in_order(plain):
        seq = await _append_plain(connection, lease, plain, gives_back=_stops(plain))
        if seq is not None:
            return seq
    async with connection.transaction():
        state, seq = await _hold(connection, lease)
        for entry in entries:
            if state in TERMINAL:
                raise TaskEnded(f"task {lease.task_id} has ended ({state}): nothing can follow")
            if isinstance(entry, Adopt):
                seq = await _adopt(connection, lease.task_id, entry, seq)
            else:
                seq = await _append_plain(connection, lease, [entry], gives_back=False) or seq
                state = state_of(entry.kind, entry.body) or state
        await _put_steps(connection, lease.task_id, steps, seq)
        if _stops(plain):
            await release(connection, lease)
    return seq


def _stops(entries: Sequence[Entry]) -> bool:
    """Whether a task has stopped after ``entries``, by one of them."""
    states = [state_of(entry.kind, entry.body) for entry in entries]
    return next((state in STOPPED for state in reversed(states) if state), False)


def _in_order(entries: Sequence[Entry]) -> bool:
    return all(state_of(entry.kind, entry.body) not in TERMINAL for entry in entries[:-1])


async def _append_plain(
    connection: AsyncConnection, lease: Lease, entries: Sequence[Entry], *, gives_back: bool
) -> int | None:
    """The last seq; ``None`` when the lease is stale or the task has ended."""
    state, status, changes = None, None, 0
    for entry in entries:
        new = state_of(entry.kind, entry.body)
        if new is not None and new != state:
            state, status, changes = new, entry.body["status"], changes + 1
    cursor = await connection.execute(
        _APPEND,
        {
            "count": len(entries),
            "state": state,
            "status": None if state is None else dump(status),
            "changes": changes > 1,
            "gives_back": gives_back,
            "task": lease.task_id,
            "owner": lease.owner,
            "fence": lease.fence,
            "ended": _ENDED,
            "kinds": [entry.kind for entry in entries],
            "bodies": [dump(entry.body) for entry in entries],
        },
    )
    moved = await cursor.fetchone()
    return None if moved is None else int(moved[0])


async def _hold(connection: AsyncConnection, lease: Lease) -> tuple[str, int]:
    cursor = await connection.execute(
        "SELECT owner, fence, state, last_seq FROM task WHERE task_id = %s FOR UPDATE",
        (lease.task_id,),
    )
    found = await cursor.fetchone()
    if found is None or not holds(lease, *found[:3]):
        raise FencedError(
            f"task {lease.task_id} is in other hands now: what {lease.owner} wanted to add was not"
            " written"
        )
    return found[2], found[3]


async def _adopt(connection: AsyncConnection, task_id: str, entry: Adopt, seq: int) -> int:
    cursor = await connection.execute(
        "SELECT 1 FROM task WHERE task_id = %s AND parent_id = %s", (entry.child_id, task_id)
    )
    if await cursor.fetchone() is None:
        raise UnknownTask(entry.child_id)
    # One statement sees the child at one moment; its numbers have no gaps, nor have these then.
    cursor = await connection.execute(
        """WITH taken AS (
                SELECT COALESCE(max(child_seq), 0) AS seq FROM task_event WHERE child_id = %(child)s
            ), written AS (
                INSERT INTO task_event (task_id, seq, kind, body, time, child_id, child_seq)
                SELECT %(task)s, %(seq)s - taken.seq + e.seq, 'child', %(body)s, e.time,
                    e.task_id, e.seq
                FROM taken, task_event e WHERE e.task_id = %(child)s AND e.seq > taken.seq
                RETURNING seq
            )
            UPDATE task SET last_seq = %(seq)s + (SELECT count(*) FROM written)
            WHERE task_id = %(task)s RETURNING last_seq""",
        {
            "task": task_id,
            "child": entry.child_id,
            "seq": seq,
            "body": dump({"step": entry.step, "agent": entry.agent}),
        },
    )
    (last,) = await cursor.fetchone() or (seq,)
    return int(last)


async def _put_steps(
    connection: AsyncConnection, task_id: str, steps: Sequence[StepRow], seq: int
) -> None:
    if not steps:
        return
    async with connection.cursor() as cursor:
        await cursor.executemany(
            """INSERT INTO step (task_id, step_id, position, body)
                VALUES (%s, %s, %s, %s)
                ON CONFLICT (task_id, step_id) DO UPDATE SET body = excluded.body""",
            [
                (task_id, step.step_id, place_of(seq, number), dump(asdict(step)))
                for number, step in enumerate(latest(steps))
            ],
        )


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
                AND (owner IS NULL OR lease_expires < {NOW} OR owner = %s)
            RETURNING fence, lease_expires""".encode(),  # noqa: S608
        (owner, ttl, *mine(principal, task_id), _ENDED, dead),
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
    found = await _claim_these(connection, chosen, [limit], owner, ttl)
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
        (sorted(room.tenants), sorted(room.agents), list(room.served), _SEEN * limit),
    )
    order = [task_id for (task_id,) in await cursor.fetchall()]
    # What others have locked since is passed over, which is why some more are looked at.
    chosen = f"""SELECT task_id FROM task
        WHERE task_id = ANY(%s) AND {UNFINISHED} AND {FREE}
        ORDER BY array_position(%s, task_id) LIMIT %s FOR UPDATE SKIP LOCKED"""  # noqa: S608
    found = await _claim_these(connection, chosen, [order, order, limit], owner, ttl)
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
        (ttl, owner, _ENDED),
    )
    return pulse_of(await cursor.fetchall())


async def request_cancel(
    connection: AsyncConnection, principal: Principal, task_id: str
) -> TaskRow:
    cursor = await connection.execute(
        f"""UPDATE task SET cancel_requested = true
            WHERE task_id = %s AND tenant = %s AND subject = %s AND NOT state = ANY(%s)
            RETURNING {ROW}""".encode(),  # noqa: S608
        (*mine(principal, task_id), _ENDED),
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
