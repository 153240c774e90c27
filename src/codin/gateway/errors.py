"""What goes wrong at the HTTP face."""

from __future__ import annotations

import math

from codin.errors import CodinError
from codin.task.errors import is_away

_UNEXPECTED = "something went wrong here; the server's log has it"
_AWAY = (
    "the platform's database cannot be used at the moment, because it is away or its disk is full:"
    " what was acknowledged is kept; send the same again later"
)


def inside(error: Exception) -> str:
    """What a caller is told of an error that is none of its making: nothing of the inside."""
    return _AWAY if is_away(error) else _UNEXPECTED


class GatewayError(CodinError):
    """Base of the gateway's errors."""


class AddressInUse(GatewayError):
    """Another program listens there already."""


class UnsafeAddress(GatewayError):
    """The address can be reached from other machines, and nobody would be asked who they are."""


class Unauthenticated(GatewayError):
    """Nobody whom the gateway knows. The message is shown to the caller."""


_SENTENCES = {
    "requests": "{0:,} requests of yours are under way, as many as a caller may have: wait until"
    " one is answered",
    "streams": "{0:,} streams of yours are open, as many as a caller may have: close one",
    "requests_per_second": "no more than {0:,} requests a second are taken from a caller",
    "tasks_per_minute": "no more than {0:,} new tasks a minute are taken from a caller",
    "anonymous_per_second": "no more than {0:,} requests a second without a good credential are"
    " taken from an address",
}


class LimitReached(GatewayError):
    """A caller takes as much as it may: of ``limit``, a key of ``[limits]`` in the settings, no
    more than ``allowed``. It may try again after ``retry_after`` seconds."""

    def __init__(self, limit: str, allowed: int, *, retry_seconds: float = 1.0) -> None:
        self.limit = limit
        self.allowed = allowed
        self.retry_after = max(1, math.ceil(retry_seconds))
        super().__init__(
            f"{_SENTENCES[limit].format(allowed)}; try again in {self.retry_after} s"
            f" (limits.{limit} = {allowed})"
        )
