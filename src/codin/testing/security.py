"""Who appears in tests of security, and a clock to be set."""

from __future__ import annotations

from codin.security import Principal

ADMIN = Principal("acme", "ada", roles=frozenset({"admin"}))
OWNER = Principal("acme", "olga", roles=frozenset({"owner"}))
USER = Principal("acme", "uma", roles=frozenset({"user"}))
STRANGER = Principal("other", "otto", roles=frozenset({"owner"}))


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now
