"""A clock that does not jump, for what begins and ends within one process."""

from __future__ import annotations

import time

_BEGAN = time.time() - time.monotonic()


def steady_time() -> float:
    """Seconds since the epoch as the machine had them when this process began, and went on from
    there: whoever sets the machine's clock meanwhile changes nothing. Other processes have other
    ones."""
    return _BEGAN + time.monotonic()
