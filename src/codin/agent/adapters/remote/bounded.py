"""How much the other side of a connection may make this one hold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

import httpx

MAX_EVENT_BYTES = 32 * 1024 * 1024
"""Of one event of a stream, in which a file's bytes may travel; or of a body that is no stream."""


class TooMuchData(httpx.TransportError):
    """The other side sent more in one piece than is held here."""


async def bound(response: httpx.Response) -> None:
    """Let the body of ``response`` be read only while no event of it is above the limit.

    For httpx's ``response`` event hook, which comes before the body does. A compressed body is
    refused, because its size says nothing of what it becomes: ask for none (`PLAIN`).
    """
    if response.headers.get("content-encoding", "identity") != "identity":
        raise TooMuchData("it answered with a compressed body, which was not asked for")
    streamed = response.headers.get("content-type", "").startswith("text/event-stream")
    stream = cast("httpx.AsyncByteStream", response.stream)
    bounded = _Bounded(stream, by_event=streamed)
    response.stream = _PlainLines(bounded) if streamed else bounded


PLAIN = {"Accept-Encoding": "identity"}
"""What a request says so that the answer can be bounded."""


_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")
"""Of an event (HTML, server-sent events, section 9.2.5)."""


class _Bounded(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, *, by_event: bool) -> None:
        self._stream = stream
        self._by_event = by_event

    async def __aiter__(self) -> AsyncIterator[bytes]:
        held = 0
        tail = b""
        async for piece in self._stream:
            held += len(piece)
            if self._by_event:
                seen = tail + piece
                ends = [seen.rfind(mark) + len(mark) for mark in _ENDS if mark in seen]
                held = len(seen) - max(ends) if ends else held
                tail = seen[-3:]
            if held > MAX_EVENT_BYTES:
                raise TooMuchData(f"it sent more than {MAX_EVENT_BYTES:,} bytes in one piece")
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


class _PlainLines(httpx.AsyncByteStream):
    """Events whose lines end where they do in server-sent events, and nowhere else.

    httpx ends a line also at the separators of Unicode, which servers may write as they are. They
    can stand in strings of JSON only, where their escapes mean the same.
    """

    _ESCAPES = (
        (b"\xc2\x85", b"\\u0085"),
        (b"\xe2\x80\xa8", b"\\u2028"),
        (b"\xe2\x80\xa9", b"\\u2029"),
    )
    _BEGUN = (b"\xe2\x80", b"\xe2", b"\xc2")

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        held = b""
        async for piece in self._stream:
            whole = held + piece
            held = next((begun for begun in self._BEGUN if whole.endswith(begun)), b"")
            whole = whole.removesuffix(held)
            for raw, escape in self._ESCAPES:
                whole = whole.replace(raw, escape)
            yield whole
        if held:
            yield held

    async def aclose(self) -> None:
        await self._stream.aclose()
