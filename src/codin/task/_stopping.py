"""Agents' runs that are ended although nobody cancelled their task."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from codin.agent.events import EndEvent

_log = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds that a call which waits for the end of its run has to end with it."""

_STOP_SECONDS = 15.0
"""How long it is waited for; then it is left behind."""


async def stopped(
    working: asyncio.Task[EndEvent], task_id: str, let_go: Callable[[], object]
) -> None:
    """End an agent's run. The call that waits for it may be in a thread that cannot be ended: so
    it is ``let_go`` after a while."""
    letting_go = asyncio.get_running_loop().call_later(PATIENCE, let_go)
    try:
        working.cancel()
        await asyncio.wait({working}, timeout=_STOP_SECONDS)
    finally:
        letting_go.cancel()
    if not working.done():
        _log.error("the agent of task %s was to be ended and did not stop", task_id)
    elif not working.cancelled():
        working.exception()  # retrieved: a run that was ended so has no end of its own
