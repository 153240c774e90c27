"""Functions that tell while they work."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

from codin.tool import ToolContext


def words(count: int) -> Iterator[str]:
    """Say words."""
    for number in range(count):
        yield f"word{number} "
        time.sleep(0.15)


async def numbers(count: int) -> AsyncIterator[dict[str, int]]:
    """Give numbers."""
    for number in range(count):
        yield {"number": number}
        await asyncio.sleep(0.15)


def steps(context: ToolContext) -> str:
    """Say how far it is."""
    context.progress("half way")
    time.sleep(0.3)
    return "done"


def breaks() -> Iterator[str]:
    """Break."""
    yield "before "
    raise ValueError("in the middle")
