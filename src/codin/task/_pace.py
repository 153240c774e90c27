"""How long the log takes for a write, as the runs of a process find it."""

from __future__ import annotations

_WEIGHT = 0.2
"""Of the latest write among those before."""


class Pace:
    """``seconds`` that a write takes lately. While the log is busy it pays to wait about so long
    for more to write: what each run writes less makes it faster for all."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def took(self, seconds: float) -> None:
        """A write took so long."""
        self.seconds += _WEIGHT * (seconds - self.seconds)
