"""The guard's transport for the SDK's own copy of httpx. It is imported when it is needed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import httpx2
from mcp_types import CONNECTION_CLOSED

from codin.errors import CodinError
from codin.security import OutgoingGuard
from codin.tool.mcp.base import MOST_BYTES, Link

_SESSION = "mcp-session-id"


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Sends what the SDK asks for through the transport of ``guard``, and tells ``link`` what went
    wrong: the SDK keeps no status."""

    def __init__(self, guard: OutgoingGuard, link: Link) -> None:
        self._inner = guard.transport()
        self._link = link

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        asked = httpx.Request(
            request.method,
            str(request.url),
            headers=request.headers.raw,
            content=await request.aread(),
            extensions=request.extensions,
        )
        try:
            answer = await self._inner.handle_async_request(asked)
        except (httpx.TransportError, CodinError) as error:
            return self._refused(str(error) or type(error).__name__)
        self._note(request, answer)
        if answer.headers.get("content-encoding", "identity") != "identity":
            await answer.aclose()
            # What is packed could unpack to any size.
            return self._refused("it answers packed, which it was not asked for")
        return httpx2.Response(answer.status_code, headers=answer.headers.raw, stream=_Body(answer))

    def _refused(self, why: str) -> httpx2.Response:
        """An answer in the place of the server's: what is raised here ends all calls under way."""
        self._link.why = why
        error = {"code": CONNECTION_CLOSED, "message": why, "data": self._link.mark}
        return httpx2.Response(502, json={"jsonrpc": "2.0", "id": None, "error": error})

    async def aclose(self) -> None:
        await self._inner.aclose()

    def _note(self, request: httpx2.Request, answer: httpx.Response) -> None:
        self._link.why = f"it answered {answer.status_code}" if answer.is_error else ""
        if answer.status_code == 404 and _SESSION in request.headers:
            self._link.why = "it has forgotten the session"
            self._link.gone.set()


class _Body(httpx2.AsyncByteStream):
    """The bytes of an answer, no more than a message may have. A stream of events has no end; each
    of them has its limit at the SDK."""

    def __init__(self, answer: httpx.Response) -> None:
        self._answer = answer
        kind = answer.headers.get("content-type", "").lower()
        self._most = None if kind.startswith("text/event-stream") else MOST_BYTES

    async def __aiter__(self) -> AsyncIterator[bytes]:
        count = 0
        try:
            async for piece in self._answer.aiter_raw():
                count += len(piece)
                if self._most is not None and count > self._most:
                    raise httpx2.StreamError(f"it answered more than {self._most:,} bytes")
                yield piece
        except httpx.TransportError as error:
            raise httpx2.StreamError(str(error) or type(error).__name__) from error

    async def aclose(self) -> None:
        await self._answer.aclose()
