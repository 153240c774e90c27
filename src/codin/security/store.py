"""All that is kept for security under the platform's home, opened and closed as one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from codin.database import FILE_NAME, Database, SqliteDatabase
from codin.security.audit import AuditLog, StoredAudit
from codin.security.authorizer import RoleAuthorizer
from codin.security.bearer import Bearers
from codin.security.keyring import KeyRing, published
from codin.security.keys import KeyStore, StoredKeys
from codin.security.oidc import OidcVerifier
from codin.security.peers import PeerVerifier
from codin.security.roles import DEFAULT_ROLES
from codin.security.tokens import TokenIssuer

CARD_KEY_SECONDS = 7 * 86_400.0
"""A card that was signed before a rotation is verifiable for so long after it."""


class SecurityStore:
    """API keys and audit log in ``database``, which stays open at the end, or in the file of the
    platform's ``home``; signing keys in the folder ``keys``, or in ``home/keys``.

    Nothing is opened or made before it is used. Tokens are signed by Ed25519; cards by ES256,
    which every A2A SDK can verify.
    """

    def __init__(
        self,
        home: Path,
        *,
        database: Database | None = None,
        keys: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        used = database or SqliteDatabase(home / FILE_NAME)
        self._own = used if database is None else None
        self._clock = clock
        self.authorizer = RoleAuthorizer(DEFAULT_ROLES)
        self.keys: KeyStore = StoredKeys(used, clock=clock)
        self.audit: AuditLog = StoredAudit(used, self.authorizer, clock=clock)
        rings = keys or home / "keys"
        self.token_ring = KeyRing(rings / "tokens", "Ed25519", clock=clock)
        self.card_ring = KeyRing(
            rings / "cards", "ES256", keep_seconds=CARD_KEY_SECONDS, clock=clock
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
        """Close the file, unless a database was given. Closing twice does nothing."""
        if self._own is not None:
            await self._own.close()
