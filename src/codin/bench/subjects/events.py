"""An agent that says much and thinks nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

from codin.agent import wrap


async def talk(text: str) -> AsyncIterator[str]:
    """Say as many words as it is told."""
    for number in range(int(text)):
        yield f"{number} "


agent = wrap(talk, id="events")
