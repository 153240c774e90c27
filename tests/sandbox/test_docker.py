"""Sandboxes that are containers keep the contract; run with a daemon of the tests' own."""

import asyncio
import os
import socket
import subprocess
import sys
import textwrap

import pytest

from codin.sandbox import Isolation, Limits, Mount, SandboxSpec
from codin.sandbox.docker import DockerSandboxProvider, engine
from codin.sandbox.errors import OutOfMemory, PermissionDenied, SandboxGone, SandboxUnavailable
from codin.testing.sandbox_conformance import (
    MachineConformance,
    NetworkConformance,
    SandboxConformance,
)

pytestmark = pytest.mark.slow


@pytest.fixture
async def provider(docker):
    provider = DockerSandboxProvider(docker, base="host")
    yield provider
    await provider.close()


@pytest.fixture
async def sandbox(provider):
    async with await provider.create(SandboxSpec()) as sandbox:
        yield sandbox


class TestDockerSandbox(SandboxConformance, MachineConformance):
    hundred_seconds = 300.0  # some two a second is what an engine starts here

    @pytest.fixture
    async def provider(self, docker):
        provider = DockerSandboxProvider(docker, base="host")
        yield provider
        await provider.close()


class TestDockerNetwork(NetworkConformance):
    machine = True

    @pytest.fixture
    async def listed_provider(self, docker, room):
        provider = DockerSandboxProvider(docker, base="host", network=room)
        yield provider
        await provider.close()


def ask(docker, *words):
    told = subprocess.run(
        ["docker", "-H", docker, *words], capture_output=True, text=True, check=True
    )
    return told.stdout.split()


async def until_none_is_left(docker):
    async with asyncio.timeout(30):
        while ask(docker, "ps", "-aq"):
            await asyncio.sleep(0.1)


async def test_what_the_kernel_says_of_it(sandbox):
    said = (await sandbox.exec(["cat", "/proc/self/status"])).stdout.decode()
    status = dict(line.split(":\t") for line in said.splitlines() if ":\t" in line)
    assert {status[f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert status["Uid"].split()[0] == str(os.geteuid() or 61_000)
    net = (await sandbox.exec(["cat", "/proc/net/dev"])).stdout.decode()
    assert [line.split(":")[0].strip() for line in net.splitlines()[2:]] == ["lo"]


async def test_how_the_engine_keeps_it(docker, sandbox):
    template = "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.PidsLimit}}"
    template += " {{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NetworkMode}}"
    found = ask(docker, "inspect", "-f", template, sandbox.container)
    assert found == ["true", "[ALL]", "66", str(1 << 30), str(1 << 30), "none"]


async def test_its_level(provider):
    spec = SandboxSpec(least=Isolation.CONTAINER)
    async with await provider.create(spec) as sandbox:
        assert sandbox.isolation is Isolation.CONTAINER


async def test_memory_of_all_that_runs_in_it_together(provider):
    eat = "b = bytearray(60 << 20); import time; time.sleep(30)"
    async with await provider.create(SandboxSpec(limits=Limits(memory_bytes=128 << 20))) as sandbox:
        runs = [asyncio.create_task(sandbox.exec(["python", "-c", eat])) for _ in range(4)]
        done, _ = await asyncio.wait(runs, return_when=asyncio.FIRST_EXCEPTION, timeout=20)
        assert any(isinstance(run.exception(), OutOfMemory) for run in done)
        for run in runs:
            run.cancel()
        await asyncio.wait(runs)
        assert (await sandbox.exec(["echo", "on"])).stdout == b"on\n"


async def test_a_container_that_is_killed(docker, provider):
    async with await provider.create(SandboxSpec()) as sandbox:
        running = asyncio.create_task(sandbox.exec(["sleep", "60"]))
        await asyncio.sleep(0.3)
        ask(docker, "kill", sandbox.container)
        with pytest.raises(SandboxGone, match="ended"):
            await running
        with pytest.raises(SandboxGone, match="by itself"):
            await sandbox.exec(["true"])
    await until_none_is_left(docker)


async def test_a_platform_that_is_killed_leaves_no_container(docker, tmp_path):
    program = f"""
        import asyncio
        from codin.sandbox import SandboxSpec
        from codin.sandbox.docker import DockerSandboxProvider
        async def main():
            provider = DockerSandboxProvider({docker!r}, base="host")
            sandbox = await provider.create(SandboxSpec())
            await sandbox.start(["sleep", "600"])
            print("ready", flush=True)
            await asyncio.sleep(600)
        asyncio.run(main())
    """
    platform = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE
    )
    assert await asyncio.to_thread(platform.stdout.readline) == b"ready\n"
    assert ask(docker, "ps", "-q")
    platform.kill()
    platform.wait()
    platform.stdout.close()
    await until_none_is_left(docker)


async def test_an_image_of_another(docker, provider):
    """An image that knows nothing of the platform, but has a Python."""
    files = "FROM {}\nLABEL codin.python=python3\nENV PATH={}\n"
    (name,) = [
        line
        for line in ask(docker, "images", "--format", "{{.Repository}}:{{.Tag}}")
        if "host-" in line
    ]
    text = files.format(name, f"{sys.base_prefix}/bin:/usr/bin")
    subprocess.run(
        ["docker", "-H", docker, "build", "-q", "-t", "another:1", "-"],
        input=text.encode(),
        check=True,
        capture_output=True,
        env={"DOCKER_BUILDKIT": "0", "PATH": os.environ["PATH"]},
    )
    other = DockerSandboxProvider(docker, image="another:1")
    async with await other.create(SandboxSpec()) as sandbox:
        assert (await sandbox.run_code("6 * 7")).value == "42"
        assert (await sandbox.exec(["python3", "-c", "print(1)"])).stdout == b"1\n"
    with pytest.raises(SandboxUnavailable, match=r"own image, not for another:1"):
        await other.create(SandboxSpec(requirements=("iniconfig",)))
    await other.close()


async def test_an_image_that_is_not_there(docker):
    provider = DockerSandboxProvider(docker, image="codin-test-nothing:1")
    with pytest.raises(
        SandboxUnavailable, match=r"no image 'codin-test-nothing:1'.*could not be pulled"
    ):
        await provider.create(SandboxSpec())
    await provider.close()


async def test_without_an_engine(tmp_path):
    provider = DockerSandboxProvider(f"unix://{tmp_path}/none.sock")
    assert not (await provider.probe()).available
    with pytest.raises(SandboxUnavailable, match=r"no container engine answers at .*make system"):
        await provider.create(SandboxSpec())
    await provider.close()


async def test_an_engine_that_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "ASK_SECONDS", 0.3)
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "s"))
        deaf.listen(8)
        provider = DockerSandboxProvider(f"unix://{tmp_path}/s", image="x:1")
        with pytest.raises(SandboxUnavailable, match=r"did not .* within 0.3 s"):
            await provider.create(SandboxSpec())
        await provider.close()


async def test_folders_that_it_could_not_use_are_refused(provider, tmp_path):
    tmp_path.chmod(0o700)
    for spec in (
        SandboxSpec(workspace=tmp_path),
        SandboxSpec(mounts=(Mount(tmp_path, "/data"),)),
        SandboxSpec(mounts=(Mount(tmp_path, "/data", writable=True),)),
    ):
        with pytest.raises(PermissionDenied, match="belongs to user"):
            await provider.create(spec)


async def test_requirements(provider):
    spec = SandboxSpec(requirements=("iniconfig>=2",))
    async with await provider.create(spec) as sandbox:
        found = await sandbox.exec(["python", "-c", "import iniconfig; print(iniconfig.__file__)"])
        assert found.stdout.startswith(b"/packages/")
        assert (
            "/packages/" in (await sandbox.run_code("import iniconfig; iniconfig.__file__")).value
        )
