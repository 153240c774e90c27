"""An agent's updates as server-sent events: `id:` is the number of the event in the task's log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from a2a.utils.errors import A2AError, InternalError

from codin.gateway.errors import inside
from codin.gateway.streams import EventStream, Frame, StreamLimits, frame
from codin.jsontext import encoded
from codin.task.updates import TaskUpdate

Dress = Callable[[dict[str, Any]], dict[str, Any]]
"""Puts the JSON of an update into what the binding sends."""

Refuse = Callable[[A2AError], dict[str, Any]]
"""The JSON by which the binding tells of an error."""

_First = asyncio.Future[TaskUpdate | None]

_BEGIN_SECONDS = 3.0
"""How long a stream may have nothing to tell before it begins all the same; a refusal that takes
longer is told inside of it."""

_MOST = 64 * 1024
"""Bytes that go out together, unless one event alone has more."""


async def update_stream(
    updates: AsyncGenerator[TaskUpdate, None],
    *,
    dress: Dress,
    refuse: Refuse,
    limits: StreamLimits,
    headers: dict[str, str],
) -> EventStream:
    """The stream of ``updates``, begun: what refuses it is raised here, before there is a stream.

    Raises:
        A2AError: by the operation.
    """
    first = await _begun(updates)
    frames = _frames(updates, first, dress)
    await anext(frames)

    def refused(error: A2AError) -> bytes:
        return frame(encoded(refuse(error)), event="error")

    def dropped(seen: int) -> bytes:
        return refused(
            InternalError(
                "the stream was read too slowly and ends here; the task goes on: subscribe to it"
                f" again, with the header Last-Event-ID: {seen}"
            )
        )

    def failed(error: Exception) -> bytes:
        if isinstance(error, A2AError):
            return refused(error)
        return refused(InternalError(inside(error)))

    return EventStream(frames, dropped=dropped, failed=failed, limits=limits, headers=headers)


async def _begun(updates: AsyncGenerator[TaskUpdate, None]) -> _First:
    """The first update, or ``None`` at the end, as soon as it comes. Who takes up the stream of a
    silent task must not wait for that task to be told that it has begun."""
    first: _First = asyncio.ensure_future(anext(updates, None))
    try:
        await asyncio.wait([first], timeout=_BEGIN_SECONDS)
    except asyncio.CancelledError:
        await _dropped(first)
        raise
    if first.done():
        first.result()
    return first


async def _dropped(first: _First) -> None:
    """Nobody wants it any more. Its generator can be closed only when it is not at work."""
    first.cancel()
    await asyncio.wait([first])


async def _frames(
    updates: AsyncGenerator[TaskUpdate, None], first: _First, dress: Dress
) -> AsyncGenerator[Frame, None]:
    """Nothing, so that it is closed properly from the start; then events, those that are there
    together in one."""
    async with aclosing(updates):
        try:
            yield 0, b""
            update = await first
        finally:
            await _dropped(first)
        if update is None:
            return
        yield update.seq, _framed(update, dress)
        held = bytearray()
        async for update in updates:
            held += _framed(update, dress)
            if not update.more or len(held) >= _MOST:
                yield update.seq, bytes(held)
                held.clear()


def _framed(update: TaskUpdate, dress: Dress) -> bytes:
    return frame(encoded(dress(dict(update.body))), update.seq)
