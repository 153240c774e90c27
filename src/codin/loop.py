"""The event loop that programs of the platform run on."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """``asyncio.run``, on uvloop where that is installed: it is faster, and behaves the same."""
    try:
        import uvloop
    except ImportError:  # not on Windows, nor without the extra ``platform``
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
