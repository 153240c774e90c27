"""What a model streams, on its way to the client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import anyio
import pytest

from codin.model._answers import InHand


async def test_what_is_there_is_joined_and_what_is_not_is_not_waited_for() -> None:
    more = asyncio.Event()

    async def pieces() -> AsyncGenerator[bytes]:
        for piece in (b"a", b"b", b"c"):
            yield piece
        await more.wait()
        yield b"d"
        await asyncio.sleep(0.01)
        yield b"e"

    joined = aiter(InHand(pieces()))
    assert await asyncio.wait_for(anext(joined), 5) == b"abc"
    more.set()
    assert [piece async for piece in joined] == [b"d", b"e"]


async def test_large_answers_are_not_held_whole() -> None:
    async def pieces() -> AsyncGenerator[bytes]:
        for _ in range(100):
            yield b"x" * 10_000

    sizes = [len(piece) async for piece in InHand(pieces())]
    assert sum(sizes) == 1_000_000
    assert max(sizes) <= 80_000


async def test_an_error_comes_after_what_was_said_before_it() -> None:
    async def pieces() -> AsyncGenerator[bytes]:
        yield b"a"
        yield b""
        yield b"b"
        raise ValueError("broken")

    joined = aiter(InHand(pieces()))
    assert await anext(joined) == b"a"
    assert await anext(joined) == b"b"
    with pytest.raises(ValueError, match="broken"):
        await anext(joined)


async def test_what_feeds_it_is_closed_with_it() -> None:
    closed = asyncio.Event()

    async def pieces() -> AsyncGenerator[bytes]:
        try:
            yield b"a"
            await asyncio.sleep(60)
        finally:
            closed.set()

    joined = InHand(pieces())
    assert await anext(aiter(joined)) == b"a"
    await joined.aclose()
    assert closed.is_set()


async def test_a_reader_that_is_cancelled_again_and_again_ends_in_order() -> None:
    """As one is inside of an anyio scope."""
    ended: list[str] = []

    async def pieces() -> AsyncGenerator[bytes]:
        try:
            yield b"a"
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.02)
            ended.append("in order")

    joined = InHand(pieces())
    with anyio.CancelScope() as scope:
        async for _ in joined:
            asyncio.get_running_loop().call_later(0.01, scope.cancel)
    await joined.aclose()
    assert ended == ["in order"]
