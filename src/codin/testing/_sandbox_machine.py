"""Checks of sandboxes that are one machine each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from codin.sandbox.base import Sandbox, SandboxProvider, SandboxSpec
from codin.testing._sandbox_base import SOON, SandboxBase

_SERVE = ["python", "-m", "http.server", "--bind", "127.0.0.1", "8000"]
_ASK = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/').status)"

_ASK_PATIENTLY = f"""
import time
while True:
    try:
        {_ASK.replace("; ", chr(10) + "        ")}
        break
    except OSError:
        time.sleep(0.1)
"""


class MachineConformance(SandboxBase):
    """What commands of one machine share, and the ports that it gives out."""

    @pytest.fixture
    async def machine(self, provider: SandboxProvider) -> AsyncIterator[Sandbox]:
        async with await provider.create(SandboxSpec(machine=True)) as made:
            yield made

    async def test_commands_share_temporary_files(self, machine: Sandbox) -> None:
        await machine.exec(["sh", "-c", "echo shared > /tmp/x"])
        assert (await machine.exec(["cat", "/tmp/x"])).stdout == b"shared\n"  # noqa: S108 - inside

    async def test_commands_share_processes_and_network(self, machine: Sandbox) -> None:
        server = await machine.start(_SERVE)
        async with asyncio.timeout(SOON):
            assert (await machine.exec(["python", "-c", _ASK_PATIENTLY])).exit_code == 0
        assert b"http.server" in (await machine.exec(["ps", "ax"])).stdout
        await server.kill()
        assert (await machine.exec(["python", "-c", _ASK])).exit_code != 0

    async def test_a_port_is_exposed(self, machine: Sandbox) -> None:
        url = await machine.expose(8000)
        assert await machine.expose(8000) == url
        async with httpx.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx.TransportError):
                await client.get(url)
            await machine.fs.write("page", b"x" * 1_000_000)
            await machine.start(_SERVE)
            assert (await _answer(client, f"{url}/page")).content == b"x" * 1_000_000
            await machine.kill()
            with pytest.raises(httpx.TransportError):
                await client.get(url)


async def _answer(client: httpx.AsyncClient, url: str) -> httpx.Response:
    async with asyncio.timeout(SOON):
        while True:
            try:
                return await client.get(url)
            except httpx.TransportError:
                await asyncio.sleep(0.1)
