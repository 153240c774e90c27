"""Work for a client that may leave before it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

T = TypeVar("T")


class ClientLeft(Exception):
    """The client closed its connection; the work for it was cancelled."""


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which is cancelled when the client of ``request`` leaves.

    The request's body must have been read: what the connection says next is its end.

    Raises:
        ClientLeft: it left first; ``work`` has ended by then.
    """
    return await unless(_left(request), work, ClientLeft())


async def unless(
    stop: Coroutine[Any, Any, object], work: Coroutine[Any, Any, T], error: Exception
) -> T:
    """The result of ``work``; when ``stop`` ends first, it is cancelled and ``error`` raised."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop)
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise error
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
