"""Ids that nobody has had before and nobody can guess."""

from __future__ import annotations

import os
import threading

_BYTES = 16
_DRAWN = 256 * _BYTES

_lock = threading.Lock()
_left = b""


def new_id() -> str:
    """128 random bits of the system, as 32 hexadecimal digits.

    They are drawn many at a time: asking the system gives other threads the interpreter, which at
    several ids a request costs more than the rest of it.
    """
    global _left  # noqa: PLW0603
    with _lock:
        if not _left:
            _left = os.urandom(_DRAWN)
        drawn, _left = _left[:_BYTES], _left[_BYTES:]
    return drawn.hex()


def _forget() -> None:
    global _lock, _left
    _lock, _left = threading.Lock(), b""


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)  # or both processes would give the same
