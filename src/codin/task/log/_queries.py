"""What the SQLite log reads. Each function runs on a reader's thread."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from codin.database.sqlite import marked
from codin.security import Principal
from codin.task.log._claiming import UNFINISHED
from codin.task.log._listing import matching, page_of
from codin.task.log._schema import ROW
from codin.task.log._statements import clock, find, row_of
from codin.task.log.entries import Kind, LogEvent
from codin.task.log.rows import StepRow, TaskFilter, TaskPage, TaskRow


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
    wanted = matching(principal, where, after)
    if wanted is None:
        return TaskPage((), 0)
    (counted, given), (shown, values) = wanted
    (total,) = connection.execute(
        marked(f"SELECT count(*) FROM task WHERE {counted}"),  # noqa: S608
        given,
    ).fetchone()
    found = connection.execute(
        marked(
            f"""SELECT {ROW} FROM task WHERE {shown}
            ORDER BY updated DESC, task_id DESC LIMIT %s"""  # noqa: S608
        ),
        (*values, limit + 1),
    ).fetchall()
    return page_of([row_of(one) for one in found], total, limit)


def steps(connection: sqlite3.Connection, principal: Principal, task_id: str) -> list[StepRow]:
    find(connection, principal, task_id)
    found = connection.execute(
        """SELECT step_id, agent, instruction, needs, title, state, attempt, child_id, error, spec
            FROM step WHERE task_id = ? ORDER BY position""",
        (task_id,),
    )
    rows: list[StepRow] = []
    for step_id, agent, instruction, needs, *rest, spec in found:
        given = (step_id, agent, instruction, tuple(json.loads(needs)), *rest, json.loads(spec))
        rows.append(StepRow(*given))
    return rows


def now(connection: sqlite3.Connection) -> float:
    return clock()


def unfinished(connection: sqlite3.Connection, limit: int) -> list[TaskRow]:
    found = connection.execute(
        f"SELECT {ROW} FROM task WHERE {UNFINISHED} ORDER BY created LIMIT ?",  # noqa: S608
        (limit,),
    )
    return [row_of(one) for one in found]
