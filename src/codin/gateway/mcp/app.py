"""``/mcp``: the server over streamable HTTP. What it needs is loaded with the first request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.types import Receive, Scope, Send

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    from codin.gateway.mcp.face import ToolFace


class McpApp:
    """An ASGI application, for callers whose principal is known by now."""

    def __init__(self, face: ToolFace, *, body_bytes: int = 4 * 1024 * 1024) -> None:
        self._face = face
        self._body_bytes = body_bytes
        self._manager: StreamableHTTPSessionManager | None = None
        self._opening = asyncio.Lock()
        self._ending = asyncio.Event()
        self._owner: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        manager = self._manager or await self._opened()
        await manager.handle_request(scope, receive, send)

    async def aclose(self) -> None:
        """End what is under way, and the sandboxes of those who called."""
        self._ending.set()
        if self._owner is not None:
            await asyncio.wait([self._owner])
        await self._face.aclose()

    async def _opened(self) -> StreamableHTTPSessionManager:
        async with self._opening:
            if self._manager is None:
                manager = await asyncio.to_thread(_manager, self._face, self._body_bytes)
                ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                # its scopes are entered and left by one task, whichever request came first
                self._owner = asyncio.create_task(self._own(manager, ready), name="mcp")
                await ready
                self._manager = manager
            return self._manager

    async def _own(
        self, manager: StreamableHTTPSessionManager, ready: asyncio.Future[None]
    ) -> None:
        async with manager.run():
            ready.set_result(None)
            await self._ending.wait()


def _manager(face: ToolFace, body_bytes: int) -> StreamableHTTPSessionManager:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from mcp.server.transport_security import TransportSecuritySettings

    from codin.gateway.mcp.server import mcp_server

    # The gateway has looked at Host and Origin, by names that only it knows.
    looked_at = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    return StreamableHTTPSessionManager(
        mcp_server(face),
        stateless=True,
        security_settings=looked_at,
        max_request_body_size=body_bytes,
    )
