"""A task's log as server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from codin.jsontext import encoded
from codin.security import Principal
from codin.task.log import EventLog, LogEvent
from codin.task.log.follow import follow

_log = logging.getLogger(__name__)

Frame = tuple[int, bytes]
"""One or more events as they go over the wire, and the number of the last."""


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """In seconds: ``heartbeat``, how long a stream is silent before it says that it is there;
    ``stall``, how long a client may leave unread what it was sent before its stream is ended;
    ``grace``, how much longer it is waited for to be told so."""

    heartbeat: float = 15.0
    stall: float = 30.0
    grace: float = 15.0


def frame(data: bytes, seq: int | None = None, *, event: str = "") -> bytes:
    """A server-sent event. ``data`` is JSON in one line."""
    head = f"event: {event}\n" if event else ""
    number = "" if seq is None else f"id: {seq}\n"
    return b"%b%bdata: %b\n\n" % (head.encode(), number.encode(), data)


_PING = b": ping\n\n"


class EventStream(Response):
    """Sends ``frames`` as they come, with heartbeats between, until they end or the client goes.

    Nothing is kept for a client that does not read: the frames are asked for one at a time. One
    that has left what it was sent unread for ``limits.stall`` gets ``dropped(seq)`` instead of
    what follows, with the number of the last event that it got, and the stream ends.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        frames: AsyncGenerator[Frame, None],
        *,
        dropped: Callable[[int], bytes],
        failed: Callable[[Exception], bytes],
        limits: StreamLimits | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(None, headers={"cache-control": "no-store", **(headers or {})})
        del self.headers["content-length"]
        self.headers["x-accel-buffering"] = "no"
        self._frames = frames
        self._dropped = dropped
        self._failed = failed
        self._limits = limits or StreamLimits()
        self._seen = 0
        self._blocked: float | None = None
        self._last = 0.0
        self._too_slow = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pump = asyncio.create_task(self._pump(send))
        try:
            await self._watch(pump, receive, send)
        finally:
            pump.cancel()
            with suppress(asyncio.CancelledError):
                await pump
            await self._frames.aclose()

    async def _pump(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        rest = b""
        try:
            async with aclosing(self._frames) as frames:
                async for seq, data in frames:
                    await self._put(send, data)
                    self._seen = seq
                    if self._too_slow:
                        rest = self._dropped(seq)
                        break
        except Exception as error:
            _log.debug("a stream ended by an error", exc_info=error)
            rest = self._failed(error)
        await self._put(send, rest, more=False)

    async def _put(self, send: Send, data: bytes, *, more: bool = True) -> None:
        loop = asyncio.get_running_loop()
        self._blocked = loop.time()
        await send({"type": "http.response.body", "body": data, "more_body": more})
        self._blocked, self._last = None, loop.time()

    async def _watch(self, pump: asyncio.Task[None], receive: Receive, send: Send) -> None:
        """Return when the stream has ended, or its client has gone or will not read."""
        while not pump.done():
            timer = asyncio.timeout(min(self._limits.heartbeat, self._limits.stall / 2))

            def wake(_: asyncio.Task[None], timer: asyncio.Timeout = timer) -> None:
                with suppress(RuntimeError):  # it is over already
                    timer.reschedule(0)

            try:
                async with timer:
                    pump.add_done_callback(wake)
                    message = await receive()
                if message["type"] == "http.disconnect":
                    return
            except TimeoutError:
                if not pump.done() and not await self._alive(send):
                    return
            finally:
                pump.remove_done_callback(wake)

    async def _alive(self, send: Send) -> bool:
        """Say that the stream is there when nothing else did; whether its client may go on."""
        now = asyncio.get_running_loop().time()
        if self._blocked is not None:
            waited = now - self._blocked
            self._too_slow = self._too_slow or waited > self._limits.stall
            return waited < self._limits.stall + self._limits.grace
        if now - self._last < self._limits.heartbeat * 0.9:
            return True
        try:
            async with asyncio.timeout(self._limits.stall):
                await send({"type": "http.response.body", "body": _PING, "more_body": True})
        except TimeoutError:
            return False
        self._last = now
        return True


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
    return EventStream(
        _rendered(log, principal, task_id, after),
        dropped=lambda seen: frame(b"{}", seen, event="slow"),
        failed=lambda _: b"",
        limits=StreamLimits(heartbeat=heartbeat),
    )


async def _rendered(
    log: EventLog, principal: Principal, task_id: str, after: int
) -> AsyncGenerator[Frame, None]:
    async with aclosing(follow(log, principal, task_id, after=after)) as events:
        async for event in events:
            after = event.seq
            yield after, frame(_json(event), after)
    yield after, frame(b"{}", after, event="done")


def _json(entry: LogEvent) -> bytes:
    data: dict[str, Any] = {
        "task_id": entry.task_id,
        "seq": entry.seq,
        "kind": entry.kind,
        "time": entry.time,
        "body": entry.shown,
    }
    return encoded(data)
