"""No request makes the gateway hold more than the bound."""

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from codin.gateway.limits import BodyLimitMiddleware


async def _count(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(str(len(body)))(scope, receive, send)


def _client() -> httpx.AsyncClient:
    app = BodyLimitMiddleware(_count, 1000)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


async def _chunks(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * 100


@pytest.mark.parametrize("size", [0, 1, 1000])
async def test_what_fits_arrives_whole(size: int) -> None:
    async with _client() as client:
        assert (await client.post("/api/goals", content=b"x" * size)).text == str(size)
        assert (await client.put("/api/goals", content=_chunks(size // 100))).text == str(
            size // 100 * 100
        )


async def test_more_is_refused_whether_declared_or_not() -> None:
    async with _client() as client:
        declared = await client.post("/api/goals", content=b"x" * 1001)
        streamed = await client.post("/api/goals", content=_chunks(11))
        lied = await client.post("/x", content=b"x" * 1001, headers={"content-length": "5"})
    for answer in (declared, streamed, lied):
        assert answer.status_code == 413
        assert "1,000 bytes" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/", "/agents/scout", "/agents/scout/"])
async def test_a_json_rpc_client_is_refused_in_its_own_words(path: str) -> None:
    async with _client() as client:
        answer = await client.post(path, content=b"x" * 1001)
    assert answer.status_code == 200
    assert answer.json()["jsonrpc"] == "2.0"
    assert answer.json()["error"]["code"] == -32600


async def test_a_client_that_leaves_half_way_gets_no_answer_made_up() -> None:
    messages = [{"type": "http.request", "body": b"x", "more_body": True}]
    sent: list[object] = []

    async def receive() -> dict[str, object]:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: object) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    await BodyLimitMiddleware(_count, 1000)(scope, receive, send)  # type: ignore[arg-type]
    assert sent == []
