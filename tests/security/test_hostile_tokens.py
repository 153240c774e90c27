"""Whatever is sent as a credential is a principal or a CredentialError: nothing else comes out."""

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from security_people import USER, Clock

from codin.security import CredentialError, SecurityStore
from codin.security.keyring import header_of

ME = "https://codin.example"

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecurityStore]:
    home: Path = tmp_path_factory.mktemp("home")
    store = SecurityStore(home, clock=Clock())
    yield store
    asyncio.run(store.close())


def taken(store: SecurityStore, credential: str) -> bool:
    try:
        asyncio.run(store.bearers(ME).principal_of_bearer(credential))
    except CredentialError:
        return False
    return True


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=200))
def test_any_text(kept: SecurityStore, text: str) -> None:
    assert not taken(kept, text)
    assert not taken(kept, "codin_" + text)


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x5c", "zip", "new"]),
    value=values,
)
def test_any_header(kept: SecurityStore, name: str, value: Any) -> None:
    good = kept.issuer(ME).issue(USER)
    _, body, signature = good.split(".")
    changed = {**header_of(good), name: value}
    assert not taken(kept, f"{encoded(changed)}.{body}.{signature}") or changed == header_of(good)


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(
        ["iss", "aud", "sub", "exp", "nbf", "iat", "jti", "tenant", "roles", "scopes", "act"]
    ),
    value=values,
)
def test_any_claim_signed_with_our_own_key(kept: SecurityStore, name: str, value: Any) -> None:
    good = kept.issuer(ME).issue(USER)
    claims = json.loads(base64.urlsafe_b64decode(good.split(".")[1] + "=="))
    changed = kept.token_ring.sign({**claims, name: value}, "at+jwt")
    if taken(kept, changed):
        fits = {"sub": str, "jti": str, "tenant": str, "roles": list, "scopes": list, "act": dict}
        times = {"exp", "nbf", "iat"}
        assert name in times or value is None or isinstance(value, fits[name])


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_cut_or_changed_character(kept: SecurityStore, data: st.DataObject) -> None:
    good = kept.issuer(ME).issue(USER)
    place = data.draw(st.integers(0, 400)) % len(good)
    assert not taken(kept, good[:place])
    other = data.draw(st.characters())
    # The last character has bits that mean nothing: all others count.
    if place < len(good) - 1 and other != good[place]:
        assert not taken(kept, good[:place] + other + good[place + 1 :])
