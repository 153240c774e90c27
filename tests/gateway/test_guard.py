"""Who may call: this machine, by its own name, and no foreign page."""

import httpx
import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from codin.gateway.auth import GuardMiddleware, LoopbackAuthenticator
from codin.security import LOCAL_USER


async def _whoami(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["state"]["principal"] == LOCAL_USER
    await JSONResponse({"subject": scope["state"]["principal"].subject})(scope, receive, send)


def _client(address: str = "127.0.0.1", base: str = "http://localhost:8420") -> httpx.AsyncClient:
    app = GuardMiddleware(_whoami, LoopbackAuthenticator())
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, client=(address, 5000)), base_url=base
    )


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8420", "[::1]:8420"])
async def test_the_local_user_is_whoever_calls_this_machine_by_its_name(host: str) -> None:
    async with _client() as client:
        answer = await client.post("/", headers={"host": host})
    assert (answer.status_code, answer.json()) == (200, {"subject": "local"})


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8420",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "localhost:x",
        "",
        "[::1",
        "127.0.0.1:",
        "localhost.",
        "0.0.0.0",
        "10.0.0.1:8420",
        "::1",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_foreign_name_for_this_machine_is_refused(host: str, method: str) -> None:
    async with _client() as client:
        answer = await client.request(method, "/", headers={"host": host})
    assert answer.status_code == 403
    assert "Host header" in answer.json()["error"]["message"]


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
async def test_loopback_callers_are_known(address: str) -> None:
    async with _client(address) as client:
        assert (await client.get("/")).status_code == 200


@pytest.mark.parametrize("address", ["10.0.0.7", "192.168.1.4", "::ffff:10.0.0.7", "fe80::1", "x"])
async def test_callers_from_elsewhere_are_nobody(address: str) -> None:
    async with _client(address) as client:
        answer = await client.get("/")
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "unauthenticated"


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "",
        "http://localhost:9999",
        "http://localhost",
        "file://localhost:8420",
        "http://localhost:8420.evil.example",
        "http://127.0.0.1:8420",
    ],
)
async def test_a_page_of_another_origin_changes_nothing(origin: str) -> None:
    async with _client() as client:
        answer = await client.post("/", headers={"origin": origin})
    assert answer.status_code == 403


async def test_two_origins_are_no_origin() -> None:
    own = ("origin", "http://localhost:8420")
    async with _client() as client:
        answer = await client.post("/", headers=[own, ("origin", "http://evil.example")])
    assert answer.status_code == 403


async def test_our_own_page_may_post() -> None:
    headers = {"origin": "http://localhost:8420", "sec-fetch-site": "same-origin"}
    async with _client() as client:
        assert (await client.post("/", headers=headers)).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_foreign_page_may_link_here_but_not_read_or_write(site: str) -> None:
    async with _client() as client:
        read = await client.get("/", headers={"sec-fetch-site": site, "sec-fetch-mode": "cors"})
        write = await client.post(
            "/", headers={"sec-fetch-site": site, "sec-fetch-mode": "navigate"}
        )
        link = await client.get("/", headers={"sec-fetch-site": site, "sec-fetch-mode": "navigate"})
    assert [read.status_code, write.status_code, link.status_code] == [403, 403, 200]
