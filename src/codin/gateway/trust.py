"""Whom the gateway lets in, and how it shows others who it is: put together from the settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx
from a2a.types import SecurityScheme

from codin.agent.cards import Cards, bearer_scheme, oidc_scheme
from codin.config import SecuritySettings, Settings
from codin.database import Database
from codin.gateway.auth import Authenticator, BearerAuthenticator, LoopbackAuthenticator
from codin.gateway.remote import RemoteAgents
from codin.security import (
    Access,
    CardSigner,
    OidcVerifier,
    OutgoingGuard,
    PeerVerifier,
    SecurityStore,
)
from codin.security.card_signing import RingKeys
from codin.task.push import BodySigner, JwtBodySigner


@dataclass(frozen=True, slots=True)
class Trust:
    """What ``open_trust`` makes; ``store`` is closed with it."""

    store: SecurityStore
    access: Access
    authenticator: Authenticator
    cards: Cards
    guard: OutgoingGuard
    push_signer: BodySigner
    remote: RemoteAgents
    host_names: frozenset[str]


@asynccontextmanager
async def open_trust(settings: Settings, database: Database) -> AsyncIterator[Trust]:
    """All of it, with keys and audit log in ``database``, until the block is left.

    Raises:
        InvalidInputError: something in the settings cannot be used.
    """
    security, name = settings.security, settings.server.address
    store = SecurityStore(settings.home, database=database, keys=security.keys)
    guard = OutgoingGuard(security.outgoing)
    async with guard.client() as http:
        try:
            sign, schemes = CardSigner(store.card_ring), _schemes(security)
            yield Trust(
                store=store,
                access=Access(store.authorizer, store.audit),
                authenticator=_authenticator(security, store, name, http),
                cards=Cards(push=True, sign=sign, schemes=schemes),
                guard=guard,
                push_signer=JwtBodySigner(store.token_ring, name),
                remote=RemoteAgents(security, store.issuer(name), name, RingKeys(store.card_ring)),
                host_names=_host_names(settings),
            )
        finally:
            await store.close()


def _authenticator(
    security: SecuritySettings, store: SecurityStore, name: str, http: httpx.AsyncClient
) -> Authenticator:
    if not security.auth:
        return LoopbackAuthenticator()
    people = OidcVerifier(security.oidc, http) if security.oidc else None
    peers = [PeerVerifier(peer, http) for peer in security.peers]
    return BearerAuthenticator(store.bearers(name, people, peers))


def _schemes(security: SecuritySettings) -> dict[str, SecurityScheme]:
    if not security.auth:
        return {}
    found = {"bearer": bearer_scheme()}
    return found | {"oidc": oidc_scheme(security.oidc.issuer)} if security.oidc else found


def _host_names(settings: Settings) -> frozenset[str]:
    """By what names requests may call the gateway, besides those of every machine for itself."""
    server = settings.server
    found = {urlsplit(server.address).hostname or ""}
    bound = server.host.strip("[]")
    if bound != "localhost" and not ip_address(bound).is_unspecified:
        found.add(bound)
    return frozenset(f"[{name}]" if ":" in name else name for name in found)
