"""Ends tasks that go round for ever."""

from __future__ import annotations

import asyncio
import logging

_log = logging.getLogger(__name__)

AGAIN_SECONDS = 2.0


async def end(*loops: asyncio.Task[None]) -> None:
    """Cancel ``loops`` and return when they are over.

    They are told again if need be: before Python 3.12 ``asyncio.wait_for``, on which database
    drivers wait, loses a cancellation that comes together with what it waits for
    (python/cpython#86296), and a loop then goes on as if nothing had been said.
    """
    left = set(loops)
    while left:
        for loop in left:
            loop.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
    for loop in loops:
        if not loop.cancelled() and (error := loop.exception()):
            _log.error("%s had ended before it was told to", loop.get_name(), exc_info=error)
