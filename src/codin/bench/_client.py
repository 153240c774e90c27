"""One HTTP/1.1 connection as lean as can be: what measures must not be what is measured.

A measuring tool, no client for anything else: one request at a time, requests that are bytes
already, and answers either of a stated length or chunked.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, cast

from codin.bench.base import BenchError

_LAST_CHUNK = b"\r\n0\r\n\r\n"


class Connection(asyncio.Protocol):
    """Open one with ``await Connection.to(host, port)``."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._answered: asyncio.Future[bytes] | None = None
        self._length: int | None = None
        self._body = 0
        self.first_data = 0.0
        """When the first event of the answer came, by ``time.perf_counter``."""

    @classmethod
    async def to(cls, host: str, port: int) -> Connection:
        """A new connection."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(cls, host, port)
        return connection

    async def ask(self, request: bytes) -> bytes:
        """The body of the answer, still chunked if it came so.

        Raises:
            BenchError: it is no success, or the connection broke.
        """
        answered = self._send(request)
        return await answered

    async def begin(self, request: bytes) -> None:
        """Return when the first event of a stream that stays open is there."""
        answered = self._send(request)
        while not self.first_data:
            if answered.done():
                raise BenchError(f"a stream ended at once: {answered.result()[:500]!r}")
            await asyncio.sleep(0.005)

    def close(self) -> None:
        """Close the connection; an answer that is waited for is given up."""
        if self._transport is not None:
            self._transport.abort()

    def _send(self, request: bytes) -> asyncio.Future[bytes]:
        assert self._transport is not None
        self._received.clear()
        self._length, self._body, self.first_data = None, 0, 0.0
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answered

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(BenchError(f"a connection broke: {exc or 'closed'}"))
            self._answered.exception()  # a stream that was given up has nobody who asks

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        if not self._body and not self._read_head():
            return
        if self._length is not None:
            if len(received) >= self._body + self._length:
                self._finish()
            return
        if not self.first_data and received.find(b"data:", self._body) >= 0:
            self.first_data = time.perf_counter()
        if received.endswith(_LAST_CHUNK):
            self._finish()

    def _read_head(self) -> bool:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self._received[:end]).lower()
        if not head.startswith(b"http/1.1 200"):
            self._fail(bytes(self._received))
            return False
        self._body = end + 4
        _, found, rest = head.partition(b"\r\ncontent-length:")
        self._length = int(rest.partition(b"\r\n")[0]) if found else None
        return True

    def _finish(self) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(bytes(self._received[self._body :]))

    def _fail(self, answer: bytes) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(BenchError(f"a request was refused: {answer[:500]!r}"))


def events_of(chunked: bytes) -> list[dict[str, Any]]:
    """The results in a stream of JSON-RPC answers, in order."""
    text = _unchunked(chunked).decode()
    found = []
    for line in text.splitlines():
        if line.startswith("data:"):
            answer = json.loads(line.removeprefix("data:"))
            if "result" not in answer:
                raise BenchError(f"a stream told of an error: {line[:500]}")
            found.append(answer["result"])
    return found


def _unchunked(body: bytes) -> bytes:
    pieces: list[bytes] = []
    at = 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end], 16)
        if size == 0:
            return b"".join(pieces)
        pieces.append(body[end + 2 : end + 2 + size])
        at = end + 2 + size + 2
