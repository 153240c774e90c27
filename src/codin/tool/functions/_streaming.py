"""What functions tell while they run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from types import GeneratorType
from typing import Any

from codin.sandbox.outcome import OutputChunk
from codin.tool._entry import collected, shown
from codin.tool.invocation import Invocation


def teller(call: Invocation) -> Callable[[str], None]:
    """What tells whoever watches the call, from any thread."""
    loop = asyncio.get_running_loop()

    def tell(text: str) -> None:
        chunk = OutputChunk("stdout", text.encode(errors="replace"))
        loop.call_soon_threadsafe(call.emit, chunk)

    return tell


def in_thread(
    fn: Callable[..., Any], arguments: dict[str, Any], tell: Callable[[str], None]
) -> Any:
    """What ``fn`` gives; of a generator, all that it yields, which is told as it comes."""
    value = fn(**arguments)
    if not isinstance(value, GeneratorType):
        return value
    items = []
    for item in value:
        tell(shown(item))
        items.append(item)
    return collected(items)


async def streamed(items: AsyncGenerator[Any], tell: Callable[[str], None]) -> Any:
    """All that ``items`` yield, which is told as it comes."""
    seen = []
    async with aclosing(items):
        async for item in items:
            tell(shown(item))
            seen.append(item)
    return collected(seen)
