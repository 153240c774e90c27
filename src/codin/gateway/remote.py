"""Agents of other platforms: trusted as far as the settings say, and told who asks."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from codin.agent.adapters.remote.agent import RemoteAgent, Trust
from codin.agent.base import Agent
from codin.agent.wrapping import info_of, wrap
from codin.errors import InvalidInputError
from codin.security import CardVerifier, OutgoingGuard, Principal
from codin.security.service_token import ServiceTokens

if TYPE_CHECKING:
    from codin.config import AgentEntry, SecuritySettings
    from codin.security import TokenIssuer
    from codin.security.card_signing import KeySource


class RemoteAgents:
    """Wraps agents by their URLs. ``issuer`` makes the tokens that they are shown, in which this
    platform is called ``name``; cards are verified by the settings' keys and by ``own``."""

    def __init__(
        self, settings: SecuritySettings, issuer: TokenIssuer, name: str, own: KeySource
    ) -> None:
        self._settings = settings
        self._issuer = issuer
        self._name = name
        keys = [trusted_keys(path) for path in settings.card_keys]
        self._verifier = CardVerifier(settings.cards, [own, *keys])

    def wrap(self, entry: AgentEntry) -> Agent:
        """The agent at ``entry.source``. Only its own host and public addresses are connected to,
        wherever its card points.

        Raises:
            AgentError: the URL will not do.
            InvalidInputError: its key is not in the environment.
        """
        plain = wrap(entry.source)
        guard = OutgoingGuard([*self._settings.outgoing, urlsplit(entry.source).netloc])
        trust = Trust(self._verifier.check, guard.transport, self._auth(entry))
        return RemoteAgent(entry.source, info_of(plain), trust=trust)

    def _auth(self, entry: AgentEntry) -> Callable[[Principal], httpx.Auth | None]:
        if entry.audience is not None:
            tokens = ServiceTokens(self._issuer, audience=entry.audience, actor=self._name)
            return tokens.auth
        if entry.bearer_env is None:
            return lambda _: None
        credential = os.environ.get(entry.bearer_env)
        if not credential:
            raise InvalidInputError(
                f"{entry.source} is to be shown the key in {entry.bearer_env}, and there is none:"
                " set this environment variable"
            )
        return partial(_Key, credential)


class _Key(httpx.Auth):
    def __init__(self, credential: str, principal: Principal) -> None:
        self._credential = credential

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._credential}"
        yield request


def trusted_keys(path: Path) -> KeySource:
    """The keys in a JWKS file (RFC 7517, section 5).

    Raises:
        InvalidInputError: it is none.
    """
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    from codin.security.card_signing import TrustedKeys

    try:
        return TrustedKeys(KeySet.import_key_set(json.loads(path.read_text("utf-8"))).keys)
    except (OSError, ValueError, TypeError, KeyError, JoseError) as error:
        raise InvalidInputError(f"{path} has no keys (a JWKS is needed): {error}") from error
