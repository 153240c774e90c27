"""One attempt at a delivery: the guard, the signature, the receiver's answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from joserfc.jwk import KeySet, OKPKey
from starlette.responses import Response, StreamingResponse

from codin.security import OutgoingGuard, OutgoingRefused
from codin.task.push import (
    DeliveryFailed,
    Ed25519Key,
    HttpPushSender,
    JwtBodySigner,
    Notification,
    PushConfig,
    SignatureRefused,
    verify_body,
)
from codin.testing.push import AnyUrl, Received, Receiver

NEWS = Notification("t", 3, b'{"statusUpdate": {}}')
ISSUER = "https://codin.example"
HERE = "https://receiver.example/hook"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    await found.start()
    yield found
    await found.stop()


async def attempt(receiver: Receiver, sender: HttpPushSender | None = None) -> None:
    sender = sender or HttpPushSender(AnyUrl(), timeout=10)
    try:
        await sender.send(PushConfig("c", "t", receiver.url), NEWS)
    finally:
        await sender.close()


async def test_a_refused_url_is_not_connected_to(receiver: Receiver) -> None:
    with pytest.raises(DeliveryFailed, match="refused") as failed:
        await attempt(receiver, HttpPushSender(OutgoingGuard()))
    assert failed.value.passing
    assert not receiver.came


async def test_a_name_that_leads_elsewhere_by_then_is_not_connected_to(receiver: Receiver) -> None:
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])

    async def resolve(host: str, port: int) -> list[str]:
        return next(answers)

    guard = OutgoingGuard(resolve=resolve)
    sender = HttpPushSender(guard, transport=guard.transport(), timeout=2.0)
    url = f"http://rebound.example:{receiver.port}/hook"
    with pytest.raises(DeliveryFailed, match="refused"):
        await sender.send(PushConfig("c", "t", url), NEWS)
    await sender.close()
    assert not receiver.came


async def test_what_an_operator_allows_is_reached(receiver: Receiver) -> None:
    guard = OutgoingGuard([f"127.0.0.1:{receiver.port}"])
    await attempt(receiver, HttpPushSender(guard, transport=guard.transport()))
    assert len(receiver.took) == 1


async def test_a_transport_that_refuses_is_heard(receiver: Receiver) -> None:
    class Refusing(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            raise OutgoingRefused("the address has changed")

    with pytest.raises(DeliveryFailed, match="the address has changed"):
        await attempt(receiver, HttpPushSender(AnyUrl(), transport=Refusing()))


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_any_success_is_taken(receiver: Receiver, status: int) -> None:
    async def answer(_: Received) -> Response:
        return Response(status_code=status)

    receiver.answer = answer
    await attempt(receiver)


@pytest.mark.parametrize(
    ("status", "passing"),
    [(400, False), (404, False), (302, False), (308, False), (408, True), (429, True), (500, True)],
)
async def test_what_other_answers_mean(receiver: Receiver, status: int, passing: bool) -> None:
    async def answer(_: Received) -> Response:
        return Response(status_code=status, headers={"Location": "http://127.0.0.1/"})

    receiver.answer = answer
    with pytest.raises(DeliveryFailed) as failed:
        await attempt(receiver)
    assert (failed.value.status, failed.value.passing) == (status, passing)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("0", 0.0), ("soon", None), ("-5", None), ("9" * 40, None), ("", None)],
)
async def test_retry_after(receiver: Receiver, value: str, seconds: float | None) -> None:
    async def answer(_: Received) -> Response:
        return Response(status_code=503, headers={"Retry-After": value})

    receiver.answer = answer
    with pytest.raises(DeliveryFailed) as failed:
        await attempt(receiver)
    assert failed.value.retry_after == seconds


async def test_an_answer_that_drips_is_cut_off(receiver: Receiver) -> None:
    async def drip() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x"
            await asyncio.sleep(0.1)

    async def answer(_: Received) -> Response:
        return StreamingResponse(drip())

    receiver.answer = answer
    began = asyncio.get_running_loop().time()
    with pytest.raises(DeliveryFailed, match="no answer within"):
        await attempt(receiver, HttpPushSender(AnyUrl(), timeout=0.5))
    assert asyncio.get_running_loop().time() - began < 5


async def test_an_answer_without_end_is_left(receiver: Receiver) -> None:
    async def flood() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 4096
            await asyncio.sleep(0)

    async def answer(_: Received) -> Response:
        return StreamingResponse(flood())

    receiver.answer = answer
    await attempt(receiver, HttpPushSender(AnyUrl(), timeout=5.0))


async def test_nobody_there(receiver: Receiver) -> None:
    await receiver.stop()
    with pytest.raises(DeliveryFailed, match="not reached") as failed:
        await attempt(receiver)
    assert failed.value.passing


async def test_what_the_environment_says_of_proxies_is_not_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    await attempt(receiver)
    assert len(receiver.took) == 1


def key() -> OKPKey:
    return OKPKey.generate_key("Ed25519")


def public(private: OKPKey) -> KeySet:
    shown = private.as_dict(private=False) | {"kid": private.thumbprint()}
    return KeySet([OKPKey.import_key(shown)])


def signed(private: OKPKey, body: bytes = NEWS.body, at: float = 1000.0) -> str:
    signer = JwtBodySigner(Ed25519Key(private), ISSUER, clock=lambda: at)
    return signer.sign(body, audience=HERE, event_id="t/3")


def test_a_signature_holds_for_its_body() -> None:
    private = key()
    claims = verify_body(
        signed(private), NEWS.body, public(private), audience=HERE, issuer=ISSUER, now=1001
    )
    assert claims["jti"] == "t/3"
    assert claims["exp"] == 1300


@pytest.mark.parametrize(
    "change",
    ["body", "key", "audience", "issuer", "old", "early", "cut", "algorithm", "type"],
)
def test_and_for_nothing_else(change: str) -> None:
    private = key()
    token = signed(private)
    if change == "cut":
        token = token[:-4]
    if change == "algorithm":
        from joserfc import jwt
        from joserfc.jwk import OctKey

        token = jwt.encode({"alg": "HS256"}, {"iss": ISSUER}, OctKey.import_key("k" * 32))
    if change == "type":
        at = JwtBodySigner(Ed25519Key(private), ISSUER, clock=lambda: 1000.0)
        at._keys = _Typed(private)
        token = at.sign(NEWS.body, audience=HERE, event_id="t/3")
    with pytest.raises(SignatureRefused):
        verify_body(
            token,
            b"other" if change == "body" else NEWS.body,
            public(key() if change == "key" else private),
            audience="https://else.example/" if change == "audience" else HERE,
            issuer="https://else.example/" if change == "issuer" else ISSUER,
            now={"old": 1400.0, "early": 900.0}.get(change, 1001.0),
        )


class _Typed(Ed25519Key):
    def sign(self, claims: Mapping[str, Any], typ: str) -> str:
        return super().sign(claims, "at+jwt")
