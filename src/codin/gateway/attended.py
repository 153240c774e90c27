"""Requests that nobody waits for any more."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from starlette.types import Message, Receive

from codin.gateway.quota import Turn

WATCHED_AFTER = 1.0
PATIENCE = 0.9
"""Seconds: less than a server that stops gives to what is under way."""


class Attended:
    """Around a request: what still works on it when its client has gone is cancelled.

    A request that waits for a task's end may wait for ever. Few do, so that only those are watched
    that take longer than ``watched_after`` seconds; streams see for themselves. A server that stops
    says that the client has gone, too: so what is about to end has ``PATIENCE`` to do so. Who works
    on the request reads its body by ``receive``, and nobody watches before that is read: of two
    readers, each would get a part of it. One without ``body`` has nothing to read.
    """

    def __init__(
        self, receive: Receive, turn: Turn, *, body: bool, watched_after: float = WATCHED_AFTER
    ) -> None:
        self._receive = receive
        self._read = asyncio.Event()
        if not body:
            self._read.set()
        self._turn = turn
        self._after = watched_after
        self._watching: asyncio.Task[None] | None = None
        self.given_up = False

    async def receive(self) -> Message:
        """The next that comes from the client."""
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._read.set()
        return message

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._timer = asyncio.get_running_loop().call_later(self._after, self._begin)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()
        if not self.given_up:
            return False
        self._task.uncancel()
        return kind is not None and issubclass(kind, asyncio.CancelledError)

    def _begin(self) -> None:
        if not self._turn.streaming:
            self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        await self._read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        await asyncio.sleep(PATIENCE)
        self.given_up = True
        self._task.cancel()
