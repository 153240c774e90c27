"""What a sandbox was not let do on the network."""

from __future__ import annotations

import logging
from dataclasses import dataclass

_logger = logging.getLogger("codin.sandbox.network")

MAX_KEPT = 100
"""Different refusals that are kept of one sandbox; what comes after them is only refused."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A connection that was refused. ``target`` is ``host:port`` as far as it could be read;
    ``reason`` is one line that says what was refused, why, and what to do about it."""

    target: str
    reason: str


class Refusals:
    """The refusals of one sandbox: each is logged and kept once, however often it comes."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._kept: dict[Refusal, None] = {}

    @property
    def kept(self) -> tuple[Refusal, ...]:
        """The different ones, oldest first, ``MAX_KEPT`` at most."""
        return tuple(self._kept)

    def add(self, refusal: Refusal) -> None:
        """Log it and keep it, if it is a new one."""
        if refusal in self._kept or len(self._kept) >= MAX_KEPT:
            return
        self._kept[refusal] = None
        _logger.warning("sandbox %s: %s", self._owner, refusal.reason)
        if len(self._kept) == MAX_KEPT:
            _logger.warning(
                "sandbox %s: %d connections were refused; further ones are not told",
                self._owner,
                MAX_KEPT,
            )
