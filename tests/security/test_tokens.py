"""Tokens: for minutes, for one audience, signed by keys that rotate, and only ever narrower."""

import asyncio
import base64
import json
import stat
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey
from security_people import USER, Clock

from codin.errors import InvalidInputError
from codin.security import CredentialError, ForbiddenError, KeyRing, Principal, SecurityStore
from codin.security.errors import SecurityFailure
from codin.security.keyring import header_of, published
from codin.security.tokens import TokenIssuer, TokenVerifier

ME = "https://codin.example"
HOST = "https://host.example"


@pytest.fixture
def issuer(store: SecurityStore) -> TokenIssuer:
    return store.issuer(ME)


def test_a_token_says_who_for_whom_and_until_when(issuer: TokenIssuer, clock: Clock) -> None:
    token = issuer.verifier().verify(issuer.issue(USER, seconds=60))
    assert token.principal == USER
    assert (token.issuer, token.audience) == (ME, ME)
    assert (token.issued, token.expires) == (int(clock.now), int(clock.now) + 60)
    assert token.actors == ()
    assert token.id != issuer.verifier().verify(issuer.issue(USER)).id


def test_it_is_refused_elsewhere_and_after_its_minutes(issuer: TokenIssuer, clock: Clock) -> None:
    text = issuer.issue(USER, audience=HOST, seconds=60)
    with pytest.raises(CredentialError, match="aud"):
        issuer.verifier().verify(text)
    verifier = issuer.verifier(HOST)
    clock.now += 59
    verifier.verify(text)
    clock.now += 1
    with pytest.raises(CredentialError, match="has expired"):
        verifier.verify(text)
    clock.now -= 3600
    with pytest.raises(CredentialError, match=r"not yet valid|in the future"):
        issuer.verifier(HOST).verify(text)


def test_another_issuer_with_the_same_keys_is_another(store: SecurityStore) -> None:
    text = store.issuer("https://else.example").issue(USER, audience=ME)
    with pytest.raises(CredentialError, match="iss"):
        store.issuer(ME).verifier().verify(text)


@pytest.mark.parametrize("seconds", [0, 0.5, -1, 901])
def test_tokens_live_for_minutes(issuer: TokenIssuer, seconds: float) -> None:
    with pytest.raises(InvalidInputError, match="lives 1 to 900 seconds"):
        issuer.issue(USER, seconds=seconds)


def forged(store: SecurityStore, text: str) -> dict[str, str]:
    """Tokens that say what ``text`` says, made without its key."""
    header, body, signature = text.split(".")
    kid = header_of(text)["kid"]
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    public = json.dumps(store.token_ring.jwks()["keys"][0]).encode()

    def encoded(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    mine = OKPKey.generate_key("Ed25519")
    typed = {"typ": "at+jwt", "kid": kid}
    return {
        "none": f"{encoded({**typed, 'alg': 'none'})}.{body}.",
        "unsigned": f"{header}.{body}.",
        "other claims": f"{header}.{encoded({**claims, 'roles': ['owner']})}.{signature}",
        "secret from public": jwt.encode(
            {**typed, "alg": "HS256"}, claims, OctKey.import_key(public), algorithms=["HS256"]
        ),
        "own key": jwt.encode({**typed, "alg": "Ed25519"}, claims, mine, algorithms=["Ed25519"]),
        "own key inside": jwt.encode(
            {**typed, "alg": "Ed25519", "jwk": mine.as_dict(private=False)},
            claims,
            mine,
            algorithms=["Ed25519"],
        ),
        "unknown key": jwt.encode(
            {"typ": "at+jwt", "kid": "../../x", "alg": "Ed25519"}, claims, mine, ["Ed25519"]
        ),
        "other type": store.token_ring.sign(claims, "push+jwt"),
        "no tenant": store.token_ring.sign({**claims, "tenant": None}, "at+jwt"),
        "roles a text": store.token_ring.sign({**claims, "roles": "owner"}, "at+jwt"),
        "no audience": store.token_ring.sign(
            {key: value for key, value in claims.items() if key != "aud"}, "at+jwt"
        ),
        "no end": store.token_ring.sign(
            {key: value for key, value in claims.items() if key != "exp"}, "at+jwt"
        ),
        "endless actors": store.token_ring.sign({**claims, "act": nested(50)}, "at+jwt"),
        "cut": text[:-10],
        "nothing": "",
        "dots": "..",
        "not ascii": text + "\u0661",
        "long": text + "A" * 20_000,
    }


def nested(depth: int) -> dict[str, object]:
    return {"sub": "a", "act": nested(depth - 1)} if depth else {"sub": "a"}


def test_forgeries_are_refused(store: SecurityStore, issuer: TokenIssuer) -> None:
    text = issuer.issue(USER)
    verifier = issuer.verifier()
    verifier.verify(text)
    for name, forgery in forged(store, text).items():
        with pytest.raises(CredentialError):
            raise AssertionError(f"{name} was taken: {verifier.verify(forgery)}")


async def test_rotation_takes_nothing_from_what_is_signed(
    store: SecurityStore, issuer: TokenIssuer, clock: Clock
) -> None:
    verifier = issuer.verifier()
    old = issuer.issue(USER, seconds=900)
    made = await store.token_ring.rotate()
    new = issuer.issue(USER, seconds=900)
    assert header_of(new)["kid"] == made.id != header_of(old)["kid"]
    verifier.verify(old)
    verifier.verify(new)
    assert len(store.token_ring.jwks()["keys"]) == 2
    clock.now += 1000
    assert [key["kid"] for key in store.token_ring.jwks()["keys"]] == [made.id]
    await store.token_ring.rotate()
    assert len(list(store.token_ring._folder.glob("*.json"))) == 2, "the first is deleted"


async def test_a_new_key_can_be_published_before_it_signs(
    store: SecurityStore, issuer: TokenIssuer, clock: Clock
) -> None:
    first = header_of(issuer.issue(USER))["kid"]
    made = await store.token_ring.rotate(lead_seconds=300)
    assert made.id in {key["kid"] for key in store.token_ring.jwks()["keys"]}
    assert header_of(issuer.issue(USER))["kid"] == first
    clock.now += 300
    text = issuer.issue(USER)
    assert header_of(text)["kid"] == made.id
    issuer.verifier().verify(text)


async def test_a_leaked_key_can_be_dropped_at_once(
    store: SecurityStore, issuer: TokenIssuer
) -> None:
    old = issuer.issue(USER)
    await store.token_ring.rotate(drop_old=True)
    with pytest.raises(CredentialError, match="not in use"):
        issuer.verifier().verify(old)
    issuer.verifier().verify(issuer.issue(USER))


async def test_another_process_takes_the_rotation_over(
    store: SecurityStore, tmp_path: Path, clock: Clock
) -> None:
    issuer = store.issuer(ME)
    issuer.issue(USER)
    other = SecurityStore(tmp_path / "home", clock=clock)
    verifier = other.issuer(ME).verifier()
    verifier.verify(issuer.issue(USER))
    await store.token_ring.rotate()
    verifier.verify(issuer.issue(USER))  # a key id that it has not seen
    leaked = issuer.issue(USER)
    await store.token_ring.rotate(drop_old=True)
    await asyncio.sleep(1.1)
    with pytest.raises(CredentialError, match="not in use"):
        verifier.verify(leaked)
    await other.close()


def test_private_keys_stay_private(store: SecurityStore, issuer: TokenIssuer) -> None:
    issuer.issue(USER)
    for key in store.jwks()["keys"]:
        assert "d" not in key
        assert key["use"] == "sig"
        assert key["alg"] in {"Ed25519", "ES256"}
    files = list(store.token_ring._folder.glob("*"))
    assert len(files) == 1
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600
    for folder in (store.token_ring._folder, *store.token_ring._folder.parents[:2]):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_spoilt_key_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"active": 1, "made": 1, "jwk": {"kty": "oct", "k": "AA"}}')
    with pytest.raises(SecurityFailure, match=r"x\.json cannot be read"):
        KeyRing(tmp_path).signing_key()
    assert published() == {"keys": []}


def test_an_exchanged_token_is_narrower_and_says_who_acts(
    issuer: TokenIssuer, clock: Clock
) -> None:
    first = issuer.issue(USER, seconds=100)
    second = issuer.exchange(
        first, audience=HOST, scopes=frozenset({"tool.call:*"}), actor="gateway", seconds=600
    )
    held = issuer.verifier(HOST).verify(second)
    assert held.principal == USER.narrowed(frozenset({"tool.call:*"}))
    assert held.actors == ("gateway",)
    assert held.expires == int(clock.now) + 100, "never longer than what it was made from"
    third = issuer.exchange(
        held, audience="https://far.example", scopes=frozenset({"tool.call:x"}), actor="host"
    )
    far = issuer.verifier("https://far.example").verify(third)
    assert far.actors == ("host", "gateway")
    assert far.principal.scopes == {"tool.call:x"}
    with pytest.raises(CredentialError):
        issuer.verifier().verify(second)


def test_exchanging_never_widens(issuer: TokenIssuer) -> None:
    narrow = Principal("acme", "uma", frozenset({"user"}), frozenset({"tool.call:a*"}))
    for wider in ({"*"}, {"tool.call:*"}, {"tool.call:ab", "agent.use:x"}):
        with pytest.raises(ForbiddenError, match="cannot hand on more"):
            issuer.exchange(narrow, audience=HOST, scopes=frozenset(wider), actor="g")
    with pytest.raises(InvalidInputError, match="named scopes"):
        issuer.exchange(narrow, audience=HOST, scopes=frozenset(), actor="g")
    with pytest.raises(InvalidInputError, match="is no scope"):
        issuer.exchange(narrow, audience=HOST, scopes=frozenset({"tool.call:a?"}), actor="g")


def test_only_tokens_for_this_platform_are_exchanged(issuer: TokenIssuer) -> None:
    elsewhere = issuer.issue(USER, audience=HOST)
    with pytest.raises(CredentialError, match="aud"):
        issuer.exchange(elsewhere, audience=ME, scopes=frozenset({"tool.call:a"}), actor="g")


def test_a_token_is_handed_on_only_so_often(issuer: TokenIssuer) -> None:
    scopes = frozenset({"tool.call:a"})
    text = issuer.exchange(USER, audience=ME, scopes=scopes, actor="0")
    for actor in range(1, 8):
        text = issuer.exchange(text, audience=ME, scopes=scopes, actor=str(actor))
    assert issuer.verifier().verify(text).actors == tuple("76543210")
    with pytest.raises(ForbiddenError, match="handed on 8 times"):
        issuer.exchange(text, audience=ME, scopes=scopes, actor="8")


def test_two_platforms_keys_do_not_mix(issuer: TokenIssuer, tmp_path: Path, clock: Clock) -> None:
    other = KeyRing(tmp_path / "other", clock=clock)
    text = TokenIssuer(other, issuer=ME, clock=clock).issue(USER)
    with pytest.raises(CredentialError, match="not in use"):
        issuer.verifier().verify(text)
    TokenVerifier(other, issuer=ME, audience=ME, clock=clock).verify(text)
