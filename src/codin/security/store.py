"""All that is kept for security under the platform's home, opened and closed as one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from codin.security._database import FILE_NAME, SecurityDatabase
from codin.security.audit import AuditLog, SQLiteAuditLog
from codin.security.authorizer import RoleAuthorizer
from codin.security.bearer import Bearers
from codin.security.keyring import KeyRing, published
from codin.security.keys import KeyStore, SQLiteKeyStore
from codin.security.oidc import OidcVerifier
from codin.security.peers import PeerVerifier
from codin.security.roles import DEFAULT_ROLES
from codin.security.tokens import TokenIssuer

CARD_KEY_SECONDS = 7 * 86_400.0
"""A card that was signed before a rotation is verifiable for so long after it."""


class SecurityStore:
    """API keys and audit log in ``home/security.db``, signing keys in ``home/keys``.

    Nothing is opened or made before it is used. Tokens are signed by Ed25519; cards by ES256,
    which every A2A SDK can verify.
    """

    def __init__(self, home: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._database = SecurityDatabase(home / FILE_NAME)
        self._clock = clock
        self.authorizer = RoleAuthorizer(DEFAULT_ROLES)
        self.keys: KeyStore = SQLiteKeyStore(self._database, clock=clock)
        self.audit: AuditLog = SQLiteAuditLog(self._database, self.authorizer, clock=clock)
        self.token_ring = KeyRing(home / "keys" / "tokens", "Ed25519", clock=clock)
        self.card_ring = KeyRing(
            home / "keys" / "cards", "ES256", keep_seconds=CARD_KEY_SECONDS, clock=clock
        )

    def issuer(self, name: str) -> TokenIssuer:
        """Tokens in the name of this platform: the address by which others reach it."""
        return TokenIssuer(self.token_ring, issuer=name, clock=self._clock)

    def bearers(
        self,
        name: str,
        people: OidcVerifier | None = None,
        peers: Sequence[PeerVerifier] = (),
    ) -> Bearers:
        """What turns a bearer credential into a principal at the platform ``name``."""
        return Bearers(self.keys, self.issuer(name).verifier(), people, peers)

    def jwks(self) -> dict[str, Any]:
        """What ``/.well-known/jwks.json`` shows: the public keys of tokens and cards."""
        return published(self.token_ring, self.card_ring)

    async def close(self) -> None:
        """Close the file. Closing twice does nothing."""
        await self._database.close()
