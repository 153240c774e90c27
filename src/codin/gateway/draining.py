"""How open streams end when a server does."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class DrainingApp:
    """Passes requests on, and once draining tells each that its client has gone.

    A stream has no end of its own, so a server that waits for its requests would wait for ever.
    A response that was begun is closed properly: its client sees an end, and comes again.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """From now on every request is told of a disconnect when it asks for more."""
        self._draining.set()

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
        if open_response and self._draining.is_set():
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _or_drained(self, receive: Receive) -> Receive:
        async def receive_or_drained() -> Message:
            incoming = asyncio.ensure_future(receive())
            draining = asyncio.ensure_future(self._draining.wait())
            try:
                await asyncio.wait({incoming, draining}, return_when=asyncio.FIRST_COMPLETED)
                if incoming.done():
                    return incoming.result()
                return {"type": "http.disconnect"}
            finally:
                for task in (incoming, draining):
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task

        return receive_or_drained
