"""A task's log as server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, cast

from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse
from starlette.responses import Response

from codin.gateway.base import LogEntry, TaskEvents
from codin.security import Principal


class TaskStream:
    """Streams a task's events: ``id:`` is the event's seq, ``data:`` its JSON, and the last one
    is ``event: done``. A client that comes again with the last id it saw misses nothing and gets
    nothing twice."""

    def __init__(self, log: TaskEvents, heartbeat_seconds: float) -> None:
        self._log = log
        self._heartbeat = heartbeat_seconds

    async def open(self, principal: Principal, task_id: str, *, after: int = 0) -> Response:
        """The stream. It begins at once, however long the next event takes.

        Raises:
            NotFoundError: no such task for this principal.
        """
        await self._log.check(principal, task_id)
        events = self._log.events(principal, task_id, after=after, follow=True)
        return EventSourceResponse(_rendered(events, after), ping=self._heartbeat, sep="\n")


async def _rendered(events: AsyncIterator[LogEntry], last: int) -> AsyncIterator[ServerSentEvent]:
    async with aclosing(cast("AsyncGenerator[LogEntry, None]", events)) as entries:
        async for entry in entries:
            last = entry.seq
            yield _event(entry)
    yield ServerSentEvent(data="{}", event="done", id=str(last), sep="\n")


def _event(entry: LogEntry) -> ServerSentEvent:
    data: dict[str, Any] = {
        "task_id": entry.task_id,
        "seq": entry.seq,
        "kind": entry.kind,
        "time": entry.time,
        "body": dict(entry.body),
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return ServerSentEvent(data=text, id=str(entry.seq), sep="\n")
