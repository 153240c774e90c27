"""A server that speaks streamable HTTP, reached through the guard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from codin.sandbox.base import Mount
from codin.security import OutgoingGuard
from codin.security.secrets import SecretRef, read_secrets
from codin.tool.mcp.base import MOST_BYTES, Endpoint, Link

if TYPE_CHECKING:
    from httpx2 import AsyncClient
    from mcp.client._transport import TransportStreams

_SECONDS = 30.0
_SILENT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class HttpServer(Endpoint):
    """The server at ``url``, let in by ``headers`` and the bearer ``token``."""

    url: str
    guard: OutgoingGuard
    headers: Mapping[str, str | SecretRef] = field(default_factory=dict)
    token: SecretRef | None = None

    def link(self, workspace: Path | None = None, mounts: Sequence[Mount] = ()) -> Link:
        return _HttpLink(self)


class _HttpLink(Link):
    def __init__(self, server: HttpServer) -> None:
        super().__init__()
        self._server = server

    @asynccontextmanager
    async def streams(self) -> AsyncIterator[TransportStreams]:
        from mcp.client.streamable_http import streamable_http_client

        url = self._server.url
        async with (
            self._client(await self._headers()) as client,
            streamable_http_client(
                url, http_client=client, max_sse_event_size=MOST_BYTES
            ) as streams,
        ):
            yield streams

    async def _headers(self) -> dict[str, str]:
        headers, self.secrets = await read_secrets(self._server.headers)
        if self._server.token is not None:
            token = await self._server.token.read()
            self.secrets = (*self.secrets, token)
            headers["authorization"] = f"Bearer {token}"
        # What is packed could unpack to any size.
        return {**headers, "accept-encoding": "identity"}

    def _client(self, headers: Mapping[str, str]) -> AsyncClient:
        import httpx2

        from codin.tool.mcp._bridge import GuardedTransport

        return httpx2.AsyncClient(
            transport=GuardedTransport(self._server.guard, self),
            headers=headers,
            timeout=httpx2.Timeout(_SECONDS, read=_SILENT_SECONDS),
            trust_env=False,
        )
