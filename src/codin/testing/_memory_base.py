"""What the checks of memories share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from hypothesis import HealthCheck

from codin.memory.base import MemoryMessage, MemorySystem
from codin.security import Scope

ANNA = Scope("acme", "anna", "analyst", "s1")
ANNAS = Scope("acme", "anna")
BEN = Scope("acme", "ben", "analyst", "s1")
OTHER_TENANT = Scope("other", "anna", "analyst", "s1")

EACH_ITS_OWN = (HealthCheck.function_scoped_fixture, HealthCheck.differing_executors)
"""For checks with many examples: each is of a user of its own, and every memory runs them."""

_SOON = 0.05
_PATIENCE = 10.0


def said(text: str, role: str = "user") -> MemoryMessage:
    """A message with that text."""
    return MemoryMessage("user" if role == "user" else "agent", text)


async def over(there: Callable[[], Awaitable[object]]) -> None:
    """Wait until ``there`` gives nothing any more.

    Raises:
        TimeoutError: it still does after ten seconds.
    """
    async with asyncio.timeout(_PATIENCE):
        while await there():  # noqa: ASYNC110 - a store tells nobody that a time is over
            await asyncio.sleep(_SOON)


class MemoryChecks:
    """What all of them use."""

    async def texts(self, memory: MemorySystem, scope: Scope) -> list[str]:
        """What was said within ``scope``."""
        return [message.text for message in await memory.history.list(scope)]
