"""How open streams end when a server does."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class DrainingApp:
    """Passes requests on, and once draining tells each that its client has gone.

    A stream has no end of its own, so a server that waits for its requests would wait for ever.
    A response that was begun is closed properly: its client sees an end, and comes again.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._draining = False
        self._waiting: set[asyncio.Timeout] = set()

    def drain(self) -> None:
        """From now on every request is told of a disconnect when it asks for more."""
        self._draining = True
        now = asyncio.get_running_loop().time()
        for timer in self._waiting:
            timer.reschedule(now)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        open_response = False

        async def watched(message: Message) -> None:
            nonlocal open_response
            await send(message)
            open_response = message["type"] == "http.response.start" or bool(
                message.get("more_body")
            )

        await self._app(scope, self._or_drained(receive), watched)
        if open_response and self._draining:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _or_drained(self, receive: Receive) -> Receive:
        async def receive_or_drained() -> Message:
            if self._draining:
                return {"type": "http.disconnect"}
            # a timer that drain() moves costs nothing while a stream is open; a task would
            timer = asyncio.timeout(None)
            try:
                async with timer:
                    self._waiting.add(timer)
                    try:
                        return await receive()
                    finally:
                        self._waiting.discard(timer)
            except TimeoutError:
                if not timer.expired():
                    raise
                return {"type": "http.disconnect"}

        return receive_or_drained
