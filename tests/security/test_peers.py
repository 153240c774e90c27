"""Tokens between platforms: what the other says of roles is not believed."""

from collections.abc import AsyncIterator

import pytest
from oidc_issuer import Issuer, served
from pydantic import ValidationError
from security_people import ADMIN
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from codin.security import (
    CredentialError,
    OutgoingGuard,
    PeerSettings,
    PeerVerifier,
    SecurityFailure,
    SecurityStore,
)

HERE = "https://here.example"


class Platform(Issuer):
    """Another platform, of which only the keys are served."""

    store: SecurityStore

    async def key_set(self, request: Request) -> Response:
        self.asked.append("keys")
        return JSONResponse(self.store.jwks())

    configuration = key_set


@pytest.fixture
async def there(store: SecurityStore, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Platform]:
    monkeypatch.setattr("oidc_issuer.CONFIGURATION", "/.well-known/jwks.json")
    platform = Platform()
    platform.store = store
    async with served(platform):
        yield platform


def settings(there: Platform, **more: object) -> PeerSettings:
    values = {"issuer": there.url, "audience": HERE, "tenant": "partners", "roles": ("user",)}
    return PeerSettings.model_validate(values | more)


async def test_a_token_exchanged_for_here_is_a_local_principal(
    there: Platform, store: SecurityStore
) -> None:
    issuer = store.issuer(there.url)
    text = issuer.exchange(
        ADMIN, audience=HERE, scopes=frozenset({"agent.use:*", "auth.keys"}), actor="gateway"
    )
    async with OutgoingGuard(["127.0.0.1"]).client() as client:
        peer = PeerVerifier(
            settings(there, scopes=("agent.use:echo",)), client, clock=store._clock, min_interval=0
        )
        bearers = store.bearers(HERE, peers=[peer])
        caller = await bearers.principal_of_bearer(text)
        assert caller.tenant == "partners"
        assert caller.subject == f"{there.url}#acme/ada"
        assert caller.roles == {"user"}
        assert caller.scopes == {"agent.use:echo"}
        assert caller.actors == ("gateway",)
        for bad in (
            issuer.issue(ADMIN, audience=HERE),  # narrowed to nothing
            issuer.exchange(
                ADMIN, audience="https://x.example", scopes=frozenset({"agent.use:a"}), actor="g"
            ),
            text[:-4],
            store.card_ring.sign({"iss": there.url}, "at+jwt"),
        ):
            with pytest.raises(CredentialError):
                await bearers.principal_of_bearer(bad)
        assert there.asked == ["keys"] * 1, "the keys are kept"
        await store.token_ring.rotate(drop_old=True)
        later = issuer.exchange(
            ADMIN, audience=HERE, scopes=frozenset({"agent.use:a"}), actor="gateway"
        )
        assert (await bearers.principal_of_bearer(later)).scopes != frozenset()
        with pytest.raises(CredentialError, match="does not list"):
            await bearers.principal_of_bearer(text)


async def test_a_platform_that_is_not_there(there: Platform, store: SecurityStore) -> None:
    text = store.issuer(there.url).exchange(
        ADMIN, audience=HERE, scopes=frozenset({"agent.use:a"}), actor="gateway"
    )
    async with OutgoingGuard().client() as client:
        peer = PeerVerifier(settings(there), client, clock=store._clock)
        with pytest.raises(SecurityFailure, match="not public"):
            await peer.verify(text)


@pytest.mark.parametrize(
    "more",
    [{"issuer": "http://x.example"}, {"roles": ("root",)}, {"scopes": ("a?",)}, {"tenant": ""}],
)
def test_settings_that_cannot_be_right(there: Platform, more: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        settings(there, **more)
