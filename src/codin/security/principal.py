"""Who calls, and whose data it is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from codin.security.scopes import common

LOCAL_TENANT = "local"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls.

    ``scopes`` narrows what ``roles`` allow: a token that was issued for less carries what it was
    issued for. An empty set narrows nothing. ``actors`` call in its name, the nearest first (the
    ``act`` claim of RFC 8693, section 4.1), and ``key`` is the id of the API key that it called
    with, if it did: they change nothing about who it is.
    """

    tenant: str
    subject: str
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    actors: tuple[str, ...] = field(default=(), compare=False)
    key: str = field(default="", compare=False)

    def narrowed(self, scopes: frozenset[str]) -> Principal:
        """The same caller, allowed no more than ``scopes`` and no more than before."""
        return replace(self, scopes=common(self.scopes, scopes))


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose data it is. Stores take one on every call and enforce it themselves."""

    tenant: str
    user: str
    agent: str | None = None
    session: str | None = None

    @classmethod
    def of(
        cls, principal: Principal, *, agent: str | None = None, session: str | None = None
    ) -> Scope:
        """The scope of what ``principal`` owns, down to an agent and a session."""
        return cls(principal.tenant, principal.subject, agent, session)


LOCAL_USER = Principal(LOCAL_TENANT, "local", roles=frozenset({"owner"}))
"""The only caller while the platform runs for one person on one machine."""

NOBODY = Principal("", "nobody")
"""Who has shown no credential: holds no permission, sees what is open to everybody."""
