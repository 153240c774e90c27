"""Sandboxes that are kept ready, before anybody asks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from codin.gateway.e2b import spares
from codin.gateway.e2b.spares import MOST, Spares
from codin.sandbox import LocalSandboxProvider, Sandbox, SandboxProvider, SandboxSpec
from codin.sandbox.errors import SandboxUnavailable

pytestmark = pytest.mark.slow

SPEC = SandboxSpec(machine=True)


class Counting(LocalSandboxProvider):
    def __init__(self) -> None:
        super().__init__()
        self.made: list[Sandbox] = []
        self.broken = False

    async def create(self, spec: SandboxSpec) -> Sandbox:
        if self.broken:
            raise SandboxUnavailable("not today")
        self.made.append(await super().create(spec))
        return self.made[-1]


@pytest.fixture
async def provider():
    provider = Counting()
    yield provider
    await provider.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


def kept(provider: SandboxProvider, count: int) -> Spares:
    return Spares(provider, SPEC, "/home/user", count=count)


async def test_one_is_there_before_it_is_asked_for(provider):
    ready = kept(provider, 1)
    ready.begin()
    await until(lambda: len(ready._ready) == 1)
    sandbox = await ready.take()
    assert sandbox is provider.made[0]
    assert (await sandbox.exec(["pwd"], cwd="/home/user")).stdout == b"/home/user\n"
    await until(lambda: len(provider.made) == 2)
    assert await ready.take() is not sandbox
    await ready.close()


async def test_one_that_died_is_given_to_nobody(provider):
    ready = kept(provider, 1)
    ready.begin()
    await until(lambda: len(ready._ready) == 1)
    await provider.made[0].kill()
    sandbox = await ready.take()
    assert sandbox is not provider.made[0]
    assert (await sandbox.exec(["true"])).exit_code == 0
    await ready.close()


@pytest.mark.slow
async def test_more_are_kept_while_more_are_asked_for(provider, monkeypatch):
    ready = kept(provider, 1)
    ready.begin()
    for _ in range(4):
        await (await ready.take()).kill()
    await until(lambda: len(ready._ready) == 4)
    monkeypatch.setattr(spares, "_REMEMBERED_SECONDS", 0.1)
    ready._asked.set()
    await until(lambda: len(ready._ready) == 1)
    assert len(provider.made) <= 4 + MOST
    await ready.close()


async def test_none_are_kept_where_none_are_wanted(provider):
    ready = kept(provider, 0)
    ready.begin()
    await ready.take()
    await asyncio.sleep(0.2)
    assert len(provider.made) == 1
    await ready.close()


async def test_what_cannot_be_made_is_told_to_who_asks(provider, caplog):
    provider.broken = True
    ready = kept(provider, 1)
    ready.begin()
    await until(lambda: "not today" in caplog.text)
    with pytest.raises(SandboxUnavailable, match="not today"):
        await ready.take()
    provider.broken = False
    assert (await (await ready.take()).exec(["true"])).exit_code == 0
    await ready.close()


async def test_closing_ends_them(provider):
    ready = kept(provider, 2)
    ready.begin()
    await until(lambda: len(ready._ready) == 2)
    await ready.close()
    assert not provider._sandboxes


async def test_who_asks_goes_first_and_not_for_ever(provider, monkeypatch):
    ready = kept(provider, 2)
    ready.busy()
    ready.begin()
    for _ in range(6):
        await asyncio.sleep(0.05)
        ready.busy()
    assert provider.made == []
    monkeypatch.setattr(spares, "_PATIENCE_SECONDS", 0.2)
    asking = asyncio.create_task(_ask(ready))
    await until(lambda: len(ready._ready) == 2)
    asking.cancel()
    await ready.close()


async def _ask(ready: Spares) -> None:
    while True:
        ready.busy()
        await asyncio.sleep(0.01)
