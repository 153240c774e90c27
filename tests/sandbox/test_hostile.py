"""Code that wants out, or wants everything."""

import asyncio
import os
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from codin.sandbox import Limits, SandboxSpec
from codin.sandbox.base import MIB
from codin.sandbox.box import cgroup
from codin.sandbox.box.watchdog import disk_usage
from codin.sandbox.errors import (
    DiskLimit,
    OutOfMemory,
    OutputLimit,
    PermissionDenied,
    SandboxFileNotFound,
    SandboxTimeout,
)

pytestmark = pytest.mark.slow


def _inside(pattern: str) -> list[str]:
    """Processes of this machine whose command line holds ``pattern``."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if pattern.encode() in line and int(folder.name) != os.getpid():
            found.append(folder.name)
    return found


async def _gone(pattern: str) -> None:
    async with asyncio.timeout(10):
        while _inside(pattern):
            await asyncio.sleep(0.05)


async def test_the_home_of_whoever_runs_it(sandbox, tmp_path):
    (tmp_path / "key").write_text("secret")
    for path in (tmp_path / "key", Path.home() / ".bashrc", Path.home() / ".ssh", "/root/.bashrc"):
        assert (await sandbox.exec(["cat", str(path)])).exit_code != 0
    listed = await sandbox.exec(["sh", "-c", "ls -A /root /home /var /opt /srv /mnt 2>/dev/null"])
    # Where this Python is, there is the way to it, and nothing beside the way.
    ways = [Path(prefix).resolve().parts for prefix in (sys.prefix, sys.base_prefix)]
    way = {name for parts in ways for name in (f"/{parts[1]}:", *parts[2:3])}
    assert set(listed.stdout.decode().split()) <= way | {"/root:", ".local"}


async def test_sockets_of_the_host(sandbox):
    name = f"\0codin-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        code = f"import socket; socket.socket(socket.AF_UNIX).connect({name!r})"
        assert "ConnectionRefused" in (await sandbox.run_code(code)).error
    interfaces = await sandbox.run_code("import socket; [n for _, n in socket.if_nameindex()]")
    assert interfaces.value == "['lo']"


_CALL = """
import ctypes
c = ctypes.CDLL(None, use_errno=True)
c.{call}, ctypes.get_errno()
"""


async def test_tracing_the_init_of_its_own_namespace(sandbox):
    code = _CALL.format(call="ptrace(16, 1, 0, 0)")
    assert (await sandbox.run_code(code)).value == "(-1, 1)"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are of x86_64")
@pytest.mark.parametrize("call", ["250, 0, -3, 0", "165, 0, 0, 0, 0, 0", "321, 0, 0, 0", "425, 1"])
async def test_refused_system_calls(sandbox, call):
    code = _CALL.format(call=f"syscall({call})")
    assert (await sandbox.run_code(code)).value == "(-1, 1)"


async def test_settings_of_the_kernel(sandbox):
    code = textwrap.dedent("""
        import os
        opened = []
        for folder, _, files in os.walk("/proc/sys"):
            for name in files:
                try:
                    os.close(os.open(f"{folder}/{name}", os.O_WRONLY))
                    opened.append(name)
                except OSError:
                    pass
        opened
    """)
    assert (await sandbox.run_code(code)).value == "[]"


async def test_only_a_few_folders_can_be_written(sandbox):
    code = textwrap.dedent("""
        import os
        found = []
        for folder, below, _ in os.walk("/"):
            below[:] = [n for n in below if n not in {"proc", "usr", "site-packages", "lib"}]
            try:
                open(f"{folder}/new", "w").close()
                found.append(folder)
            except OSError:
                pass
            if folder == "/tmp":
                # Its own; what is shown read-only below it has its mount points there.
                below.clear()
        sorted(found)
    """)
    assert (await sandbox.run_code(code)).value == "['/dev/shm', '/tmp', '/workspace']"


async def test_shared_memory_counts(provider):
    script = "for i in 1 2 3 4; do head -c 900000 /dev/zero > /dev/shm/$i || exit 9; done"
    limits = Limits(disk_bytes=2 * MIB)
    async with await provider.create(SandboxSpec(limits=limits)) as sandbox:
        assert (await sandbox.exec(["sh", "-c", script])).exit_code == 9


_BOMB = """
import os, time
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.01)
"""


async def test_a_fork_bomb(provider):
    mark = f"codin-bomb-{os.getpid()}"
    async with await provider.create(SandboxSpec(limits=Limits(processes=30))) as sandbox:
        bomb = f"# {mark}\n{_BOMB}"
        began = time.monotonic()
        with pytest.raises((SandboxTimeout, PermissionDenied)):
            await sandbox.exec([sys.executable, "-c", bomb], limits=Limits(wall_seconds=1.0))
        assert time.monotonic() - began < 10
        await _gone(mark)


async def test_a_fork_bomb_in_a_session(provider):
    async with await provider.create(SandboxSpec(limits=Limits(processes=30))) as sandbox:
        with pytest.raises((SandboxTimeout, PermissionDenied)):
            await sandbox.run_code(_BOMB, timeout=1.0)
        assert (await sandbox.run_code("1 + 1")).value == "2"


async def test_memory_eaten_by_forked_children(provider):
    mark = f"codin-eat-{os.getpid()}"
    code = (
        f"import os, time  # {mark}\n"
        "for _ in range(8):\n"
        "    if os.fork() == 0:\n"
        "        os.setsid(); b = bytearray(40 << 20); time.sleep(30); os._exit(0)\n"
        "time.sleep(30)"
    )
    limits = Limits(memory_bytes=200 * MIB)
    async with await provider.create(SandboxSpec(limits=limits)) as sandbox:
        with pytest.raises(OutOfMemory):
            await sandbox.exec([sys.executable, "-c", code])
        await _gone(mark)


async def test_memory_of_several_commands_together(provider):
    eat = "b = bytearray(80 << 20); import time; time.sleep(20)"
    limits = Limits(memory_bytes=150 * MIB)
    async with await provider.create(SandboxSpec(limits=limits)) as sandbox:
        both = [asyncio.create_task(sandbox.exec([sys.executable, "-c", eat])) for _ in range(2)]
        done, left = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED, timeout=15)
        assert isinstance(done.pop().exception(), OutOfMemory)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def test_a_gigabyte_of_output_costs_no_memory(sandbox):
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(OutputLimit):
        await sandbox.exec(["head", "-c", "1000000000", "/dev/zero"])
    with pytest.raises(OutputLimit):
        await sandbox.run_code(
            "import sys\nfor _ in range(1000): sys.stdout.write('x' * 1_000_000)"
        )
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024  # KiB


async def test_a_slow_reader_holds_the_writer_back(provider):
    limits = Limits(output_bytes=None)
    async with await provider.create(SandboxSpec(limits=limits)) as sandbox:
        process = await sandbox.start(["head", "-c", "50000000", "/dev/zero"])
        await asyncio.sleep(0.5)
        assert process._held < 10 * MIB
        total = 0
        async for chunk in process.output():
            total += len(chunk.data)
        assert total == 50_000_000


async def test_daemons_end_with_their_command(sandbox):
    mark = f"codin-daemon-{os.getpid()}"
    code = (
        f"import os, time, signal  # {mark}\n"
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        [signal.signal(s, signal.SIG_IGN) for s in (1, 2, 15)]\n"
        "        os.close(0); os.close(1); os.close(2); time.sleep(60)\n    os._exit(0)"
    )
    await sandbox.exec([sys.executable, "-c", code])
    await _gone(mark)


async def test_many_small_files(provider):
    script = "import os\nfor n in range(100000): open(f'{n:06}', 'w').write('x' * 100)"
    limits = Limits(disk_bytes=4 * MIB)
    async with await provider.create(SandboxSpec(limits=limits)) as sandbox:
        with pytest.raises(DiskLimit):
            await sandbox.exec([sys.executable, "-c", script])
        assert disk_usage(sandbox.workspace) < 100 * MIB


async def test_empty_files_count(provider):
    script = "for n in range(1000000): open(f'{n:06}', 'w').close()"
    limits = Limits(disk_bytes=2 * MIB)
    async with await provider.create(SandboxSpec(limits=limits)) as sandbox:
        with pytest.raises(DiskLimit):
            await sandbox.exec([sys.executable, "-c", script])


_DIG = """
import os, time
for _ in range(3000):
    os.mkdir("d" * 50)
    os.chdir("d" * 50)
"""


async def test_a_tree_too_deep_to_be_named(provider):
    sandbox = await provider.create(SandboxSpec())
    with pytest.raises(DiskLimit):
        await sandbox.exec([sys.executable, "-c", f"{_DIG}time.sleep(20)"])
    await sandbox.kill()
    assert not sandbox.workspace.exists()


@pytest.mark.slow
async def test_a_tree_too_deep_to_be_walked(provider):
    sandbox = await provider.create(SandboxSpec(limits=Limits(disk_bytes=None)))
    assert (await sandbox.exec([sys.executable, "-c", _DIG])).exit_code == 0
    assert 100 < len(await sandbox.fs.list(recursive=True)) < 200
    with pytest.raises(PermissionDenied, match="deep"):
        await sandbox.fs.remove("d" * 50)
    await sandbox.kill()
    assert not sandbox.workspace.exists()


async def test_one_large_file(provider):
    limits = Limits(disk_bytes=4 * MIB)
    async with await provider.create(SandboxSpec(limits=limits)) as sandbox:
        with pytest.raises(DiskLimit):
            await sandbox.exec(["cp", "/dev/zero", "large"])
        assert disk_usage(sandbox.workspace) <= 5 * MIB


async def test_a_path_swapped_while_it_is_walked(sandbox):
    """A folder that turns into a link to the system and back, as fast as it can."""
    (sandbox.workspace / "d").mkdir()
    (sandbox.workspace / "d" / "passwd").write_text("mine")
    swap = textwrap.dedent("""
        import os
        os.symlink("/etc", "link")
        while True:
            os.rename("d", "kept"); os.rename("link", "d")
            os.rename("d", "link"); os.rename("kept", "d")
    """)
    swapping = asyncio.create_task(sandbox.exec([sys.executable, "-c", swap]))
    await asyncio.sleep(0.3)
    seen, until = set(), time.monotonic() + 2
    while time.monotonic() < until:
        try:
            seen.add(await sandbox.fs.read("d/passwd"))
            await sandbox.fs.write("d/new", b"x")
        except (PermissionDenied, SandboxFileNotFound) as error:
            seen.add(type(error))
    swapping.cancel()
    await asyncio.gather(swapping, return_exceptions=True)
    assert b"mine" in seen
    assert {kind for kind in seen if isinstance(kind, bytes)} == {b"mine"}
    assert not Path("/etc/new").exists()


async def test_secrets_of_a_run_are_on_no_command_line(provider):
    secret = f"secret-{os.urandom(8).hex()}"
    async with await provider.create(SandboxSpec(env={"TOKEN": secret})) as sandbox:
        running = asyncio.create_task(sandbox.exec(["sleep", "5"]))
        await asyncio.sleep(0.3)
        assert _inside(secret) == []
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_ending_it_at_any_moment_of_its_start_leaves_nothing(provider, monkeypatch):
    """Without a control group, which would take what is left behind."""
    monkeypatch.setattr(cgroup, "find_kind", lambda: None)
    mark = f"codin-start-{os.getpid()}"
    async with await provider.create(SandboxSpec()) as sandbox:
        for step in range(40):
            starting = asyncio.create_task(sandbox.exec(["sh", "-c", f"sleep 60 # {mark}"]))
            await asyncio.sleep(step * 0.0005)
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        await _gone(mark)


async def test_everything_dies_with_the_platform():
    mark = f"codin-orphan-{os.getpid()}"
    program = textwrap.dedent(f"""
        import asyncio, sys
        from codin.sandbox import LocalSandboxProvider, SandboxSpec

        async def main():
            provider = LocalSandboxProvider()
            sandbox = await provider.create(SandboxSpec())
            loop = "import os, time; os.setsid() if os.fork() == 0 else 0; time.sleep(60)  # {mark}"
            await sandbox.run_code("1")
            await sandbox.start([sys.executable, "-c", loop])
            await asyncio.sleep(0.5)
            print("up", flush=True)
            await asyncio.sleep(60)

        asyncio.run(main())
    """)
    platform = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert platform.stdout.readline() == b"up\n"
    assert len(_inside(mark)) >= 3
    platform.kill()
    platform.wait()
    await _gone(mark)
    platform.stdout.close()
