"""Tokens of other codin platforms, whose users this one lets do what the operator says."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from codin.security.errors import CredentialError
from codin.security.jwks import RemoteKeys
from codin.security.principal import Principal
from codin.security.scopes import common
from codin.security.settings import PeerSettings
from codin.security.tokens import Token, access_header, verified

if TYPE_CHECKING:
    import httpx

_ALGORITHM = "Ed25519"


class PeerVerifier:
    """Tokens that another platform has exchanged for this one. ``client`` is the caller's: use one
    behind the SSRF guard."""

    def __init__(
        self,
        settings: PeerSettings,
        client: httpx.AsyncClient,
        *,
        clock: Callable[[], float] = time.time,
        min_interval: float = 10.0,
    ) -> None:
        self.settings = settings
        self._clock = clock
        url = settings.issuer.rstrip("/") + "/.well-known/jwks.json"
        self._keys = RemoteKeys(url, client, min_interval=min_interval)

    async def verify(self, token: str) -> Token:
        """What ``token`` says, with the principal that its subject is here.

        Raises:
            CredentialError: it is malformed, forged, expired, for somebody else, or is not
                narrowed to named scopes.
            SecurityFailure: the other platform's keys cannot be had.
        """
        key_id = access_header(token).get("kid")
        key = await self._keys.find(key_id) if isinstance(key_id, str) else None
        if key is None or key.get("crv") != _ALGORITHM:
            raise CredentialError("the token was signed with a key that its issuer does not list")
        said = verified(
            token,
            key,
            _ALGORITHM,
            issuer=self.settings.issuer,
            audience=self.settings.audience,
            now=self._clock(),
        )
        return replace(said, principal=self._local(said.principal))

    def _local(self, there: Principal) -> Principal:
        if not there.scopes:
            raise CredentialError("a token of another platform has to be narrowed to named scopes")
        return Principal(
            self.settings.tenant,
            # Nobody there may take the name of somebody here.
            f"{self.settings.issuer}#{there.tenant}/{there.subject}",
            frozenset(self.settings.roles),
            common(there.scopes, frozenset(self.settings.scopes)),
        )
