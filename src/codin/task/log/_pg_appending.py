"""How events, those of children, and steps are written to a task in Postgres: all of it by one
statement, which is one way to the server and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, NoReturn

from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation

from codin.security import Principal
from codin.task.errors import FencedError, LogError, TaskEnded, UnknownTask
from codin.task.log._json import dump
from codin.task.log._pg_queries import NOW
from codin.task.log._recent import Noted
from codin.task.log.entries import Adopt, Entry, state_of
from codin.task.log.leases import Lease, holds
from codin.task.log.rows import PLACES, StepRow, latest
from codin.task.states import STOPPED, TERMINAL

ENDED = sorted(TERMINAL)
_TRIES = 10

# The task's row is locked by its change of last_seq, so the events' numbers follow each other. A
# status is kept only when the state changes with it: in the entries, or from how the task stands.
_MOVED = f"""
    state = COALESCE(%(state)s, state),
    status = CASE WHEN %(changes)s OR state <> %(state)s THEN %(status)s ELSE status END,
    updated = CASE WHEN %(changes)s OR state <> %(state)s THEN {NOW} ELSE updated END,
    owner = CASE WHEN %(gives_back)s THEN NULL ELSE owner END
"""
_HELD = """
    task_id = %(task)s AND owner = %(owner)s AND fence = %(fence)s AND NOT state = ANY(%(ended)s)
"""
_PLAIN = f"""
WITH moved AS (
    UPDATE task SET last_seq = last_seq + %(count)s, {_MOVED} WHERE {_HELD}
    RETURNING task_id, last_seq, tenant, subject, {NOW} AS now
), written AS (
    INSERT INTO task_event (task_id, seq, kind, body, time)
    SELECT task_id, last_seq - %(count)s + n, kind, body, now
    FROM moved, unnest(%(kinds)b::text[], %(bodies)b::text[]) WITH ORDINALITY AS e (kind, body, n)
)
SELECT last_seq, tenant, subject, now FROM moved""".encode()  # noqa: S608

# All of a child is seen at one moment, and its numbers have no gaps. The row is locked first: of
# what is read before that nothing may depend on how it stands.
_WHOLE = f"""
WITH given AS (
    SELECT kind, body, child, n FROM unnest(%(kinds)b::text[], %(bodies)b::text[],
        %(children)s::text[]) WITH ORDINALITY AS g (kind, body, child, n)
), held AS MATERIALIZED (
    SELECT last_seq FROM task WHERE {_HELD} AND NOT EXISTS (
        SELECT FROM given WHERE child IS NOT NULL AND NOT EXISTS (
            SELECT FROM task AS c WHERE c.task_id = child AND c.parent_id = %(task)s)
    ) FOR UPDATE
), adopted AS (
    SELECT DISTINCT ON (child) child, body, n, (
        SELECT COALESCE(max(child_seq), 0) FROM task_event WHERE child_id = child) AS taken
    FROM given WHERE child IS NOT NULL ORDER BY child, n
), events AS (
    SELECT n, kind, body, {NOW} AS time, NULL::text AS child, NULL::bigint AS child_seq
    FROM given WHERE child IS NULL
    UNION ALL
    SELECT n, 'child', adopted.body, e.time, child, e.seq
    FROM adopted JOIN task_event AS e ON e.task_id = child AND e.seq > taken
), written AS (
    INSERT INTO task_event (task_id, seq, kind, body, time, child_id, child_seq)
    SELECT %(task)s, last_seq + row_number() OVER (ORDER BY n, child_seq), kind, body, time,
        child, child_seq
    FROM held, events RETURNING seq
), moved AS (
    UPDATE task SET last_seq = held.last_seq + (SELECT count(*) FROM written), {_MOVED}
    FROM held WHERE task_id = %(task)s RETURNING task.last_seq, tenant, subject, {NOW} AS now
), stepped AS (
    INSERT INTO step (task_id, step_id, position, body)
    SELECT %(task)s, step, last_seq * {PLACES} + place - 1, body
    FROM moved, unnest(%(steps)s::text[], %(step_bodies)b::text[])
        WITH ORDINALITY AS s (step, body, place)
    ON CONFLICT (task_id, step_id) DO UPDATE SET body = excluded.body
)
SELECT last_seq, tenant, subject, now FROM moved""".encode()  # noqa: S608


async def append(
    connection: AsyncConnection,
    lease: Lease,
    entries: Sequence[Entry | Adopt],
    steps: Sequence[StepRow],
) -> Noted:
    if not _in_order(entries):
        return await _refuse(connection, lease, entries)
    whole = steps or not entries or any(isinstance(entry, Adopt) for entry in entries)
    statement, values = _WHOLE if whole else _PLAIN, _values(lease, entries, steps)
    for left in reversed(range(_TRIES)):
        try:
            cursor = await connection.execute(statement, values)
        except UniqueViolation:
            if not left:
                raise
            # Somebody took in the same child while the row was waited for: look at it anew.
            continue
        moved = await cursor.fetchone()
        if moved is None:
            break
        seq, tenant, subject, now = moved
        noted = Noted(Principal(tenant, subject), lease.task_id, seq)
        if not whole:
            noted.take_all(list(_plain(entries)), values["bodies"], seq, now)
        return noted
    return await _refuse(connection, lease, entries)


def _values(
    lease: Lease, entries: Sequence[Entry | Adopt], steps: Sequence[StepRow]
) -> dict[str, Any]:
    state, status, changes = None, None, 0
    for entry in _plain(entries):
        new = state_of(entry.kind, entry.body)
        if new is not None and new != state:
            state, status, changes = new, entry.body["status"], changes + 1
    rows = latest(steps)
    return {
        "count": len(entries),
        "state": state,
        "status": None if state is None else dump(status),
        "changes": changes > 1,
        "gives_back": _stops(entries),
        "task": lease.task_id,
        "owner": lease.owner,
        "fence": lease.fence,
        "ended": ENDED,
        "kinds": ["child" if isinstance(one, Adopt) else one.kind for one in entries],
        "bodies": [dump(_body(one)) for one in entries],
        "children": [one.child_id if isinstance(one, Adopt) else None for one in entries],
        "steps": [row.step_id for row in rows],
        "step_bodies": [dump(asdict(row)) for row in rows],
    }


def _body(entry: Entry | Adopt) -> dict[str, Any]:
    if isinstance(entry, Adopt):
        return {"step": entry.step, "agent": entry.agent}
    return entry.body


def _plain(entries: Sequence[Entry | Adopt]) -> Iterator[Entry]:
    return (entry for entry in entries if isinstance(entry, Entry))


def _stops(entries: Sequence[Entry | Adopt]) -> bool:
    """Whether a task has stopped after ``entries``, by one of them."""
    states = [state_of(entry.kind, entry.body) for entry in _plain(entries)]
    return next((state in STOPPED for state in reversed(states) if state), False)


def _in_order(entries: Sequence[Entry | Adopt]) -> bool:
    """Whether nothing follows an entry that ends the task."""
    return not any(state_of(one.kind, one.body) in TERMINAL for one in _plain(entries[:-1]))


async def _refuse(
    connection: AsyncConnection, lease: Lease, entries: Sequence[Entry | Adopt]
) -> NoReturn:
    """Say why nothing was written."""
    cursor = await connection.execute(
        "SELECT owner, fence, state FROM task WHERE task_id = %s", (lease.task_id,)
    )
    found = await cursor.fetchone()
    if found is None or not holds(lease, *found):
        raise FencedError(
            f"task {lease.task_id} is in other hands now: what {lease.owner} wanted to add was not"
            " written"
        )
    states = [found[2], *(state_of(one.kind, one.body) for one in _plain(entries[:-1]))]
    ended = next((state for state in states if state in TERMINAL), None)
    if ended is not None:
        raise TaskEnded(f"task {lease.task_id} has ended ({ended}): nothing can follow")
    for child_id in (one.child_id for one in entries if isinstance(one, Adopt)):
        cursor = await connection.execute(
            "SELECT 1 FROM task WHERE task_id = %s AND parent_id = %s", (child_id, lease.task_id)
        )
        if await cursor.fetchone() is None:
            raise UnknownTask(child_id)
    raise LogError(f"the task log did not take what was added to task {lease.task_id}: try again")
