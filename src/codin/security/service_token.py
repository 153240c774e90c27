"""What one service shows another: a token for the one request, in the name of who asked for it."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import httpx

from codin.security.errors import ForbiddenError
from codin.security.principal import Principal
from codin.security.scopes import NOTHING, common

if TYPE_CHECKING:
    from codin.security.tokens import TokenIssuer

A2A_SCOPES = frozenset({"agent.use:*", "task.create", "task.read", "task.cancel"})
"""What an agent has to be allowed to do in somebody's name so that it can be given a task."""


class ServiceTokens:
    """Tokens for ``audience`` alone, exchanged for what its callers hold and narrower: ``scopes``,
    for minutes, with ``actor`` in the ``act`` claim (RFC 8693, section 4.1)."""

    def __init__(
        self,
        issuer: TokenIssuer,
        *,
        audience: str,
        actor: str,
        scopes: frozenset[str] = A2A_SCOPES,
        seconds: float = 120,
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._actor = actor
        self._scopes = scopes
        self._seconds = seconds

    def token(self, principal: Principal) -> str:
        """A token by which the audience knows ``principal``.

        Raises:
            ForbiddenError: none of the scopes is left of what ``principal`` may.
        """
        scopes = common(principal.scopes, self._scopes) - NOTHING
        if not scopes:
            raise ForbiddenError(
                f"{principal.subject} of tenant {principal.tenant} may have nothing done at"
                f" {self._audience}"
            )
        return self._issuer.exchange(
            principal,
            audience=self._audience,
            scopes=scopes,
            actor=self._actor,
            seconds=self._seconds,
        )

    def auth(self, principal: Principal) -> httpx.Auth:
        """What puts a token that is new on each request: a task may take longer than one lives."""
        return _Fresh(self, principal)


class _Fresh(httpx.Auth):
    def __init__(self, tokens: ServiceTokens, principal: Principal) -> None:
        self._tokens = tokens
        self._principal = principal

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._tokens.token(self._principal)}"
        yield request
