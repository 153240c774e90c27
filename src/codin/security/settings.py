"""What the operator says of whom to trust."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from codin.security.roles import checked_roles
from codin.security.scopes import checked_scopes

ALGORITHMS = frozenset({"RS256", "ES256", "EdDSA", "Ed25519"})
"""What an issuer may sign with: never ``none``, never a secret that both sides share."""

SignaturePolicy = Literal["require", "warn", "off"]
"""What becomes of a remote agent's card that nobody trusted has signed."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class OidcSettings(BaseModel):
    """The identity provider, and how its claims become a principal.

    A claim is named by its path (``realm_access.roles``). ``roles`` maps a value of ``roles_claim``
    to one of our roles: what is not in it gives nothing. The tenant is fixed (``tenant``) or in a
    claim (``tenant_claim``).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str
    audience: str = Field(min_length=1)
    subject_claim: str = "sub"
    tenant: str | None = None
    tenant_claim: str | None = None
    roles_claim: str = "roles"
    roles: Mapping[str, str] = {}
    default_roles: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = tuple(sorted(ALGORITHMS))

    @model_validator(mode="after")
    def _usable(self) -> OidcSettings:
        if not secure_url(self.issuer):
            raise ValueError("issuer: give its https:// address (http:// on loopback only)")
        if (self.tenant is None) == (self.tenant_claim is None):
            raise ValueError("give either tenant or tenant_claim: whose people they are")
        if unknown := set(self.algorithms) - ALGORITHMS:
            raise ValueError(f"algorithms: {', '.join(sorted(unknown))} cannot be used")
        checked_roles([*self.roles.values(), *self.default_roles])
        return self


class PeerSettings(BaseModel):
    """Another platform, and what its users may do here.

    ``issuer`` is its name in its tokens, and the address under which its keys are. Its users are
    those of ``tenant``, with ``roles``, whatever roles they have at home, and cut by ``scopes``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str
    audience: str = Field(min_length=1)
    tenant: str = Field(min_length=1)
    roles: tuple[str, ...] = ("service",)
    scopes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _usable(self) -> PeerSettings:
        if not secure_url(self.issuer):
            raise ValueError("issuer: give its https:// address (http:// on loopback only)")
        checked_roles(self.roles)
        checked_scopes(self.scopes)
        return self


def secure_url(url: str) -> bool:
    """Whether what is read from ``url`` comes from there: over TLS, or from this machine."""
    parts = urlsplit(url)
    if parts.scheme == "http":
        return parts.hostname in _LOOPBACK
    return parts.scheme == "https" and bool(parts.hostname)
