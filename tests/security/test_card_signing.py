"""Card signatures: over the form of section 8.4.1, and no change goes unseen."""

import asyncio
import base64
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from a2a.types import AgentCard
from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey

from codin.agent.base import AgentInfo
from codin.agent.cards import agent_card
from codin.security import CardSignatureError, CardSigner, CardVerifier, KeyRing
from codin.security.card_signing import RingKeys, TrustedKeys, canonical

FULL: dict[str, Any] = {
    "name": "Echo \u20ac",
    "description": "Says it again",
    "version": "1.0",
    "supportedInterfaces": [
        {"url": "https://x.example/a", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    ],
    "provider": {"organization": "Example", "url": "https://x.example"},
    "capabilities": {
        "streaming": True,
        "pushNotifications": False,
        "extensions": [{"uri": "urn:x", "params": {"n": 1.5, "big": 1e300, "deep": [{"a": None}]}}],
    },
    "securitySchemes": {"key": {"apiKeySecurityScheme": {"location": "header", "name": "X"}}},
    "securityRequirements": [{"schemes": {"key": {"list": ["a", "b"]}}}],
    "defaultInputModes": ["text/plain"],
    "defaultOutputModes": ["text/plain"],
    "skills": [{"id": "s", "name": "S", "description": "d", "tags": ["t"], "examples": ["e"]}],
    "iconUrl": "https://x.example/i.png",
}


def card(value: dict[str, Any]) -> AgentCard:
    return ParseDict(value, AgentCard())


@pytest.fixture(scope="module")
def rings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, KeyRing]:
    folder: Path = tmp_path_factory.mktemp("rings")
    return {
        "ES256": KeyRing(folder / "a", "ES256"),
        "Ed25519": KeyRing(folder / "b", "Ed25519"),
    }


def verified(signed: AgentCard, ring: KeyRing) -> bool:
    verdict = asyncio.run(CardVerifier("warn", [RingKeys(ring)], warn=str).check(signed))
    return verdict.verified


def test_the_canonical_form_is_the_one_of_the_specification() -> None:
    # The example of section 8.4.1, with the other required fields as it demands of them.
    given = {
        "name": "Example Agent",
        "description": "",
        "capabilities": {"streaming": False, "pushNotifications": False, "extensions": []},
        "skills": [],
    }
    said = json.loads(canonical(card(given)))
    assert said["description"] == ""
    assert said["skills"] == []
    assert said["capabilities"] == {"pushNotifications": False, "streaming": False}
    assert said["supportedInterfaces"] == said["defaultInputModes"] == []
    assert set(said) == {
        *("name", "description", "version", "supportedInterfaces", "capabilities"),
        *("defaultInputModes", "defaultOutputModes", "skills"),
    }
    text = canonical(card(given))
    assert text == json.dumps(said, sort_keys=True, separators=(",", ":")).encode()


def test_required_fields_are_kept_deep_inside_and_order_does_not_matter() -> None:
    value = deepcopy(FULL)
    value["skills"][0] |= {"description": "", "tags": []}
    said = json.loads(canonical(card(value)))
    assert said["skills"][0] == {
        "id": "s",
        "name": "S",
        "description": "",
        "tags": [],
        "examples": ["e"],
    }
    assert canonical(card(value)) == canonical(card(dict(reversed(value.items()))))
    assert "\u20ac".encode() in canonical(card(value))
    assert b'"big":1e+300' in canonical(card(value))


@pytest.mark.parametrize("algorithm", ["ES256", "Ed25519"])
def test_a_signed_card_holds_and_travels(rings: dict[str, KeyRing], algorithm: str) -> None:
    ring = rings[algorithm]
    plain = card(FULL)
    signed = CardSigner(ring)(plain)
    assert not plain.signatures, "the card itself is left as it was"
    (signature,) = signed.signatures
    header = json.loads(base64.urlsafe_b64decode(signature.protected + "=="))
    assert header == {"alg": algorithm, "kid": ring.signing_key().id, "typ": "JOSE"}
    travelled = ParseDict(json.loads(json.dumps(MessageToDict(signed))), AgentCard())
    assert verified(travelled, ring)
    assert not verified(travelled, rings["ES256" if algorithm == "Ed25519" else "Ed25519"])


def test_our_own_cards_are_signed_in_the_form_that_the_sdk_makes(
    rings: dict[str, KeyRing],
) -> None:
    # The SDK drops empty required fields: cards that have none are the same to both.
    from a2a.utils._jcs import canonicalize

    ours = agent_card(
        AgentInfo(id="echo", name="Echo", description="d", framework="x"), "http://h/"
    )
    bare = MessageToDict(ours)
    assert canonical(ours) == canonicalize(bare).encode()
    assert "" not in bare.values()
    assert [] not in bare.values()


paths = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


def changes(draw: st.DrawFn, value: Any) -> Any:
    """``value`` with one place in it changed, taken away or added."""
    if isinstance(value, dict) and value and draw(st.booleans()):
        key = draw(st.sampled_from(sorted(value)))
        if draw(st.integers(0, 4)) == 0:
            return {name: inner for name, inner in value.items() if name != key}
        return {**value, key: changes(draw, value[key])}
    if isinstance(value, list) and value and draw(st.booleans()):
        place = draw(st.integers(0, len(value) - 1))
        if draw(st.integers(0, 4)) == 0:
            return [*value, deepcopy(value[place])]
        return [*value[:place], changes(draw, value[place]), *value[place + 1 :]]
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return draw(st.text(max_size=8))
    if isinstance(value, (int, float)):
        return draw(st.floats(allow_nan=False, allow_infinity=False))
    return draw(paths)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_change_of_a_signed_card_is_found(
    rings: dict[str, KeyRing], data: st.DataObject
) -> None:
    ring = rings["ES256"]
    signed = CardSigner(ring)(card(FULL))
    other = changes(data.draw, FULL)
    try:
        changed = card(other)
    except Exception:  # no card at all
        assume(False)
    same = changed == card(FULL)
    changed.signatures.extend(signed.signatures)
    assert verified(changed, ring) == same


@given(st.binary(max_size=64), st.sampled_from(["protected", "signature"]))
@settings(max_examples=100, deadline=None)
def test_a_changed_signature_does_not_hold(
    rings: dict[str, KeyRing], noise: bytes, part: str
) -> None:
    ring = rings["ES256"]
    signed = CardSigner(ring)(card(FULL))
    text = base64.urlsafe_b64encode(noise).rstrip(b"=").decode()
    assume(text != getattr(signed.signatures[0], part))
    setattr(signed.signatures[0], part, text)
    assert not verified(signed, ring)


def hand_signed(header: dict[str, Any], key: ECKey | OKPKey) -> AgentCard:
    signed = card(FULL)
    compact = jws.serialize_compact(
        header,
        canonical(signed),
        key,
        registry=jws.JWSRegistry(algorithms=["ES256", "EdDSA"], strict_check_header=False),
    )
    protected, _, signature = compact.split(".")
    signed.signatures.add(protected=protected, signature=signature)
    return signed


async def test_the_policies() -> None:
    key = ECKey.generate_key("P-256", {"kid": "theirs"})
    signed = hand_signed({"alg": "ES256", "kid": "theirs", "x-own": 1}, key)
    unsigned = card(FULL)
    said: list[str] = []
    trust = [TrustedKeys([]), TrustedKeys([key])]
    assert (await CardVerifier("require", trust).check(signed)).key_id == "theirs"
    for bad, why in ((unsigned, "carries no signature"), (signed, "is not trusted here")):
        with pytest.raises(CardSignatureError, match=why):
            await CardVerifier("require").check(bad)
        verdict = await CardVerifier("warn", warn=said.append).check(bad)
        assert not verdict.verified
        assert why in said.pop()
        assert not (await CardVerifier("off", trust, warn=said.append).check(bad)).verified
    assert said == []


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
async def test_the_old_name_of_ed25519_is_understood_for_keys_of_that_curve() -> None:
    for curve, taken in (("Ed25519", True), ("Ed448", False)):
        key = OKPKey.generate_key(curve, {"kid": "k"})
        signed = hand_signed({"alg": "EdDSA", "kid": "k"}, key)
        verdict = await CardVerifier("warn", [TrustedKeys([key])], warn=str).check(signed)
        assert verdict.verified is taken


async def test_one_of_several_signatures_is_enough(rings: dict[str, KeyRing]) -> None:
    twice = CardSigner(rings["ES256"])(CardSigner(rings["Ed25519"])(card(FULL)))
    for ring in rings.values():
        assert (await CardVerifier("require", [RingKeys(ring)]).check(twice)).verified


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "kid": "k"},
        {"alg": "HS256", "kid": "k"},
        {"alg": "ES256"},
        {"alg": "ES256", "kid": "k", "crit": ["new"], "new": 1},
    ],
)
async def test_headers_that_are_not_taken(header: dict[str, Any]) -> None:
    key = ECKey.generate_key("P-256", {"kid": "k"})
    signed = hand_signed({"alg": "ES256", "kid": "k"}, key)
    text = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    signed.signatures[0].protected = text
    with pytest.raises(CardSignatureError):
        await CardVerifier("require", [TrustedKeys([key])]).check(signed)


async def test_a_null_jku_does_not_spoil_a_signature() -> None:
    import rfc8785

    key = ECKey.generate_key("P-256", {"kid": "k"})
    signed = card(FULL)
    protected = rfc8785.dumps({"alg": "ES256", "kid": "k", "jku": None, "typ": "JOSE"})
    head = base64.urlsafe_b64encode(protected).rstrip(b"=")
    body = base64.urlsafe_b64encode(canonical(signed)).rstrip(b"=")
    made = jws.JWSRegistry.algorithms["ES256"].sign(head + b"." + body, key)
    text = base64.urlsafe_b64encode(made).rstrip(b"=").decode()
    signed.signatures.add(protected=head.decode(), signature=text)
    assert (await CardVerifier("require", [TrustedKeys([key])]).check(signed)).verified


async def test_a_card_nested_too_deeply_is_refused_and_not_fallen_over() -> None:
    value: Any = 1.0
    deep = card(FULL)
    params = deep.capabilities.extensions[0].params
    for _ in range(40):
        value = {"x": value}
    params.update(value)
    canonical(deep)
    inner = params
    for _ in range(3000):
        inner = inner.get_or_create_struct("x")
    deep.signatures.add(protected="e30", signature="AA")
    with pytest.raises(CardSignatureError):
        await CardVerifier("require").check(deep)
