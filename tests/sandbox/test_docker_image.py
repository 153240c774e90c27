"""Images that are run as they are, with a daemon of the tests' own."""

import asyncio
import subprocess

import pytest

from codin.sandbox import Limits, SandboxSpec
from codin.sandbox.docker import DockerSandboxProvider
from codin.sandbox.errors import (
    CommandNotFound,
    CpuLimit,
    OutOfMemory,
    OutputLimit,
    SandboxGone,
    SandboxTimeout,
    SandboxUnavailable,
)

pytestmark = pytest.mark.slow


def ask(docker, *words):
    command = ["docker", "-H", docker, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@pytest.fixture
async def provider(docker):
    provider = DockerSandboxProvider(docker, base="host")
    await provider.probe()
    yield provider
    await provider.close()
    async with asyncio.timeout(30):
        while ask(docker, "ps", "-aq"):
            await asyncio.sleep(0.1)


@pytest.fixture
async def image(docker, provider):
    names = ask(docker, "images", "--format", "{{.Repository}}:{{.Tag}}")
    return next(name for name in names if "host-" in name)


async def start(provider, image, argv, *, stdin=False, **spec):
    sandbox = await provider.create(SandboxSpec(**spec))
    return await sandbox.run_image(image, argv, stdin=stdin)


async def run(provider, image, *argv, **limits):
    return await start(provider, image, argv, limits=Limits(**limits))


async def test_output_and_exit_code(provider, image):
    process = await run(provider, image, "sh", "-c", "echo out; echo err >&2; exit 3")
    result = await process.wait()
    assert (result.exit_code, result.stdout, result.stderr) == (3, b"out\n", b"err\n")
    assert result.usage.wall_seconds > 0


async def test_input(provider, image):
    process = await start(provider, image, ["cat"], stdin=True)
    await process.write(b"one ")
    await process.write(b"two")
    await process.close_stdin()
    assert (await process.wait()).stdout == b"one two"


async def test_the_workspace_and_the_environment(provider, image, tmp_path):
    script = 'echo "$GREETING" > /workspace/out; id -u; touch /x || touch /tmp/x'
    argv = ["sh", "-c", script]
    process = await start(
        provider, image, argv, workspace=tmp_path / "w", env={"GREETING": "hello"}
    )
    result = await process.wait()
    assert result.exit_code == 0
    assert result.stdout.strip() != b"0"
    assert (tmp_path / "w" / "out").read_text() == "hello\n"


async def test_it_has_no_capability_and_no_network(provider, image):
    script = "grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status; cat /proc/net/dev"
    said = (await (await run(provider, image, "sh", "-c", script)).wait()).stdout.decode()
    assert said.split()[:6] == ["CapEff:", "0" * 16, "NoNewPrivs:", "1", "Seccomp:", "2"]
    assert [line.split(":")[0].strip() for line in said.splitlines()[5:]] == ["lo"]


@pytest.mark.parametrize(
    ("script", "limits", "error"),
    [
        ("sleep 60", {"wall_seconds": 1}, SandboxTimeout),
        ("while :; do :; done", {"cpu_seconds": 0.5}, CpuLimit),
        ("cat /dev/zero", {"output_bytes": 100_000}, OutputLimit),
        ("cat /dev/zero | tail -c 300000000", {"memory_bytes": 64 << 20}, OutOfMemory),
    ],
)
async def test_limits(provider, image, script, limits, error):
    process = await run(provider, image, "sh", "-c", script, **limits)
    async with asyncio.timeout(20):
        with pytest.raises(error):
            await process.wait()


async def test_it_is_killed(provider, image):
    process = await run(provider, image, "sh", "-c", "echo on; trap '' TERM; sleep 60")
    assert (await anext(process.output())).data == b"on\n"
    await process.signal(15)
    await process.kill()
    with pytest.raises(SandboxGone, match="killed"):
        await process.wait()


async def test_it_ends_with_what_it_is_beside(docker, provider, image):
    """So it does when the platform is killed: nothing is left that nobody asks about."""
    process = await run(provider, image, "sh", "-c", "echo on; sleep 60")
    assert (await anext(process.output())).data == b"on\n"
    (beside,) = ask(docker, "ps", "-q", "--filter", "label=codin.sandbox")
    ask(docker, "kill", beside)
    async with asyncio.timeout(20):
        assert (await process.wait()).exit_code == -9


async def test_a_slow_reader_of_endless_output_holds_it_up(provider, image):
    process = await run(provider, image, "cat", "/dev/zero", output_bytes=None)
    output, read = process.output(), 0
    async for chunk in output:
        read += len(chunk.data)
        if read > 5_000_000:
            break
    await process.kill()


async def test_what_cannot_be_run(provider, image):
    with pytest.raises(CommandNotFound, match="no-such-command"):
        await run(provider, image, "no-such-command")
    with pytest.raises(SandboxUnavailable, match="no image 'nothing:1'"):
        await run(provider, "nothing:1", "true")
