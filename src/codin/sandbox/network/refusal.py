"""What a sandbox was not let do on the network."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace

_logger = logging.getLogger("codin.sandbox.network")

MAX_KEPT = 100
"""Different refusals that are kept of one sandbox; what comes after them is only refused."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A connection that was refused, ``times`` times. ``target`` is ``host:port`` as far as it
    could be read; ``reason`` is one line that says what was refused, why, and what to do about it;
    ``latest`` is when, as ``time.monotonic`` has it."""

    target: str
    reason: str
    times: int = 1
    latest: float = 0.0


class Refusals:
    """The refusals of one sandbox: each is logged and kept once, however often it comes."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._kept: dict[str, Refusal] = {}

    @property
    def kept(self) -> tuple[Refusal, ...]:
        """The different ones, oldest first, ``MAX_KEPT`` at most."""
        return tuple(self._kept.values())

    def add(self, target: str, reason: str) -> None:
        """Keep it; log it too, if it is a new one."""
        now = time.monotonic()
        if (known := self._kept.get(reason)) is not None:
            self._kept[reason] = replace(known, times=known.times + 1, latest=now)
            return
        if len(self._kept) >= MAX_KEPT:
            return
        self._kept[reason] = Refusal(target, reason, latest=now)
        _logger.warning("sandbox %s: %s", self._owner, reason)
        if len(self._kept) == MAX_KEPT:
            _logger.warning(
                "sandbox %s: %d connections were refused; further ones are not told",
                self._owner,
                MAX_KEPT,
            )
