"""Where the gateway listens, and how it ends."""

import asyncio
import socket
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from codin.gateway.errors import AddressInUse, GatewayError, UnsafeAddress
from codin.gateway.server import HttpServer, UnixServer


def _app(closed: list[str] | None = None) -> Starlette:
    async def hello(request: Request) -> Response:
        return PlainTextResponse("hello")

    async def slow(request: Request) -> Response:
        await asyncio.sleep(30)
        return PlainTextResponse("late")

    async def ticks(first: str) -> AsyncIterator[str]:
        try:
            yield first
            await asyncio.sleep(3600)
        finally:
            if closed is not None:
                closed.append("stream")

    async def sse(request: Request) -> Response:
        return EventSourceResponse(ticks("first"))

    async def plain(request: Request) -> Response:
        return StreamingResponse(ticks("data: first\n\n"))

    return Starlette(
        routes=[Route("/", hello), Route("/sse", sse), Route("/plain", plain), Route("/slow", slow)]
    )


async def test_a_free_port_is_taken_and_told() -> None:
    async with HttpServer(_app(), port=0) as server, httpx.AsyncClient(trust_env=False) as client:
        assert server.url.startswith("http://127.0.0.1:")
        assert (await client.get(server.url)).text == "hello"
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.get(server.url)


async def test_a_taken_port_is_named_with_the_way_out() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(AddressInUse, match=rf"port {port} .* --port"):
            await HttpServer(_app(), port=port).start()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "example.org", ""])
async def test_an_address_that_others_reach_is_refused(host: str) -> None:
    with pytest.raises(UnsafeAddress, match=r"other machines|no IP address"):
        await HttpServer(_app(), host=host, port=0).start()


@pytest.mark.parametrize("path", ["/sse", "/plain"])
async def test_open_streams_end_with_the_server_and_properly(path: str) -> None:
    closed: list[str] = []
    server = HttpServer(_app(closed), port=0)
    await server.start()
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("GET", server.url + path) as stream,
    ):
        lines = stream.aiter_lines()
        assert "first" in await anext(lines)
        began = time.monotonic()
        await server.stop()
        assert time.monotonic() - began < 1
        assert [line async for line in lines if line] == []  # an end, not a broken connection
    assert closed == ["stream"]


async def test_a_request_that_does_not_end_is_ended() -> None:
    server = HttpServer(_app(), port=0)
    await server.start()
    async with httpx.AsyncClient(trust_env=False) as client:
        hanging = asyncio.create_task(client.get(server.url + "/slow"))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        await server.stop()
        assert time.monotonic() - began < 2.5
        with pytest.raises(httpx.HTTPError):
            (await hanging).raise_for_status()


async def test_stopping_twice_or_before_the_start_does_nothing() -> None:
    server = HttpServer(_app(), port=0)
    await server.stop()
    await server.start()
    await server.stop()
    await server.stop()


async def test_a_unix_socket_is_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    async with UnixServer(_app(), path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        transport = httpx.AsyncHTTPTransport(uds=str(path))
        async with httpx.AsyncClient(transport=transport) as client:
            assert (await client.get("http://platform/")).text == "hello"
        with pytest.raises(AddressInUse):
            await UnixServer(_app(), path).start()
    assert not path.exists()


async def test_a_socket_left_behind_is_replaced_and_a_file_is_not(tmp_path: Path) -> None:
    stale = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(stale))
    async with UnixServer(_app(), stale):
        pass
    precious = tmp_path / "precious"
    precious.write_text("keep me")
    with pytest.raises(GatewayError, match="no socket"):
        await UnixServer(_app(), precious).start()
    assert precious.read_text() == "keep me"


async def test_an_answer_waits_for_no_acknowledgement() -> None:
    """Without TCP_NODELAY the second part of an answer waits some 40 ms for the first one's."""
    server = HttpServer(_app(), port=0)
    listener = server.bind()
    with listener, socket.create_connection(listener.getsockname()[:2]):
        accepted, _ = await asyncio.get_running_loop().sock_accept(listener)
        with accepted:
            assert accepted.proto == socket.IPPROTO_TCP
