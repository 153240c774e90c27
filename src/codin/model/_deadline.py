"""A time limit for an async iterator as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")


async def limited(source: AsyncGenerator[T], seconds: float | None) -> AsyncGenerator[T]:
    """The items of ``source``, which is closed at the end.

    The time limit is never open while an item is with the consumer: it would then end the
    consumer's own work.

    Raises:
        TimeoutError: ``seconds`` went by since the first item was asked for.
    """
    loop = asyncio.get_running_loop()
    deadline = None if seconds is None else loop.time() + seconds
    async with aclosing(source):
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    item = await anext(source)
            except StopAsyncIteration:
                return
            yield item
