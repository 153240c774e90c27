"""What the Postgres log reads."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from psycopg import AsyncConnection

from codin.database import storable
from codin.database.postgres import PostgresTables
from codin.security import Principal
from codin.task.errors import UnknownTask
from codin.task.log._claiming import UNFINISHED, expired, free, roomless
from codin.task.log._listing import matching, page_of
from codin.task.log.entries import Kind, LogEvent
from codin.task.log.rows import StepRow, TaskFilter, TaskPage, TaskRow

NOW = PostgresTables.NOW

ROW = f"""task_id, tenant, subject, context_id, agent_id, goal_id, parent_id, state, status,
 last_seq, created, updated, owner, owner IS NULL OR lease_expires < {NOW}, cancel_requested,
 lane, priority, deadline, paused"""
"""The columns of a ``TaskRow``, in its order."""

EXPIRED, FREE, ROOMLESS = expired(NOW, "%s"), free(NOW, "%s"), roomless(NOW)

_MINE = "task_id = %s AND tenant = %s AND subject = %s"

_Ref = tuple[str, int]


def row_of(found: Sequence[Any]) -> TaskRow:
    """A ``TaskRow`` from the columns of ``ROW``."""
    values = list(found)
    values[8] = json.loads(values[8])
    return TaskRow(*values)


async def find(connection: AsyncConnection, principal: Principal, task_id: str) -> TaskRow:
    """The principal's task.

    Raises:
        UnknownTask: there is none.
    """
    key = mine(principal, task_id)
    cursor = await connection.execute(f"SELECT {ROW} FROM task WHERE {_MINE}".encode(), key)  # noqa: S608
    found = await cursor.fetchone()
    if found is None:
        raise UnknownTask(task_id)
    return row_of(found)


def mine(principal: Principal, task_id: str) -> tuple[str, str, str]:
    """What finds the principal's task.

    Raises:
        UnknownTask: no task has such an id.
    """
    if not storable(task_id, principal.tenant, principal.subject):
        raise UnknownTask(task_id)
    return task_id, principal.tenant, principal.subject


async def events(
    connection: AsyncConnection,
    principal: Principal,
    task_id: str,
    *,
    after: int,
    limit: int,
    kinds: Collection[Kind] | None,
) -> list[LogEvent]:
    # One round trip: a task without such events gives one row of nulls, an unknown one none.
    narrowed = "" if kinds is None else "AND kind = ANY(%s)"
    cursor = await connection.execute(
        f"""SELECT e.* FROM task LEFT JOIN LATERAL (
                SELECT seq, kind, time, body, child_id, child_seq FROM task_event
                WHERE task_event.task_id = task.task_id AND seq > %s {narrowed}
                ORDER BY seq LIMIT %s
            ) e ON true WHERE {_MINE} ORDER BY e.seq""".encode(),  # noqa: S608
        (
            after,
            *(() if kinds is None else (list(kinds),)),
            limit,
            *mine(principal, task_id),
        ),
    )
    found = await cursor.fetchall()
    if not found:
        raise UnknownTask(task_id)
    rows = [row for row in found if row[0] is not None]
    children = await _children(connection, {(row[4], row[5]) for row in rows if row[4]})
    return [
        LogEvent(task_id, seq, kind, time, _body(body, (child_id, child_seq), children))
        for seq, kind, time, body, child_id, child_seq in rows
    ]


async def _children(
    connection: AsyncConnection, wanted: set[_Ref]
) -> dict[_Ref, tuple[str, str, _Ref]]:
    """The events referred to, and those that they refer to, down to the last."""
    children: dict[_Ref, tuple[str, str, _Ref]] = {}
    while wanted:
        cursor = await connection.execute(
            """SELECT task_id, seq, kind, body, child_id, child_seq FROM task_event
                WHERE (task_id, seq) IN (SELECT * FROM unnest(%s::text[], %s::bigint[]))""",
            ([task_id for task_id, _ in wanted], [seq for _, seq in wanted]),
        )
        found = await cursor.fetchall()
        children |= {(row[0], row[1]): (row[2], row[3], (row[4], row[5])) for row in found}
        wanted = {(row[4], row[5]) for row in found if row[4]} - children.keys()
    return children


def _body(text: str, ref: _Ref, children: dict[_Ref, tuple[str, str, _Ref]]) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(text)
    if ref[0] is None:
        return body
    kind, inner, nested = children[ref]
    child = _body(inner, nested, children)
    return {**body, "task_id": ref[0], "seq": ref[1], "kind": kind, "body": child}


async def page(
    connection: AsyncConnection,
    principal: Principal,
    where: TaskFilter,
    limit: int,
    after: tuple[float, str] | None,
) -> TaskPage:
    wanted = matching(principal, where, after)
    if wanted is None:
        return TaskPage((), 0)
    (counted, given), (shown, values) = wanted
    cursor = await connection.execute(
        f"SELECT count(*) FROM task WHERE {counted}".encode(),  # noqa: S608
        given,
    )
    (total,) = await cursor.fetchone() or (0,)
    cursor = await connection.execute(
        f"""SELECT {ROW} FROM task WHERE {shown}
            ORDER BY updated DESC, task_id DESC LIMIT %s""".encode(),  # noqa: S608
        (*values, limit + 1),
    )
    return page_of([row_of(one) for one in await cursor.fetchall()], total, limit)


async def steps(connection: AsyncConnection, principal: Principal, task_id: str) -> list[StepRow]:
    cursor = await connection.execute(
        f"""SELECT body FROM task LEFT JOIN step USING (task_id) WHERE {_MINE}
            ORDER BY position""".encode(),  # noqa: S608
        mine(principal, task_id),
    )
    found = await cursor.fetchall()
    if not found:
        raise UnknownTask(task_id)
    bodies = [json.loads(body) for (body,) in found if body is not None]
    return [StepRow(**{**body, "needs": tuple(body["needs"])}) for body in bodies]


async def now(connection: AsyncConnection) -> float:
    cursor = await connection.execute(f"SELECT {NOW}".encode())
    found = await cursor.fetchone()
    assert found is not None
    return float(found[0])


async def unfinished(connection: AsyncConnection, limit: int) -> list[TaskRow]:
    cursor = await connection.execute(
        f"SELECT {ROW} FROM task WHERE {UNFINISHED} ORDER BY created LIMIT %s".encode(),  # noqa: S608
        (limit,),
    )
    return [row_of(one) for one in await cursor.fetchall()]
