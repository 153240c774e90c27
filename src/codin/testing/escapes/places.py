"""Where attempts are made: one line a place."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from codin.sandbox.base import SandboxProvider
from codin.sandbox.errors import SandboxUnavailable


@asynccontextmanager
async def _local() -> AsyncIterator[SandboxProvider]:
    from codin.sandbox.local import LocalSandboxProvider

    provider = LocalSandboxProvider()
    try:
        yield provider
    finally:
        await provider.close()


@asynccontextmanager
async def _docker() -> AsyncIterator[SandboxProvider]:
    from codin.sandbox.docker import DockerSandboxProvider
    from codin.testing.docker import NoEngine, docker_engine

    engine = docker_engine()
    try:
        address = await asyncio.to_thread(engine.__enter__)
    except NoEngine as error:
        raise SandboxUnavailable(str(error)) from error
    try:
        provider = DockerSandboxProvider(address, base="host")
        try:
            yield provider
        finally:
            await provider.close()
    finally:
        await asyncio.to_thread(engine.__exit__, None, None, None)


@asynccontextmanager
async def _gvisor() -> AsyncIterator[SandboxProvider]:
    from codin.sandbox.gvisor import GvisorSandboxProvider

    provider = GvisorSandboxProvider()
    try:
        yield provider
    finally:
        await provider.close()


@dataclass(frozen=True, slots=True)
class Place:
    """A kind of sandbox. ``python`` is the Python inside; ``by_anybody`` says that it takes no
    rights to make one."""

    name: str
    title: str
    made: Callable[[], AbstractAsyncContextManager[SandboxProvider]]
    machine: bool = False
    by_anybody: bool = False
    python: str = sys.executable

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[SandboxProvider]:
        """What makes such sandboxes.

        Raises:
            SandboxUnavailable: they cannot be had on this machine; the message says why.
        """
        async with AsyncExitStack() as stack:
            found = await stack.enter_async_context(self.made())
            support = await found.probe()
            if not support.available:
                raise SandboxUnavailable(support.reason)
            yield found


PLACES = {
    place.name: place
    for place in (
        Place("local", "local", _local, by_anybody=True),
        Place("machine", "local machine", _local, machine=True, by_anybody=True),
        Place("gvisor", "gvisor", _gvisor, by_anybody=True),
        Place("docker", "docker", _docker, python="python3"),
    )
}
