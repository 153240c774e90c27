"""What the checks of sandboxes share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from codin.sandbox.base import Sandbox, SandboxProvider, SandboxSpec
from codin.sandbox.errors import (
    SandboxFileNotFound,
)
from codin.sandbox.filesystem import FileChange

SOON = 10.0
"""Seconds within which something that ought to end has to have ended, on a loaded machine."""

EAT = "b = bytearray(400 << 20); import time; time.sleep(30)"
BEAT = "while :; do date +%s%N > beat; sleep 0.05; done"


class SandboxBase:
    """The fixtures of the suites."""

    @pytest.fixture
    async def provider(self) -> AsyncIterator[SandboxProvider]:
        raise NotImplementedError("give the provider to be checked")
        yield  # noqa: PT022 - as the fixtures do that replace it

    @pytest.fixture
    async def sandbox(self, provider: SandboxProvider) -> AsyncIterator[Sandbox]:
        async with await provider.create(SandboxSpec()) as made:
            yield made


async def until_file(sandbox: Sandbox, path: str) -> None:
    async with asyncio.timeout(SOON):
        while True:
            try:
                if await sandbox.fs.read(path):
                    return
            except SandboxFileNotFound:
                pass
            await asyncio.sleep(0.02)


async def still(sandbox: Sandbox) -> None:
    """Nothing writes to ``beat`` any more."""
    before = await sandbox.fs.read("beat")
    await asyncio.sleep(0.25)
    assert await sandbox.fs.read("beat") == before


async def until_change(changes: AsyncIterator[FileChange], last: FileChange) -> list[FileChange]:
    """What ``changes`` tells up to ``last``."""
    seen: list[FileChange] = []
    async with asyncio.timeout(SOON):
        while not seen or seen[-1] != last:
            seen.append(await anext(changes))
    return seen
