"""Principals, scopes and permissions; keys, tokens, the audit log, and whom to connect to."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
_LAZY = {
    "ApiKey": "keys",
    "AuditEntry": "audit",
    "AuditLog": "audit",
    "AuditRecord": "audit",
    "Bearers": "bearer",
    "CardVerdict": "card_signing",
    "CardVerifier": "card_signing",
    "KeyRequest": "keys",
    "KeyRing": "keyring",
    "KeyStore": "keys",
    "OidcSettings": "settings",
    "OidcVerifier": "oidc",
    "OutgoingGuard": "outgoing",
    "PeerSettings": "settings",
    "PeerVerifier": "peers",
    "SecurityStore": "store",
    "StoredAudit": "audit",
    "StoredKeys": "keys",
    "Token": "tokens",
    "TokenIssuer": "tokens",
    "TokenVerifier": "tokens",
    "published": "keyring",
    "CardSigner": "card_signing",
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


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"codin.security.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
