"""Servers over streamable HTTP, through the guard."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import own_server
import pytest
import pytest_asyncio
from mcp_house import called, registered
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send
from tool_house import House

from codin.security import LOCAL_USER, OutgoingGuard
from codin.security.secrets import SecretRef
from codin.testing.a2a_server import listening
from codin.tool import RunnableTool
from codin.tool.mcp import HttpServer, McpSource, McpUnavailable

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

GUARD = OutgoingGuard(["127.0.0.1"])


@pytest.fixture
def tools() -> list[RunnableTool]:
    return []


class Bearer:
    """Lets in who has the token, and keeps what was asked with."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.headers: list[dict[str, str]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = {key.decode(): value.decode() for key, value in scope["headers"]}
            self.headers.append(headers)
            if headers.get("authorization") != "Bearer t0ken-of-theirs":
                await Response("who are you?", 401)(scope, receive, send)
                return
        await self._app(scope, receive, send)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[tuple[str, Bearer]]:
    bearer = Bearer(own_server.server.streamable_http_app())
    app = Starlette(routes=[Mount("/", bearer)])
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()

    async def live() -> None:
        async with own_server.server.session_manager.run(), listening(app) as url:
            started.set_result(url)
            await stop.wait()

    running = asyncio.create_task(live())  # its scopes are left by the task that entered them
    yield f"{await started}/mcp", bearer
    stop.set()
    await running


@pytest_asyncio.fixture(loop_scope="module")
async def own(
    house: House, server: tuple[str, Bearer], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[McpSource]:
    monkeypatch.setenv("TOKEN_OF_SERVER", "t0ken-of-theirs")
    endpoint = HttpServer(
        server[0], GUARD, headers={"x-team": "blue"}, token=SecretRef(env="TOKEN_OF_SERVER")
    )
    source = McpSource("own", endpoint, seconds=10)
    await registered(house, source)
    yield source
    await source.aclose()


async def test_it_is_called_with_what_lets_it_in(
    house: House, own: McpSource, server: tuple[str, Bearer]
) -> None:
    assert own.protocol == "2026-07-28"
    assert (await called(house, "own_add", a=3)).value == {"result": 5}
    assert all(headers["x-team"] == "blue" for headers in server[1].headers[-2:])
    refused = await called(house, "own_fail", why="I was given t0ken-of-theirs")
    assert refused.text == "own_fail failed: Error executing tool fail: I was given [secret]"


async def test_progress_and_parts_come_over_it(house: House, own: McpSource) -> None:
    assert (await called(house, "own_count", to=2)).value == {"result": "counted to 2"}
    assert "".join(event.text for event in house.live) == "1/2 at 1\n2/2 at 2\n"
    text, image, *_ = (await called(house, "own_parts")).value
    assert (text, image["bytes"]) == ("first\nsecond", 12)


async def test_the_server_hears_of_a_call_that_is_cancelled(house: House, own: McpSource) -> None:
    calling = asyncio.ensure_future(called(house, "own_wait", seconds=30, name="over http"))
    await asyncio.sleep(0.3)
    begun = time.monotonic()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert time.monotonic() - begun < 5
    async with asyncio.timeout(5):
        while "over http" not in own_server.cancelled:
            await asyncio.sleep(0.05)


async def test_it_tells_of_new_tools(house: House, own: McpSource) -> None:
    await asyncio.sleep(0.2)  # it listens
    await called(house, "own_learn", name="lesson")
    async with asyncio.timeout(10):
        while house.registry.find(LOCAL_USER, "own_lesson") is None:
            await asyncio.sleep(0.05)
    assert (await called(house, "own_lesson")).value == {"result": "lesson"}


async def test_without_what_lets_it_in_it_says_so(server: tuple[str, Bearer]) -> None:
    source = McpSource("own", HttpServer(server[0], GUARD))
    with pytest.raises(McpUnavailable, match=r"'own' cannot be used: .*it answered 401"):
        await source.open()
    await source.aclose()


async def test_addresses_inside_are_not_connected_to(server: tuple[str, Bearer]) -> None:
    source = McpSource("own", HttpServer(server[0], OutgoingGuard()))
    with pytest.raises(McpUnavailable, match="leads to an address that is not public"):
        await source.open()
    await source.aclose()


async def test_one_that_is_not_there_is_named() -> None:
    source = McpSource("away", HttpServer("http://127.0.0.1:9/mcp", GUARD))
    with pytest.raises(McpUnavailable, match=r"'away' cannot be used: .*connection"):
        await source.open()
    await source.aclose()


class Old:
    """A server of the revision 2025-11-25, as small as can be, whose calls are ``answer``ed."""

    def __init__(self) -> None:
        self.session = "first"
        self.asked: list[str] = []
        self.app = Starlette(routes=[Route("/mcp", self.take, methods=["POST", "GET", "DELETE"])])

    async def take(self, request: Request) -> Response:
        if request.method != "POST":
            return Response(status_code=405)
        message = await request.json()
        method = message["method"]
        self.asked.append(method)
        if method == "initialize":
            return self.told(message, _OFFERS, {"mcp-session-id": self.session})
        if method == "server/discover":
            return Response(status_code=400)
        if request.headers.get("mcp-session-id") != self.session:
            return Response(status_code=404)
        if "id" not in message:
            return Response(status_code=202)
        if method == "tools/list":
            return self.told(message, {"tools": [_PLAIN]})
        return await self.answer(message)

    async def answer(self, message: dict[str, Any]) -> Response:
        return self.told(message, {"content": [{"type": "text", "text": "answered"}]})

    def told(
        self, message: dict[str, Any], result: dict[str, Any], headers: Any = None
    ) -> Response:
        body = {"jsonrpc": "2.0", "id": message["id"], "result": result}
        return JSONResponse(body, headers=headers)


_PLAIN = {"name": "plain", "inputSchema": {"type": "object"}}
_OFFERS = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "old", "version": "1"},
}


async def test_the_revision_before_is_spoken_and_a_session_lost_is_begun_anew(
    house: House,
) -> None:
    old = Old()
    async with listening(old.app) as url:
        source = McpSource("old", HttpServer(f"{url}/mcp", GUARD))
        await registered(house, source)
        assert source.protocol == "2025-11-25"
        assert (await called(house, "old_plain")).value == "answered"
        old.session = "second"  # as after its restart
        outcome = await called(house, "old_plain")
        assert outcome.error_type == "McpUnavailable"
        assert "it has forgotten the session. The next call connects again" in outcome.text
        assert (await called(house, "old_plain")).value == "answered"
        await source.aclose()


async def test_one_that_goes_away_costs_its_call_only(house: House) -> None:
    old = Old()
    async with listening(old.app) as url:
        source = McpSource("old", HttpServer(f"{url}/mcp", GUARD))
        await registered(house, source)
    for _ in range(5):
        outcome = await called(house, "old_plain")
        assert outcome.error_type == "McpUnavailable"
        assert "'old' cannot be reached: " in outcome.text
    await source.aclose()


async def test_one_that_comes_later_is_taken_then(house: House) -> None:
    old = Old()
    there = False

    async def maybe(request: Request) -> Response:
        return await old.take(request) if there else Response(status_code=503)

    app = Starlette(routes=[Route("/mcp", maybe, methods=["POST", "GET", "DELETE"])])
    async with listening(app) as url:
        source = McpSource("old", HttpServer(f"{url}/mcp", GUARD), again_seconds=0.1)
        told: list[object] = []

        async def take(tools: Sequence[RunnableTool]) -> None:
            told.append(house.registry.replace("old", tools))

        source.listen(take)
        with pytest.raises(McpUnavailable, match="it answered 503"):
            await source.open()
        there = True
        async with asyncio.timeout(5):
            while not told:
                await asyncio.sleep(0.05)
        assert (await called(house, "old_plain")).value == "answered"
        await source.aclose()


class Large(Old):
    async def answer(self, message: dict[str, Any]) -> Response:
        return Response(b'{"x": "' + b"x" * 20_000_000, media_type="application/json")


class Packed(Old):
    async def answer(self, message: dict[str, Any]) -> Response:
        headers = {"content-encoding": "gzip", "content-type": "application/json"}
        return Response(b"\x1f\x8b" + b"\0" * 100, headers=headers)


class Elsewhere(Old):
    async def answer(self, message: dict[str, Any]) -> Response:
        return RedirectResponse("http://127.0.0.2:9/taken", 307)


class Words(Old):
    async def answer(self, message: dict[str, Any]) -> Response:
        return Response(json.dumps("<html>" * 100), media_type="text/html")


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (Large, "it answered more than 16,777,216 bytes"),
        (Packed, "packed"),
        (Elsewhere, "Redirect to http://127.0.0.2:9/taken not followed"),
        (Words, "Unexpected content type: text/html"),
    ],
)
async def test_answers_that_cannot_be_taken(house: House, server: type[Old], said: str) -> None:
    async with listening(server().app) as url:
        source = McpSource("bad", HttpServer(f"{url}/mcp", GUARD), seconds=5)
        await registered(house, source)
        outcome = await called(house, "bad_plain")
        assert outcome.is_error
        assert said in outcome.text
        assert len(outcome.text) < 1_000
        await source.aclose()
