"""What the SQLite log reads. Each function runs on a reader's thread."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from codin.database import storable
from codin.security import Principal
from codin.task.log._schema import HELD, ROW
from codin.task.log._statements import find, row_of
from codin.task.log.base import Kind, LogEvent, StepRow, TaskFilter, TaskPage, TaskRow


def events(
    connection: sqlite3.Connection,
    principal: Principal,
    task_id: str,
    *,
    after: int,
    limit: int,
    kinds: Iterable[Kind] | None,
) -> list[LogEvent]:
    find(connection, principal, task_id)
    wanted = () if kinds is None else tuple(kinds)
    narrowed = "" if kinds is None else f" AND e.kind IN ({', '.join('?' * len(wanted))})"
    found = connection.execute(
        f"""SELECT e.seq, e.kind, e.time, e.body, e.child_id, e.child_seq
            FROM task_event e WHERE e.task_id = ? AND e.seq > ?{narrowed}
            ORDER BY e.seq LIMIT ?""",  # noqa: S608
        (task_id, after, *wanted, limit),
    ).fetchall()
    return [
        LogEvent(task_id, seq, kind, time, _body(connection, body, child_id, child_seq))
        for seq, kind, time, body, child_id, child_seq in found
    ]


def _body(
    connection: sqlite3.Connection, text: str, child_id: str | None, child_seq: int | None
) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(text)
    if child_id is None:
        return body
    kind, inner, nested_id, nested_seq = connection.execute(
        "SELECT kind, body, child_id, child_seq FROM task_event WHERE task_id = ? AND seq = ?",
        (child_id, child_seq),
    ).fetchone()
    child = _body(connection, inner, nested_id, nested_seq)
    return {**body, "task_id": child_id, "seq": child_seq, "kind": kind, "body": child}


def page(
    connection: sqlite3.Connection,
    principal: Principal,
    where: TaskFilter,
    limit: int,
    after: tuple[float, str] | None,
) -> TaskPage:
    texts = (where.agent_id, where.context_id, where.state, after[1] if after else None)
    if not storable(principal.tenant, principal.subject, *texts):
        return TaskPage((), 0)
    conditions = ["tenant = ?", "subject = ?"]
    values: list[Any] = [principal.tenant, principal.subject]
    for column, value in (
        ("agent_id = ?", where.agent_id),
        ("context_id = ?", where.context_id),
        ("state = ?", where.state),
        ("updated >= ?", where.updated_from),
    ):
        if value is not None:
            conditions.append(column)
            values.append(value)
    if where.roots:
        conditions.append("parent_id IS NULL")
    matching = " AND ".join(conditions)
    (total,) = connection.execute(
        f"SELECT COUNT(*) FROM task WHERE {matching}",  # noqa: S608
        values,
    ).fetchone()
    if after is not None:
        matching += " AND (updated < ? OR (updated = ? AND task_id < ?))"
        values += [after[0], after[0], after[1]]
    found = connection.execute(
        f"""SELECT {ROW} FROM task WHERE {matching}
            ORDER BY updated DESC, task_id DESC LIMIT ?""",  # noqa: S608
        (*values, limit + 1),
    ).fetchall()
    rows = tuple(row_of(one) for one in found[:limit])
    more = len(found) > limit
    return TaskPage(rows, total, (rows[-1].updated, rows[-1].task_id) if more else None)


def steps(connection: sqlite3.Connection, principal: Principal, task_id: str) -> list[StepRow]:
    find(connection, principal, task_id)
    found = connection.execute(
        """SELECT step_id, agent, instruction, needs, title, state, attempt, child_id, error
            FROM step WHERE task_id = ? ORDER BY position""",
        (task_id,),
    )
    return [
        StepRow(step_id, agent, instruction, tuple(json.loads(needs)), *rest)
        for step_id, agent, instruction, needs, *rest in found
    ]


def unfinished(connection: sqlite3.Connection, limit: int) -> list[TaskRow]:
    found = connection.execute(
        f"SELECT {ROW} FROM task WHERE state NOT IN ({HELD}) ORDER BY created LIMIT ?",  # noqa: S608
        (limit,),
    )
    return [row_of(one) for one in found]
