"""Checks of sandboxes that are one machine each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from codin.sandbox.base import MIB, Limits, Sandbox, SandboxProvider, SandboxSpec
from codin.sandbox.errors import CommandNotFound, OutOfMemory
from codin.testing._sandbox_base import SOON, SandboxBase

_SERVE = ["python", "-m", "http.server", "--bind", "127.0.0.1", "8000"]
_LEAVE = "setsid sleep 61 >/dev/null 2>&1 </dev/null & echo left; exit 7"
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

    async def test_what_a_command_leaves_behind(self, machine: Sandbox) -> None:
        """It goes on where that is asked for, and ends with the sandbox; else with the command."""
        for leave in (False, True):
            process = await machine.start(["sh", "-c", _LEAVE], leave=leave)
            result = await asyncio.wait_for(process.wait(), SOON)
            assert (result.exit_code, result.stdout) == (7, b"left\n")
            assert await _lives(machine) is leave
        await asyncio.sleep(0.5)
        assert await _lives(machine)
        await process.kill()
        assert not await _lives(machine)

    async def test_who_holds_its_output_is_waited_for(self, machine: Sandbox) -> None:
        script = "(sleep 0.5; echo late) & echo first"
        process = await machine.start(["sh", "-c", script], leave=True)
        assert (await asyncio.wait_for(process.wait(), SOON)).stdout == b"first\nlate\n"

    async def test_what_is_left_behind_keeps_to_the_limits(self, provider: SandboxProvider) -> None:
        limits = Limits(memory_bytes=200 * MIB)
        async with await provider.create(SandboxSpec(machine=True, limits=limits)) as machine:
            greedy = "b = b''\nwhile True: b += b'x' * 4000000"
            script = f'python3 -c "{greedy}" >/dev/null 2>&1 & echo $!'
            process = await machine.start(["sh", "-c", script], leave=True)
            number = (await process.wait()).stdout.decode().strip()
            async with asyncio.timeout(SOON):
                while not await _gone(machine, number):  # noqa: ASYNC110 - it is asked inside
                    await asyncio.sleep(0.1)

    async def test_a_command_that_cannot_start_leaves_nothing(self, machine: Sandbox) -> None:
        process = await machine.start(["no-such-program"], leave=True)
        with pytest.raises(CommandNotFound):
            await process.wait()

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


async def _lives(machine: Sandbox) -> bool:
    return b"sleep 61" in (await machine.exec(["ps", "ax", "-o", "args"])).stdout


async def _gone(machine: Sandbox, number: str) -> bool:
    try:
        return (await machine.exec(["kill", "-0", number])).exit_code != 0
    except OutOfMemory:  # for want of memory the kernel ends whatever it finds
        return False


async def _answer(client: httpx.AsyncClient, url: str) -> httpx.Response:
    async with asyncio.timeout(SOON):
        while True:
            try:
                return await client.get(url)
            except httpx.TransportError:
                await asyncio.sleep(0.1)
