"""What the SQLite log does inside one transaction. Each function runs on the writer's thread."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any

from codin.database import storable
from codin.security import Principal
from codin.task.errors import FencedError, TaskEnded, TaskExists, TaskRepeated, UnknownTask
from codin.task.log._claiming import UNFINISHED
from codin.task.log._json import dump, plain
from codin.task.log._recent import Noted
from codin.task.log._schema import ENDED, FREE, NOW, ROOMLESS, ROW
from codin.task.log.base import REPEAT_SECONDS
from codin.task.log.entries import Adopt, Entry, last_status, state_of
from codin.task.log.leases import Lease, Pulse, Room, holds, pulse_of
from codin.task.log.rows import NewTask, StepRow, TaskRow, check_new, latest, place_of, repeat_key
from codin.task.states import STOPPED, TERMINAL

_INSERT = "INSERT INTO task_event (task_id, seq, kind, body, time)"
_AT_ONCE = 16

_Row = tuple[str, int, str, str, float]


def row_of(found: Sequence[Any]) -> TaskRow:
    """A ``TaskRow`` from the columns of ``ROW``."""
    values = list(found)
    values[8] = json.loads(values[8])
    values[13] = values[12] is None or bool(values[13])
    values[14] = bool(values[14])
    values[18] = bool(values[18])
    return TaskRow(*values)


def find(connection: sqlite3.Connection, principal: Principal, task_id: str) -> TaskRow:
    """The principal's task.

    Raises:
        UnknownTask: there is none.
    """
    if not storable(task_id, principal.tenant, principal.subject):
        raise UnknownTask(task_id)
    found = connection.execute(
        f"SELECT {ROW} FROM task WHERE task_id = ? AND tenant = ? AND subject = ?",  # noqa: S608
        (task_id, principal.tenant, principal.subject),
    ).fetchone()
    if found is None:
        raise UnknownTask(task_id)
    return row_of(found)


def clock() -> float:
    """The database's clock, in seconds since the epoch. SQLite reads that of this machine, and
    counts milliseconds: asking it would be one statement more for each write."""
    return round(time.time(), 3)


def create(
    connection: sqlite3.Connection,
    principal: Principal,
    task: NewTask,
    entries: Sequence[Entry],
    *,
    owner: str | None,
    ttl: float,
    dedupe: str | None,
) -> Noted:
    check_new(principal, task)
    now = clock()
    last = last_status(entries)
    if task.parent_id is not None:
        find(connection, principal, task.parent_id)
    if dedupe is not None:
        _take_key(connection, principal, task, repeat_key(task, dedupe), now)
    made = connection.execute(
        """INSERT INTO task (task_id, tenant, subject, context_id, agent_id, goal_id, parent_id,
            state, status, last_seq, created, updated, owner, fence, lease_expires, lane,
            priority, deadline)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?) ON CONFLICT DO NOTHING""",
        (
            task.task_id,
            principal.tenant,
            principal.subject,
            task.context_id,
            task.agent_id,
            task.goal_id,
            task.parent_id,
            state_of(last.kind, last.body),
            dump(last.body["status"]),
            len(entries),
            now,
            now,
            owner,
            now + ttl,
            task.lane,
            task.priority,
            task.deadline,
        ),
    )
    if not made.rowcount:
        raise TaskExists(f"there is a task {task.task_id!r} already: choose another id")
    lease = Lease(task.task_id, owner or "", 1, now + ttl)
    noted = Noted(principal, task.task_id, lease, task.agent_id)
    rows = [_noted(noted, entry, seq, now) for seq, entry in enumerate(entries, 1)]
    _insert(connection, rows)
    return noted


def _take_key(
    connection: sqlite3.Connection, principal: Principal, task: NewTask, key: str, now: float
) -> None:
    taken = connection.execute(
        """INSERT INTO task_key (tenant, subject, key, task_id, created) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT (tenant, subject, key)
            DO UPDATE SET task_id = excluded.task_id, created = excluded.created
            WHERE task_key.created <= excluded.created - ? RETURNING task_id""",
        (principal.tenant, principal.subject, key, task.task_id, now, REPEAT_SECONDS),
    ).fetchall()
    if taken:
        return
    (task_id,) = connection.execute(
        "SELECT task_id FROM task_key WHERE tenant = ? AND subject = ? AND key = ?",
        (principal.tenant, principal.subject, key),
    ).fetchone()
    raise TaskRepeated(task_id)


def append(
    connection: sqlite3.Connection,
    lease: Lease,
    entries: Sequence[Entry | Adopt],
    steps: Sequence[StepRow],
) -> Noted:
    found = connection.execute(
        "SELECT owner, fence, state, last_seq, tenant, subject FROM task WHERE task_id = ?",
        (lease.task_id,),
    ).fetchone()
    if found is None or not holds(lease, *found[:3]):
        raise FencedError(
            f"task {lease.task_id} is in other hands now: what {lease.owner} wanted to add was not"
            " written"
        )
    state, seq, now = str(found[2]), int(found[3]), clock()
    owner: str | None = lease.owner
    status: Any = None
    noted = Noted(Principal(*found[4:]), lease.task_id)
    rows: list[_Row] = []
    for entry in entries:
        if state in TERMINAL:
            raise TaskEnded(f"task {lease.task_id} has ended ({state}): nothing can follow")
        if isinstance(entry, Adopt):
            _insert(connection, rows)
            rows.clear()
            seq = _adopt(connection, lease.task_id, entry, seq)
            noted.gap()
            continue
        seq += 1
        rows.append(_noted(noted, entry, seq, now))
        said = state_of(entry.kind, entry.body)
        if said is None:
            continue
        owner = None if said in STOPPED else lease.owner
        if said != state:
            state, status = said, entry.body["status"]
    _insert(connection, rows)
    _put_steps(connection, lease.task_id, steps, seq)
    if status is None:
        connection.execute(
            "UPDATE task SET last_seq = ?, owner = ? WHERE task_id = ?", (seq, owner, lease.task_id)
        )
    else:
        connection.execute(
            """UPDATE task SET last_seq = ?, owner = ?, state = ?, status = ?, updated = ?
                WHERE task_id = ?""",
            (seq, owner, state, dump(status), now, lease.task_id),
        )
    noted.result = seq
    return noted


def _insert(connection: sqlite3.Connection, rows: Sequence[_Row]) -> None:
    for begin in range(0, len(rows), _AT_ONCE):
        some = rows[begin : begin + _AT_ONCE]
        connection.execute(_inserting(len(some)), list(chain.from_iterable(some)))


@cache
def _inserting(count: int) -> str:
    """One statement for several rows: between two of them other threads get the interpreter."""
    return f"{_INSERT} VALUES {', '.join(['(?, ?, ?, ?, ?)'] * count)}"


def _noted(noted: Noted, entry: Entry, seq: int, now: float) -> _Row:
    """The row of an event, which ``noted`` takes in."""
    text = dump(entry.body)
    noted.take(entry, seq, now, len(text))
    return noted.task_id, seq, entry.kind, text, now


def _adopt(connection: sqlite3.Connection, task_id: str, entry: Adopt, seq: int) -> int:
    child = connection.execute(
        "SELECT last_seq FROM task WHERE task_id = ? AND parent_id = ?", (entry.child_id, task_id)
    ).fetchone()
    if child is None:
        raise UnknownTask(entry.child_id)
    (taken,) = connection.execute(
        "SELECT COALESCE(MAX(child_seq), 0) FROM task_event WHERE child_id = ?", (entry.child_id,)
    ).fetchone()
    # The child's numbers have no gaps, so shifting them gives numbers without gaps here.
    connection.execute(
        """INSERT INTO task_event (task_id, seq, kind, body, time, child_id, child_seq)
            SELECT ?, ? + seq, 'child', ?, time, task_id, seq FROM task_event
            WHERE task_id = ? AND seq > ?""",
        (
            task_id,
            seq - taken,
            dump({"step": entry.step, "agent": entry.agent}),
            entry.child_id,
            taken,
        ),
    )
    return seq + int(child[0]) - int(taken)


def _put_steps(
    connection: sqlite3.Connection, task_id: str, steps: Sequence[StepRow], seq: int
) -> None:
    connection.executemany(
        """INSERT INTO step (task_id, step_id, position, agent, instruction, needs, title,
            state, attempt, child_id, error, spec) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (task_id, step_id) DO UPDATE SET agent = excluded.agent,
            instruction = excluded.instruction, needs = excluded.needs,
            title = excluded.title, state = excluded.state, attempt = excluded.attempt,
            child_id = excluded.child_id, error = excluded.error, spec = excluded.spec""",
        [
            (
                task_id,
                step.step_id,
                place_of(seq, number),
                plain(step.agent),
                plain(step.instruction),
                dump(list(step.needs)),
                plain(step.title),
                step.state,
                step.attempt,
                step.child_id,
                plain(step.error),
                dump(dict(step.spec)),
            )
            for number, step in enumerate(latest(steps))
        ],
    )


def claim(
    connection: sqlite3.Connection,
    principal: Principal,
    task_id: str,
    *,
    owner: str,
    ttl: float,
    dead: str | None,
) -> Lease | None:
    row = find(connection, principal, task_id)
    expired = row.expired and row.owner != owner
    free = expired or (dead is not None and row.owner == dead)
    if row.ended or not free:
        return None
    expires = clock() + ttl
    connection.execute(
        """UPDATE task SET owner = ?, fence = fence + 1, lease_expires = ?, cancel_requested = 0
            WHERE task_id = ?""",
        (owner, expires, task_id),
    )
    (fence,) = connection.execute("SELECT fence FROM task WHERE task_id = ?", (task_id,)).fetchone()
    return Lease(task_id, owner, fence, expires)


def claim_lost(
    connection: sqlite3.Connection, owner: str, ttl: float, limit: int, room: Room | None
) -> list[tuple[TaskRow, Lease]]:
    found = _waiting(connection, owner, limit) if room is None or room.roomless else []
    left = limit - len(found) if room is None else min(limit - len(found), room.runs)
    if left > 0:
        found += _in_turn(connection, owner, left, room or Room(left))
    expires = clock() + ttl
    claimed = []
    for task_id, fence in found:
        connection.execute(
            "UPDATE task SET owner = ?, fence = ?, lease_expires = ? WHERE task_id = ?",
            (owner, fence + 1, expires, task_id),
        )
        row = connection.execute(f"SELECT {ROW} FROM task WHERE task_id = ?", (task_id,))  # noqa: S608
        claimed.append((row_of(row.fetchone()), Lease(task_id, owner, fence + 1, expires)))
    return claimed


def _waiting(connection: sqlite3.Connection, owner: str, limit: int) -> list[tuple[str, int]]:
    """Free tasks that take no room."""
    return connection.execute(
        f"""SELECT task_id, fence FROM task WHERE {UNFINISHED} AND {FREE} AND {ROOMLESS}
            ORDER BY created, task_id LIMIT ?""",  # noqa: S608
        (owner, limit),
    ).fetchall()


def _in_turn(
    connection: sqlite3.Connection, owner: str, limit: int, room: Room
) -> list[tuple[str, int]]:
    """Free tasks that take room, of the tenants in turn."""
    return connection.execute(
        f"""SELECT task_id, fence FROM (
                SELECT task_id, fence, created, tenant, row_number() OVER (
                    PARTITION BY tenant ORDER BY priority DESC, created, task_id) AS turn
                FROM task INDEXED BY task_unfinished
                WHERE {UNFINISHED} AND {FREE} AND NOT {ROOMLESS}
                    AND tenant NOT IN (SELECT value FROM json_each(?))
                    AND agent_id NOT IN (SELECT value FROM json_each(?)))
            ORDER BY turn, (SELECT key FROM json_each(?) WHERE value = tenant), created, task_id
            LIMIT ?""",  # noqa: S608
        (
            owner,
            *(json.dumps(sorted(some)) for some in (room.tenants, room.agents)),
            json.dumps(room.served),
            limit,
        ),
    ).fetchall()


def release(connection: sqlite3.Connection, lease: Lease) -> None:
    connection.execute(
        "UPDATE task SET owner = NULL WHERE task_id = ? AND owner = ? AND fence = ?",
        (lease.task_id, lease.owner, lease.fence),
    )


def pulse(connection: sqlite3.Connection, owner: str, ttl: float) -> Pulse:
    connection.execute(
        f"""UPDATE task SET lease_expires = {NOW} + ?
            WHERE owner = ? AND state NOT IN ({ENDED})""",  # noqa: S608
        (ttl, owner),
    )
    held = connection.execute(
        f"""SELECT task_id, cancel_requested, paused FROM task
            WHERE owner = ? AND state NOT IN ({ENDED})""",  # noqa: S608
        (owner,),
    ).fetchall()
    return pulse_of(held)


def request_cancel(connection: sqlite3.Connection, principal: Principal, task_id: str) -> TaskRow:
    row = find(connection, principal, task_id)
    if row.ended:
        raise TaskEnded(f"task {task_id} has ended ({row.state}): there is nothing to cancel")
    connection.execute("UPDATE task SET cancel_requested = 1 WHERE task_id = ?", (task_id,))
    return find(connection, principal, task_id)


def request_pause(
    connection: sqlite3.Connection, principal: Principal, task_id: str, paused: bool, below: bool
) -> TaskRow:
    row = find(connection, principal, task_id)
    if row.ended:
        raise TaskEnded(f"task {task_id} has ended ({row.state}): there is nothing to pause")
    connection.execute(
        "UPDATE task SET paused = ? WHERE task_id = ? OR goal_id = ?",
        (paused, task_id, task_id if below else None),
    )
    return find(connection, principal, task_id)
