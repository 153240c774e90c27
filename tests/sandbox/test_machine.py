"""Sandboxes that are one machine each keep the contract too, and share what a machine shares."""

import asyncio
from dataclasses import replace

import pytest

from codin.sandbox import Limits, LocalSandboxProvider, SandboxSpec
from codin.sandbox.errors import (
    DiskLimit,
    PermissionDenied,
    SandboxFileNotFound,
    SandboxTimeout,
    SandboxUnavailable,
)
from codin.testing.sandbox_conformance import MachineConformance, SandboxConformance

pytestmark = pytest.mark.slow

LOOK = """
import os
def look(path):
    try:
        os.listdir(path)
    except NotADirectoryError:
        with open(path) as file:
            file.read(1)
"""


class Machines(LocalSandboxProvider):
    """Makes every sandbox one machine."""

    async def create(self, spec):
        return await super().create(replace(spec, machine=True))


@pytest.fixture
async def provider():
    provider = Machines()
    yield provider
    await provider.close()


@pytest.fixture
async def machine(provider):
    async with await provider.create(SandboxSpec()) as machine:
        yield machine


class TestMachine(SandboxConformance, MachineConformance):
    @pytest.fixture
    async def provider(self):
        provider = Machines()
        yield provider
        await provider.close()

    # What is outside of a machine is not what is outside of a workspace: the next four differ.

    @pytest.mark.parametrize(
        "path", ["/usr/x", "/etc/passwd", "/dev/x", "/proc/sys/kernel/domainname"]
    )
    async def test_the_system_is_read_only(self, sandbox, path):
        assert (await sandbox.exec(["sh", "-c", f"echo x >> {path}"])).exit_code != 0

    @pytest.mark.parametrize("path", ["../../x", "a/../../../x", "", "a\0b", "/proc/version/x"])
    async def test_outside(self, sandbox, path):
        for verb in (sandbox.fs.read, sandbox.fs.stat, sandbox.fs.remove, sandbox.fs.list):
            with pytest.raises((PermissionDenied, SandboxFileNotFound)):
                await verb(path)

    async def test_links_to_outside(self, sandbox, tmp_path):
        secret = tmp_path / "secret"
        secret.write_text("the host's")
        await sandbox.exec(["sh", "-c", f"ln -s {secret} p; ln -s / r; ln -s /proc/self/root q"])
        for path in ("p", f"r{secret}", f"q{secret}", str(secret)):
            with pytest.raises((PermissionDenied, SandboxFileNotFound)):
                await sandbox.fs.read(path)
        await sandbox.fs.write(str(secret), b"the sandbox's")
        assert secret.read_text() == "the host's"

    async def test_disk_of_tmp(self, provider):
        script = "for i in 1 2 3 4; do head -c 900000 /dev/zero > /tmp/$i || exit 9; done; sleep 9"
        async with await provider.create(SandboxSpec(limits=Limits(disk_bytes=2 << 20))) as sandbox:
            with pytest.raises(DiskLimit):
                await sandbox.exec(["sh", "-c", script])


async def test_all_below_the_root_is_shared(machine):
    await machine.exec(
        ["sh", "-c", "echo shared > /tmp/x; mkdir -p /srv/deep; echo d > /srv/deep/y"]
    )
    assert (await machine.exec(["cat", "/tmp/x", "/srv/deep/y"])).stdout == b"shared\nd\n"
    assert await machine.fs.read("/tmp/x") == b"shared\n"
    await machine.fs.write("/home/user/z", b"from outside")
    assert (await machine.exec(["cat", "/home/user/z"])).stdout == b"from outside"


async def test_without_a_machine_no_port_is_exposed():
    provider = LocalSandboxProvider()
    async with await provider.create(SandboxSpec()) as sandbox:
        with pytest.raises(SandboxUnavailable, match="machine=True"):
            await sandbox.expose(80)
    await provider.close()


async def test_killing_a_keeper_leaves_nothing(machine):
    """Code inside may kill the process that is to end it: then its own end comes by the init."""
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    while True:\n"
        "        open('beat', 'w').write(str(time.time_ns())); time.sleep(0.05)\n"
        "while not os.path.exists('beat'): time.sleep(0.05)\n"
        "os.kill(os.getppid(), 9); time.sleep(30)"
    )
    assert (await machine.exec(["python", "-c", code])).exit_code == -9
    await asyncio.sleep(0.7)
    before = await machine.fs.read("beat")
    await asyncio.sleep(0.3)
    assert await machine.fs.read("beat") == before
    assert (await machine.exec(["echo", "still here"])).stdout == b"still here\n"


@pytest.mark.parametrize("number", [2, 9, 15, 17, 19])
async def test_nothing_inside_can_end_the_supervisor(machine, number):
    await machine.exec(["sh", "-c", f"kill -{number} 1; kill -{number} -1"])
    assert (await machine.exec(["echo", "still here"])).stdout == b"still here\n"


@pytest.mark.parametrize(
    "path", ["/proc/1/mem", "/proc/1/fd/0", "/proc/1/environ", "/proc/1/maps", "/proc/1/root"]
)
async def test_the_supervisor_cannot_be_looked_into(machine, path):
    assert "PermissionError" in (await machine.run_code(LOOK + f"look({path!r})")).error


async def test_the_keeper_of_a_command_cannot_be_looked_into(machine):
    code = LOOK + "look(f'/proc/{os.getppid()}/fd/0')"
    assert "PermissionError" in (await machine.run_code(code)).error


async def test_a_fork_bomb_ends_with_its_command(machine):
    bomb = "import os, time\nwhile True:\n    try: os.fork()\n    except OSError: time.sleep(0.01)"
    with pytest.raises((SandboxTimeout, PermissionDenied)):
        await machine.exec(["python", "-c", bomb], limits=Limits(wall_seconds=1))
    async with asyncio.timeout(10):
        assert (await machine.exec(["echo", "still here"])).stdout == b"still here\n"
    assert int((await machine.exec(["sh", "-c", "ls /proc | grep -c '^[0-9]'"])).stdout) < 8


async def test_a_large_command(machine):
    text = "x" * 100_000
    result = await machine.exec(["printenv", "BIG"], env={"BIG": text})
    assert result.stdout.decode().strip() == text


async def test_signals(machine):
    script = "trap 'echo got; exit 3' USR1; echo ready; while :; do sleep 0.05; done"
    process = await machine.start(["sh", "-c", script])
    output = process.output()
    assert (await anext(output)).data == b"ready\n"
    await process.signal(10)
    assert (await anext(output)).data == b"got\n"
    assert (await process.wait()).exit_code == 3
    await process.signal(10)
