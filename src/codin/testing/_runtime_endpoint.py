"""Endpoints on a runtime, against a server that answers well, badly, late or not at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from codin.errors import NotFoundError
from codin.runtime.base import Runtime
from codin.runtime.secret import SecretRef
from codin.runtime.workload import Endpoint, Retry
from codin.sandbox.base import Limits
from codin.testing._runtime_base import SOON, RuntimeChecks

SECRET = "s3cr3t-of-the-suite"  # noqa: S105 - and of nobody else
"""What the secret ``key`` has to be."""

_EVENTS = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


@dataclass(slots=True)
class Server:
    """An HTTP server that does what a path names. ``asked`` are the requests, ``left`` counts
    down the failures that are still to come."""

    url: str = ""
    asked: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    left: int = 0
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            return  # whoever asked has gone
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = first.split()
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.asked.append((f"{method} {path}", headers))
        self.reached.set()
        handler = getattr(self, f"do_{path.strip('/')}")
        await handler(writer, body, headers)
        await writer.drain()

    async def do_echo(self, writer: asyncio.StreamWriter, body: bytes, _: Any) -> None:
        _reply(writer, "200 OK", body)

    async def do_whoami(
        self, writer: asyncio.StreamWriter, _: bytes, headers: Mapping[str, str]
    ) -> None:
        said = headers.get("authorization", "none")
        _reply(writer, "200 OK", said.encode(), f"x-seen: {said}\r\n")

    async def do_missing(self, writer: asyncio.StreamWriter, _: bytes, __: Any) -> None:
        _reply(writer, "404 Not Found", b"no such thing")

    async def do_away(self, writer: asyncio.StreamWriter, _: bytes, __: Any) -> None:
        _reply(writer, "302 Found", b"", f"location: {self.url}/echo\r\nset-cookie: a=b\r\n")

    async def do_big(self, writer: asyncio.StreamWriter, body: bytes, _: Any) -> None:
        _reply(writer, "200 OK", body * 1000)

    async def do_slow(self, _: asyncio.StreamWriter, __: bytes, ___: Any) -> None:
        await asyncio.sleep(30)

    async def do_busy(self, writer: asyncio.StreamWriter, _: bytes, __: Any) -> None:
        self.left -= 1
        if self.left >= 0:
            _reply(writer, "503 Busy", b"busy", "retry-after: 0\r\n")
        else:
            _reply(writer, "200 OK", b"at last")

    async def do_later(self, writer: asyncio.StreamWriter, _: bytes, __: Any) -> None:
        self.left -= 1
        wait = "1" if self.left >= 0 else "0"
        _reply(writer, "429 Slow" if self.left >= 0 else "200 OK", b"", f"retry-after: {wait}\r\n")

    async def do_cut(self, writer: asyncio.StreamWriter, _: bytes, __: Any) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")

    async def do_events(self, writer: asyncio.StreamWriter, _: bytes, __: Any) -> None:
        writer.write(_EVENTS.encode())
        for part in (b"id: 1\nevent: tick\nda", b"ta: one\n\n", b": nothing\n\ndata: two\n\n"):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.2)


def _reply(writer: asyncio.StreamWriter, status: str, body: bytes, more: str = "") -> None:
    head = f"HTTP/1.1 {status}\r\n{more}content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    writer.write(head.encode() + body)


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    """Such a server on a port of this machine."""
    server = Server()
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()


class EndpointChecks(RuntimeChecks):
    """What a runtime does with endpoints."""

    @pytest.fixture
    async def server(self) -> AsyncIterator[Server]:
        async with serving() as server:
            yield server

    async def test_endpoint(self, runtime: Runtime, server: Server) -> None:
        result = await runtime.run(Endpoint(url=f"{server.url}/echo", body=b"hello"))
        assert (result.ok, result.stdout, result.value["status"]) == (True, b"hello", 200)
        assert result.value["headers"]["content-length"] == "5"
        assert result.usage.wall_seconds > 0

    async def test_a_status_that_is_an_error(self, runtime: Runtime, server: Server) -> None:
        result = await runtime.run(Endpoint(url=f"{server.url}/missing", method="GET"))
        assert (result.ok, result.value["status"], result.stdout) == (False, 404, b"no such thing")
        assert result.failure is not None
        assert "404" in result.failure.message
        assert result.attempts == 1

    async def test_redirects_are_not_followed_and_cookies_not_kept(
        self, runtime: Runtime, server: Server
    ) -> None:
        assert (await runtime.run(Endpoint(url=f"{server.url}/away"))).value["status"] == 302
        await runtime.run(Endpoint(url=f"{server.url}/echo"))
        assert [path for path, _ in server.asked] == ["POST /away", "POST /echo"]
        assert "cookie" not in server.asked[-1][1]

    async def test_limits(self, runtime: Runtime, server: Server) -> None:
        slow = Endpoint(url=f"{server.url}/slow", limits=Limits(wall_seconds=0.5))
        assert (await runtime.run(slow)).limits_hit == ("wall_seconds",)
        limits = Limits(output_bytes=5000)
        big = Endpoint(url=f"{server.url}/big", body=b"x" * 1000, limits=limits)
        result = await runtime.run(big)
        assert result.limits_hit == ("output_bytes",)
        assert len(result.stdout) <= 5000

    async def test_nobody_serves(self, runtime: Runtime) -> None:
        result = await runtime.run(Endpoint(url="http://127.0.0.1:9/"))
        assert result.failure is not None
        assert result.failure.type_name == "ConnectError"

    @pytest.mark.parametrize(
        "url", ["file:///etc/passwd", "ftp://x/", "gopher://x", "http://", "x", "http://a:b@c/"]
    )
    async def test_what_is_not_plain_http_is_refused(self, runtime: Runtime, url: str) -> None:
        result = await runtime.run(Endpoint(url=url))
        assert result.failure is not None
        assert result.failure.type_name == "PermissionDenied"

    @pytest.mark.parametrize("url", ["http://169.254.169.254/", "http://10.1.2.3/"])
    async def test_private_addresses_are_refused(self, runtime: Runtime, url: str) -> None:
        result = await runtime.run(Endpoint(url=url))
        assert result.failure is not None
        assert result.failure.type_name == "PermissionDenied"
        assert "private_endpoints" in result.failure.message

    async def test_events_are_items(self, runtime: Runtime, server: Server) -> None:
        result = await runtime.run(Endpoint(url=f"{server.url}/events"), stream=True)
        items, times = [], []
        async for item in result.items():
            items.append((item["event"], item["data"], item["id"]))
            times.append(time.monotonic())
        assert items == [("tick", "one", "1"), ("message", "two", "1")]
        assert times[1] - times[0] > 0.1
        assert b"event: tick" in (await result.done()).stdout

    async def test_what_may_be_repeated_is(self, runtime: Runtime, server: Server) -> None:
        server.left = 2
        result = await runtime.run(Endpoint(url=f"{server.url}/busy", method="GET"))
        assert (result.ok, result.stdout, result.attempts) == (True, b"at last", 3)

    async def test_what_may_not_be_repeated_is_not(self, runtime: Runtime, server: Server) -> None:
        server.left = 2
        result = await runtime.run(Endpoint(url=f"{server.url}/busy"))
        assert (result.ok, result.attempts, result.stdout) == (False, 1, b"busy")
        asked = Endpoint(url=f"{server.url}/busy", retries=Retry(2, first_seconds=0.01))
        assert (await runtime.run(asked)).stdout == b"at last"

    async def test_repeating_ends(self, runtime: Runtime, server: Server) -> None:
        server.left = 99
        retry = Retry(1, first_seconds=0.01)
        result = await runtime.run(Endpoint(url=f"{server.url}/busy", method="GET", retries=retry))
        assert (result.ok, result.attempts, result.stdout) == (False, 2, b"busy")
        never = Endpoint(url=f"{server.url}/busy", method="GET", retries=Retry(0))
        assert (await runtime.run(never)).attempts == 1

    async def test_the_server_says_when(self, runtime: Runtime, server: Server) -> None:
        server.left = 1
        began = time.monotonic()
        retry = Retry(2, first_seconds=0.01)
        result = await runtime.run(Endpoint(url=f"{server.url}/later", method="GET", retries=retry))
        assert result.ok
        assert 1 <= time.monotonic() - began < SOON
        server.left = 1
        hasty = Retry(2, first_seconds=0.01, most_seconds=0.5)
        result = await runtime.run(Endpoint(url=f"{server.url}/later", method="GET", retries=hasty))
        assert (result.ok, result.attempts) == (False, 1)  # sooner than it asks is not asked

    async def test_what_has_begun_to_answer_is_not_repeated(
        self, runtime: Runtime, server: Server
    ) -> None:
        result = await runtime.run(Endpoint(url=f"{server.url}/cut", method="GET"))
        assert (result.ok, result.stdout, result.attempts) == (False, b"half", 1)

    async def test_a_secret_is_sent_and_not_seen(self, runtime: Runtime, server: Server) -> None:
        url = f"{server.url}/whoami"
        result = await runtime.run(Endpoint(url=url, auth=SecretRef("key")))
        assert server.asked[-1][1]["authorization"] == f"Bearer {SECRET}"
        assert result.stdout == b"Bearer [secret]"
        assert result.value["headers"]["x-seen"] == "Bearer [secret]"
        own = Endpoint(url=url, auth=SecretRef("key", header="X-Key", scheme=""))
        await runtime.run(own)
        assert server.asked[-1][1]["x-key"] == SECRET
        assert SECRET not in repr(own)

    async def test_a_secret_that_is_not_there(self, runtime: Runtime, server: Server) -> None:
        workload = Endpoint(url=f"{server.url}/whoami", auth=SecretRef("nobody"))
        with pytest.raises(NotFoundError, match="nobody"):
            await runtime.run(workload)
        assert server.asked == []

    async def test_cancelling_closes_the_connection(self, runtime: Runtime, server: Server) -> None:
        result = await runtime.run(Endpoint(url=f"{server.url}/slow"), stream=True)
        await asyncio.wait_for(server.reached.wait(), SOON)
        await asyncio.wait_for(result.cancel(), SOON)
        assert result.ended
