"""Principals, scopes and permissions; keys, tokens, the audit log, and whom to connect to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codin.lazy import lazy_names
from codin.security.access import Access
from codin.security.authorizer import Authorizer, RoleAuthorizer
from codin.security.errors import (
    CardSignatureError,
    CredentialError,
    ForbiddenError,
    OutgoingRefused,
    SecurityFailure,
)
from codin.security.grant import GrantError, RunGrant, RunGrants
from codin.security.principal import LOCAL_TENANT, LOCAL_USER, NOBODY, Principal, Scope
from codin.security.roles import DEFAULT_ROLES, PERMISSIONS

if TYPE_CHECKING:
    from codin.security.audit import AuditEntry, AuditLog, AuditRecord, StoredAudit
    from codin.security.bearer import Bearers
    from codin.security.card_signing import CardSigner, CardVerdict, CardVerifier
    from codin.security.keyring import KeyRing, published
    from codin.security.keys import ApiKey, KeyRequest, KeyStore, StoredKeys
    from codin.security.oidc import OidcVerifier
    from codin.security.outgoing import OutgoingGuard
    from codin.security.peers import PeerVerifier
    from codin.security.settings import OidcSettings, PeerSettings
    from codin.security.store import SecurityStore
    from codin.security.tokens import Token, TokenIssuer, TokenVerifier

# Cryptography, HTTP and A2A's types are imported by those who use them.
_HOMES = {
    "audit": (
        "AuditEntry",
        "AuditLog",
        "AuditRecord",
        "StoredAudit",
    ),
    "bearer": ("Bearers",),
    "card_signing": (
        "CardSigner",
        "CardVerdict",
        "CardVerifier",
    ),
    "keyring": (
        "KeyRing",
        "published",
    ),
    "keys": (
        "ApiKey",
        "KeyRequest",
        "KeyStore",
        "StoredKeys",
    ),
    "oidc": ("OidcVerifier",),
    "outgoing": ("OutgoingGuard",),
    "peers": ("PeerVerifier",),
    "settings": (
        "OidcSettings",
        "PeerSettings",
    ),
    "store": ("SecurityStore",),
    "tokens": (
        "Token",
        "TokenIssuer",
        "TokenVerifier",
    ),
}

__all__ = [
    "DEFAULT_ROLES",
    "LOCAL_TENANT",
    "LOCAL_USER",
    "NOBODY",
    "PERMISSIONS",
    "Access",
    "ApiKey",
    "AuditEntry",
    "AuditLog",
    "AuditRecord",
    "Authorizer",
    "Bearers",
    "CardSignatureError",
    "CardSigner",
    "CardVerdict",
    "CardVerifier",
    "CredentialError",
    "ForbiddenError",
    "GrantError",
    "KeyRequest",
    "KeyRing",
    "KeyStore",
    "OidcSettings",
    "OidcVerifier",
    "OutgoingGuard",
    "OutgoingRefused",
    "PeerSettings",
    "PeerVerifier",
    "Principal",
    "RoleAuthorizer",
    "RunGrant",
    "RunGrants",
    "Scope",
    "SecurityFailure",
    "SecurityStore",
    "StoredAudit",
    "StoredKeys",
    "Token",
    "TokenIssuer",
    "TokenVerifier",
    "published",
]

__getattr__ = lazy_names(__name__, _HOMES)
