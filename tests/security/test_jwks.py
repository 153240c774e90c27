"""Remote documents: bounded in size, time, form and place."""

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from joserfc.jwk import ECKey, OctKey

from codin.security.errors import SecurityFailure
from codin.security.jwks import RemoteKeys, fetch_json

URL = "https://keys.example/set"


def client(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b" " * 65_536


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(404), "answered 404"),
        (httpx.Response(302, headers={"location": "http://127.0.0.1/"}), "answered 302"),
        (httpx.Response(200, text="x"), "cannot be read"),
        (httpx.Response(200, text="[1]"), "holds no JSON object"),
        (httpx.Response(200, text="[" * 100_000), "cannot be read"),
        (httpx.Response(200, content=endless()), "more than 1000000 bytes"),
        (httpx.Response(200, headers={"content-encoding": "br"}, content=b""), "an encoding"),
    ],
)
async def test_what_is_no_document(answer: httpx.Response, said: str) -> None:
    with pytest.raises(SecurityFailure, match=said):
        await fetch_json(client(lambda request: answer), URL)


async def test_who_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        return httpx.Response(200)

    monkeypatch.setattr("codin.security.jwks._SECONDS", 0.05)
    with pytest.raises(SecurityFailure, match="TimeoutError"):
        await fetch_json(httpx.AsyncClient(transport=httpx.MockTransport(hangs)), URL)


async def test_many_at_once_ask_once() -> None:
    key = ECKey.generate_key("P-256", {"kid": "a"})
    asked = 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.01)
        return httpx.Response(200, json={"keys": [key.as_dict(private=False)]})

    keys = RemoteKeys(URL, httpx.AsyncClient(transport=httpx.MockTransport(answer)))
    found = await asyncio.gather(*(keys.find(kid) for kid in ["a", None] * 20))
    assert {each.kid for each in found if each} == {"a"}
    assert len([each for each in found if each]) == 40
    assert asked == 1


async def test_a_secret_that_both_sides_share_is_no_key() -> None:
    shared = OctKey.generate_key(256, {"kid": "a"}).as_dict(private=True)
    keys = RemoteKeys(URL, client(lambda request: httpx.Response(200, json={"keys": [shared]})))
    assert await keys.find("a") is None


@pytest.mark.parametrize("listed", [None, {}, [{"kty": "EC"}] * 101])
async def test_what_is_no_set_of_keys(listed: object) -> None:
    keys = RemoteKeys(URL, client(lambda request: httpx.Response(200, json={"keys": listed})))
    with pytest.raises(SecurityFailure, match="a list of at most 100 keys"):
        await keys.find("a")
    with pytest.raises(SecurityFailure, match="cannot be had at the moment"):
        await keys.find("a")
