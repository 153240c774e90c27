"""Which tasks a listing shows, in words that every kind of database knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from codin.database import storable
from codin.security import Principal
from codin.task.log.rows import TaskFilter, TaskPage, TaskRow

Condition = tuple[str, list[Any]]
"""What stands behind ``WHERE``, and a value for each ``%s`` in it."""


def matching(
    principal: Principal, where: TaskFilter, after: tuple[float, str] | None
) -> tuple[Condition, Condition] | None:
    """What is counted and, of it, what comes ``after``; ``None`` when nothing can match."""
    texts = (where.agent_id, where.context_id, where.state, after[1] if after else None)
    if not storable(principal.tenant, principal.subject, *texts):
        return None
    conditions = ["tenant = %s", "subject = %s"]
    values: list[Any] = [principal.tenant, principal.subject]
    for condition, value in (
        ("agent_id = %s", where.agent_id),
        ("context_id = %s", where.context_id),
        ("state = %s", where.state),
        ("updated >= %s", where.updated_from),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    if where.roots:
        conditions.append("parent_id IS NULL")
    counted = " AND ".join(conditions), values
    if after is None:
        return counted, counted
    return counted, (f"{counted[0]} AND (updated, task_id) < (%s, %s)", [*values, *after])


def page_of(found: Sequence[TaskRow], total: int, limit: int) -> TaskPage:
    """The first ``limit`` of ``found``; when there is one more, another page follows."""
    rows = tuple(found[:limit])
    more = rows and len(found) > limit
    return TaskPage(rows, total, (rows[-1].updated, rows[-1].task_id) if more else None)
