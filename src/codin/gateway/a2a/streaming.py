"""An agent's updates as server-sent events: `id:` is the number of the event in the task's log."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from a2a.utils.errors import A2AError, InternalError

from codin.gateway.streams import EventStream, Frame, StreamLimits, frame
from codin.jsontext import encoded
from codin.task.updates import TaskUpdate

Dress = Callable[[dict[str, Any]], dict[str, Any]]
"""Puts the JSON of an update into what the binding sends."""

Refuse = Callable[[A2AError], dict[str, Any]]
"""The JSON by which the binding tells of an error."""

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
    first = await anext(updates, None)
    frames = _frames(updates, first, dress)

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
        return refused(InternalError("something went wrong here; the server's log has it"))

    return EventStream(frames, dropped=dropped, failed=failed, limits=limits, headers=headers)


async def _frames(
    updates: AsyncGenerator[TaskUpdate, None], first: TaskUpdate | None, dress: Dress
) -> AsyncGenerator[Frame, None]:
    """Events that are there together go out together."""
    async with aclosing(updates):
        if first is None:
            return
        yield first.seq, _framed(first, dress)
        held = bytearray()
        async for update in updates:
            held += _framed(update, dress)
            if not update.more or len(held) >= _MOST:
                yield update.seq, bytes(held)
                held.clear()


def _framed(update: TaskUpdate, dress: Dress) -> bytes:
    return frame(encoded(dress(dict(update.body))), update.seq)
