"""Where attempts are made: one line a place."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass

from codin.sandbox.base import SandboxProvider, SandboxSupport


def _local() -> SandboxProvider:
    from codin.sandbox.local import LocalSandboxProvider

    return LocalSandboxProvider()


@dataclass(frozen=True, slots=True)
class Place:
    """A kind of sandbox. ``python`` is the Python inside; ``by_anybody`` says that it takes no
    rights to make one."""

    name: str
    title: str
    provider: Callable[[], SandboxProvider]
    machine: bool = False
    by_anybody: bool = False
    python: str = sys.executable

    def available(self) -> bool:
        """Whether it can be had on this machine. Blocks."""
        return self.support().available

    def support(self) -> SandboxSupport:
        """What this machine says of it. Blocks."""

        async def ask() -> SandboxSupport:
            provider = self.provider()
            try:
                return await provider.probe()
            finally:
                await provider.close()

        return asyncio.run(ask())


PLACES = {
    place.name: place
    for place in (
        Place("local", "local", _local, by_anybody=True),
        Place("machine", "local machine", _local, machine=True, by_anybody=True),
    )
}
