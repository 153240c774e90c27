"""People's bearer tokens, from the identity provider that the operator has pinned."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError, SecurityWarning
from joserfc.jws import JWSRegistry

from codin.security.errors import CredentialError, SecurityFailure
from codin.security.jwks import RemoteKeys, fetch_json
from codin.security.keyring import LEEWAY_SECONDS, header_of
from codin.security.principal import Principal
from codin.security.settings import ALGORITHMS, OidcSettings, secure_url
from codin.security.tokens import MAX_TOKEN_CHARS

if TYPE_CHECKING:
    import httpx

_TYPES = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})
_RETRY_SECONDS = 10.0


class OidcVerifier:
    """Bearer tokens of one issuer. ``client`` is the caller's: use one behind the SSRF guard."""

    def __init__(
        self,
        settings: OidcSettings,
        client: httpx.AsyncClient,
        *,
        clock: Callable[[], float] = time.time,
        min_interval: float = 10.0,
    ) -> None:
        self.settings = settings
        self._client = client
        self._clock = clock
        self._min_interval = min_interval
        self._lock = asyncio.Lock()
        self._failed: tuple[float, SecurityFailure] | None = None
        self._found: tuple[RemoteKeys, frozenset[str]] | None = None

    async def principal_of(self, token: str) -> Principal:
        """Who calls with this token.

        Raises:
            CredentialError: it is malformed, forged, expired, for another audience, from another
                issuer, or lacks a claim that makes a principal.
            SecurityFailure: the issuer cannot be asked for its keys.
        """
        if len(token) > MAX_TOKEN_CHARS:
            raise CredentialError(f"the token is longer than {MAX_TOKEN_CHARS} characters")
        header = header_of(token)
        keys, algorithms = await self._discovered()
        algorithm = header.get("alg")
        if algorithm not in algorithms or str(header.get("typ", "")).lower() not in _TYPES:
            raise CredentialError(f"the token is signed by {algorithm!r}, which is not taken here")
        key_id = header.get("kid")
        key = await keys.find(key_id if isinstance(key_id, str) else None)
        if key is None:
            raise CredentialError("the token was signed with a key that its issuer does not list")
        return self._principal(self._verified(token, key, algorithm))

    def _verified(self, token: str, key: Any, algorithm: str) -> Mapping[str, Any]:
        claims = jwt.JWTClaimsRegistry(
            now=int(self._clock()),
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": self.settings.issuer},
            aud={"essential": True, "value": self.settings.audience},
            exp={"essential": True},
        )
        try:
            with warnings.catch_warnings():
                # Most issuers still say EdDSA, the name that RFC 9864 replaces.
                warnings.simplefilter("ignore", SecurityWarning)
                decoded = jwt.decode(
                    token, key, algorithms=[algorithm], registry=_registry(algorithm)
                )
            claims.validate(decoded.claims)
        except ExpiredTokenError:
            raise CredentialError("the token has expired: sign in again") from None
        except (JoseError, ValueError, TypeError) as error:
            raise CredentialError(f"the token is not valid here: {error}") from None
        return decoded.claims

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        settings = self.settings
        subject = _at(claims, settings.subject_claim)
        tenant = settings.tenant or _at(claims, settings.tenant_claim or "")
        if not isinstance(subject, str) or not subject:
            raise CredentialError(f"the token's claim {settings.subject_claim!r} names nobody")
        if not isinstance(tenant, str) or not tenant:
            raise CredentialError(f"the token's claim {settings.tenant_claim!r} names no tenant")
        held = _at(claims, settings.roles_claim)
        names = held.split() if isinstance(held, str) else held if isinstance(held, list) else []
        roles = {
            settings.roles[name]
            for name in names
            if isinstance(name, str) and name in settings.roles
        }
        return Principal(tenant, subject, frozenset(roles) | set(settings.default_roles))

    async def _discovered(self) -> tuple[RemoteKeys, frozenset[str]]:
        async with self._lock:
            if self._found is None:
                self._found = await self._discover()
            return self._found

    async def _discover(self) -> tuple[RemoteKeys, frozenset[str]]:
        if self._failed is not None and time.monotonic() - self._failed[0] < _RETRY_SECONDS:
            raise SecurityFailure(str(self._failed[1]))
        try:
            return await self._discover_now()
        except SecurityFailure as error:
            self._failed = (time.monotonic(), error)
            raise

    async def _discover_now(self) -> tuple[RemoteKeys, frozenset[str]]:
        issuer = self.settings.issuer
        # OpenID Connect Discovery 1.0, section 4.
        url = issuer.rstrip("/") + "/.well-known/openid-configuration"
        document = await fetch_json(self._client, url)
        if document.get("issuer") != issuer:
            raise SecurityFailure(
                f"{url} speaks for another issuer, {document.get('issuer')!r}: pin exactly that "
                "one if it is the right one"
            )
        keys_url = document.get("jwks_uri")
        if not isinstance(keys_url, str) or not secure_url(keys_url):
            raise SecurityFailure(f"{url} names no https:// place for its keys")
        listed = document.get("id_token_signing_alg_values_supported")
        offered = (
            {each for each in listed if isinstance(each, str)}
            if isinstance(listed, list)
            else {"RS256"}
        )
        algorithms = offered & set(self.settings.algorithms)
        if not algorithms:
            raise SecurityFailure(f"{url} offers no algorithm of {', '.join(sorted(ALGORITHMS))}")
        keys = RemoteKeys(keys_url, self._client, min_interval=self._min_interval)
        return keys, frozenset(algorithms)


def _registry(algorithm: str) -> JWSRegistry:
    # Issuers put headers of their own in (RFC 7515, section 4.3): unknown ones are no harm.
    return JWSRegistry(algorithms=[algorithm], strict_check_header=False)


def _at(claims: Mapping[str, Any], path: str) -> Any:
    if path in claims:  # a claim may have dots in its name
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
