"""Whatever comes after ``Authorization: Bearer``: told apart, and turned into a principal."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from codin.security.errors import CredentialError
from codin.security.keys import KEY_PREFIX, KeyStore
from codin.security.oidc import OidcVerifier
from codin.security.peers import PeerVerifier
from codin.security.principal import Principal
from codin.security.tokens import MAX_TOKEN_CHARS, Token, TokenVerifier


class Bearers:
    """API keys, this platform's own tokens, those of the identity provider and of other platforms.

    Which it is is read from the text without trusting it: each is then verified in full.
    """

    def __init__(
        self,
        keys: KeyStore,
        tokens: TokenVerifier | None = None,
        people: OidcVerifier | None = None,
        peers: Sequence[PeerVerifier] = (),
    ) -> None:
        self._keys = keys
        self._peers = {peer.settings.issuer: peer for peer in peers}
        self._tokens = tokens
        self._people = people

    async def principal_of_bearer(self, credential: str) -> Principal:
        """Who calls, with who acts for them.

        Raises:
            CredentialError: the credential is no good. Its message may be shown to the caller.
            SecurityFailure: it cannot be told, because the keys cannot be read. Answer 503.
        """
        if credential.startswith(KEY_PREFIX):
            return await self._keys.principal_of(credential)
        issuer = _claimed_issuer(credential)
        if self._tokens is not None and issuer == self._tokens.issuer:
            return _acting(self._tokens.verify(credential))
        if self._people is not None and issuer == self._people.settings.issuer:
            return await self._people.principal_of(credential)
        if isinstance(issuer, str) and (peer := self._peers.get(issuer)):
            return _acting(await peer.verify(credential))
        raise CredentialError("the credential is neither a key nor a token that is taken here")


def _acting(token: Token) -> Principal:
    return replace(token.principal, actors=token.actors)


def _claimed_issuer(credential: str) -> Any:
    """What the token says of its issuer, unverified: only to choose who verifies it."""
    parts = credential.split(".")
    if len(parts) != 3 or len(credential) > MAX_TOKEN_CHARS:
        return None
    try:
        body = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        claims = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return claims.get("iss") if isinstance(claims, dict) else None
