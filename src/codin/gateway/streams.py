"""A task's log as server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse
from starlette.responses import Response

from codin.security import Principal
from codin.task.log import EventLog, LogEvent
from codin.task.log.follow import follow


async def task_stream(
    log: EventLog, principal: Principal, task_id: str, *, after: int, heartbeat: float
) -> Response:
    """The events of a task as a stream that begins at once, however long the next one takes.

    ``id:`` is an event's seq, ``data:`` its JSON, and the last one is ``event: done``. A client
    that comes again with the last id it saw misses nothing and gets nothing twice.

    Raises:
        UnknownTask: there is no such task for this principal.
    """
    await log.task(principal, task_id)
    events = _rendered(log, principal, task_id, after)
    return EventSourceResponse(events, ping=heartbeat, sep="\n")


async def _rendered(
    log: EventLog, principal: Principal, task_id: str, after: int
) -> AsyncIterator[ServerSentEvent]:
    async with aclosing(follow(log, principal, task_id, after=after)) as events:
        async for event in events:
            after = event.seq
            yield _event(event)
    yield ServerSentEvent(data="{}", event="done", id=str(after), sep="\n")


def _event(entry: LogEvent) -> ServerSentEvent:
    data: dict[str, Any] = {
        "task_id": entry.task_id,
        "seq": entry.seq,
        "kind": entry.kind,
        "time": entry.time,
        "body": entry.body,
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return ServerSentEvent(data=text, id=str(entry.seq), sep="\n")
