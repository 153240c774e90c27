"""People's tokens, against a real issuer on loopback."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from oidc_issuer import Issuer, served
from pydantic import ValidationError

from codin.security import (
    CredentialError,
    OidcSettings,
    OidcVerifier,
    OutgoingGuard,
    Principal,
    SecurityFailure,
    SecurityStore,
)


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with served(Issuer()) as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with OutgoingGuard(["127.0.0.1"]).client() as client:
        yield client


def verifier(issuer: Issuer, client: httpx.AsyncClient, **settings: object) -> OidcVerifier:
    values = {
        "issuer": issuer.url,
        "audience": "codin",
        "tenant": "acme",
        "roles_claim": "realm_access.roles",
        "roles": {"staff": "user", "ops": "operator"},
    }
    return OidcVerifier(OidcSettings.model_validate(values | settings), client, min_interval=0.0)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_claims_become_a_principal(
    issuer: Issuer, client: httpx.AsyncClient, algorithm: str
) -> None:
    issuer.rotate(algorithm)
    people = verifier(issuer, client)
    text = issuer.token(realm_access={"roles": ["staff", "owner", 7]}, aud=["codin", "other"])
    assert await people.principal_of(text) == Principal("acme", "u1", frozenset({"user"}))
    await people.principal_of(text)
    assert issuer.asked == ["configuration", "keys"], "the keys are kept"


async def test_what_is_not_mapped_gives_nothing(issuer: Issuer, client: httpx.AsyncClient) -> None:
    people = verifier(issuer, client, tenant=None, tenant_claim="org", roles_claim="https://x/y.z")
    text = issuer.token(org="acme", **{"https://x/y.z": "owner admin"})
    assert await people.principal_of(text) == Principal("acme", "u1")
    for claims in ({"org": None}, {"org": ["acme"]}, {"org": "acme", "sub": None}):
        with pytest.raises(CredentialError, match=r"names no tenant|names nobody"):
            await people.principal_of(issuer.token(**claims))


async def test_the_issuers_rotation_is_followed(issuer: Issuer, client: httpx.AsyncClient) -> None:
    people = verifier(issuer, client)
    old = issuer.token()
    await people.principal_of(old)
    issuer.rotate("RS256", keep=True)
    await people.principal_of(issuer.token())
    await people.principal_of(old)
    issuer.rotate()
    await people.principal_of(issuer.token())
    with pytest.raises(CredentialError, match="does not list"):
        await people.principal_of(old)


async def test_made_up_key_ids_do_not_hammer_the_issuer(
    issuer: Issuer, client: httpx.AsyncClient
) -> None:
    people = verifier(issuer, client)
    people._min_interval = 60.0
    await people.principal_of(issuer.token())
    for number in range(20):
        with pytest.raises(CredentialError, match="does not list"):
            await people.principal_of(issuer.token({"kid": f"made up {number}"}))
    assert issuer.asked == ["configuration", "keys"]


async def test_an_issuer_that_is_down_for_a_while_locks_nobody_out(
    issuer: Issuer, client: httpx.AsyncClient
) -> None:
    people = verifier(issuer, client)
    await people.principal_of(issuer.token())
    keys, _ = await people._discovered()
    issuer.broken = True
    keys._max_age = 0.0
    await people.principal_of(issuer.token())
    keys._stale_seconds = 0.0
    with pytest.raises(SecurityFailure, match="answered 500"):
        await people.principal_of(issuer.token())


async def test_tokens_that_are_not_for_us(issuer: Issuer, client: httpx.AsyncClient) -> None:
    people = verifier(issuer, client)
    good = issuer.token()
    head, body, signature = good.split(".")
    secret = OctKey.import_key(json.dumps(issuer.keys[-1].as_dict(private=False)))
    for bad in (
        issuer.token(exp=1),
        issuer.token(exp=None),
        issuer.token(aud="other"),
        issuer.token(aud=None),
        issuer.token(iss="https://else.example"),
        issuer.token(nbf=2**40),
        issuer.token({"typ": "logout+jwt"}),
        f"{head}.{body}.",
        f"{head}.{body}.{signature[:-4]}",
        jwt.encode(
            {"alg": "HS256", "kid": issuer.keys[-1].kid},
            {"iss": issuer.url, "aud": "codin", "sub": "u", "exp": 2**40},
            secret,
            algorithms=["HS256"],
        ),
        "eyJhbGciOiJub25lIn0." + body + ".",
        good + "A" * 20_000,
        "",
    ):
        with pytest.raises(CredentialError):
            await people.principal_of(bad)
    await people.principal_of(good)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"issuer": "https://else.example"}, "speaks for another issuer"),
        ({"jwks_uri": "http://keys.example/"}, "names no https:// place"),
        ({"jwks_uri": 7}, "names no https:// place"),
        ({"id_token_signing_alg_values_supported": ["HS256", "none"]}, "offers no algorithm"),
    ],
)
async def test_a_discovery_that_cannot_be_right(
    issuer: Issuer, client: httpx.AsyncClient, document: dict[str, object], said: str
) -> None:
    issuer.document = document
    people = verifier(issuer, client)
    for _ in range(3):
        with pytest.raises(SecurityFailure, match=said):
            await people.principal_of(issuer.token())
    assert issuer.asked == ["configuration"], "it is not asked again at each request"


@pytest.mark.parametrize(
    "settings",
    [
        {"issuer": "http://id.example"},
        {"tenant": None},
        {"tenant_claim": "org"},
        {"roles": {"staff": "root"}},
        {"algorithms": ("HS256",)},
        {"audience": ""},
        {"unknown": 1},
    ],
)
def test_settings_that_cannot_be_right(settings: dict[str, object]) -> None:
    values = {"issuer": "https://id.example", "audience": "codin", "tenant": "acme"}
    OidcSettings.model_validate(values)
    with pytest.raises(ValidationError):
        OidcSettings.model_validate(values | settings)


async def test_the_guard_stands_before_the_issuer(issuer: Issuer) -> None:
    async with OutgoingGuard().client() as client:
        with pytest.raises(SecurityFailure, match="not public"):
            await verifier(issuer, client).principal_of(issuer.token())


async def test_bearers_ask_the_issuer_whose_token_it_is(
    issuer: Issuer, client: httpx.AsyncClient, store: SecurityStore
) -> None:
    bearers = store.bearers("https://codin.example", verifier(issuer, client))
    found = await bearers.principal_of_bearer(issuer.token())
    assert (found.tenant, found.subject) == ("acme", "u1")
