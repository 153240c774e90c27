"""What is written in one turn of the loop goes out together, in its order, and before a close."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from codin.gateway._joined import JoinedTransport


class _Wire:
    def __init__(self) -> None:
        self.said: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.said.append(bytes(data))

    def close(self) -> None:
        self.said.append("closed")

    def is_closing(self) -> bool:
        return False


def _joined() -> tuple[_Wire, JoinedTransport]:
    wire = _Wire()
    return wire, JoinedTransport(cast("Any", wire))


async def test_one_turn_is_one_write() -> None:
    wire, joined = _joined()
    joined.write(b"head ")
    joined.write(b"body")
    assert wire.said == []
    await asyncio.sleep(0)
    joined.write(b"next")
    await asyncio.sleep(0)
    assert wire.said == [b"head body", b"next"]
    assert not joined.is_closing()


async def test_what_was_written_goes_out_before_it_is_closed() -> None:
    wire, joined = _joined()
    joined.write(b"last")
    joined.close()
    await asyncio.sleep(0)
    assert wire.said == [b"last", "closed"]


async def test_much_is_not_held_back() -> None:
    wire, joined = _joined()
    joined.write(b"x" * 70_000)
    assert wire.said == [b"x" * 70_000]
    await asyncio.sleep(0)
    assert len(wire.said) == 1
