"""Answers that go out piece by piece, until they end or their client goes or does not read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from codin.gateway.quota import TURN

STALL_SECONDS = 30.0
"""How long a client may leave unread what it was sent before its answer is ended."""


class BrokenOff(Exception):
    """There is no more to send, and it was not all: the client is to see that."""


class MessageStream(Response):
    """Sends ``parts`` as they come. Nothing is kept for a client that does not read: the parts are
    asked for one at a time. ``over`` is called when it is over, however that comes about."""

    def __init__(
        self,
        parts: AsyncGenerator[bytes, None],
        *,
        media_type: str,
        over: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(None, media_type=media_type, headers={"cache-control": "no-store"})
        del self.headers["content-length"]
        self._parts = parts
        self._over = over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._send(scope, receive, send)
        finally:
            if self._over is not None:
                self._over()

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"][TURN].stream()
        pump = asyncio.create_task(self._pump(send))
        gone = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({pump, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (pump, gone):
                task.cancel()
            for task in (pump, gone):
                with suppress(asyncio.CancelledError, TimeoutError, OSError, BrokenOff):
                    await task
            await self._parts.aclose()

    async def _pump(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code}
        await send({**start, "headers": self.raw_headers})
        async with aclosing(self._parts) as parts:
            async for part in parts:
                async with asyncio.timeout(STALL_SECONDS):
                    await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
