"""What one run of an agent may do, and the token by which its process shows it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from codin.errors import CodinError
from codin.security.principal import Principal
from codin.steady_clock import steady_time


class GrantError(CodinError):
    """The token is unknown, revoked or too old."""


@dataclass(frozen=True, slots=True)
class RunGrant:
    """What one run may do: for whom, on which task, with which tools, until when.

    ``goal_id`` is the task at the root: runs of one goal share its workspace. ``expires_at`` is in
    seconds since the epoch, by this process's ``steady_time``. ``turn`` tells the runs of one task
    apart, each of which answers one message. ``only`` cuts the tools further, where it is given:
    what it does not name is not there.
    """

    task_id: str
    goal_id: str
    context_id: str
    agent_id: str
    principal: Principal
    tools: frozenset[str]
    expires_at: float
    max_model_tokens: int | None = None
    turn: int = 0
    only: frozenset[str] | None = None


class RunGrants:
    """The grants in force in this process. Only hashes of tokens are kept."""

    def __init__(self, clock: Callable[[], float] = steady_time) -> None:
        self._clock = clock
        self._grants: dict[str, RunGrant] = {}

    def issue(self, grant: RunGrant) -> str:
        """A new bearer token for ``grant``."""
        token = secrets.token_urlsafe(32)
        self._grants[_digest(token)] = grant
        return token

    def resolve(self, token: str) -> RunGrant:
        """The grant behind ``token``.

        Raises:
            GrantError: it is unknown, revoked, or has expired.
        """
        digest = _digest(token)
        grant = self._grants.get(digest)
        if grant is None:
            raise GrantError("this run's token is not known: its run has ended, or never was")
        if grant.expires_at <= self._clock():
            del self._grants[digest]
            raise GrantError(f"the token of task {grant.task_id} has expired")
        return grant

    def revoke(self, token: str) -> None:
        """End what ``token`` allows. Revoking an unknown token does nothing."""
        self._grants.pop(_digest(token), None)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
