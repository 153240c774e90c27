"""Sandboxes by gVisor: the contract where a runsc is, and the refusal where none is new enough."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
from dataclasses import replace
from datetime import date

import pytest

from codin.sandbox import Isolation, Limits, LocalSandboxProvider, Mount, SandboxSpec
from codin.sandbox.base import MIB
from codin.sandbox.errors import PermissionDenied, RemoteError, SandboxTimeout, SandboxUnavailable
from codin.sandbox.filesystem import ChangeKind, FileChange
from codin.sandbox.gvisor import GvisorSandboxProvider, runsc
from codin.sandbox.local import seccomp
from codin.testing._sandbox_base import BEAT, still, until_change
from codin.testing.escapes.user import as_nobody, can_be_somebody_else, home_of_nobody
from codin.testing.sandbox_conformance import SandboxConformance

ANY = date(2022, 12, 1)
"""The release that Debian has: too old to be offered, good enough to try all of this with."""

needs_runsc = pytest.mark.skipif(
    shutil.which("runsc") is None, reason="runsc is not here: apt-get install runsc"
)


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A runsc that says what it is told to."""

    def make(version, code=0):
        path = tmp_path / "runsc"
        path.write_text(
            f"#!/bin/sh\necho 'runsc version {version}'\necho 'spec: 1.0'\nexit {code}\n"
        )
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        return path

    return make


@pytest.fixture
async def local():
    provider = LocalSandboxProvider()
    yield provider
    await provider.close()


async def test_without_runsc_there_is_none(local, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SandboxUnavailable, match=r"runsc is not here.*2024-01-01.*gvisor\.dev"):
        await local.create(SandboxSpec(least=Isolation.GVISOR))
    support = await GvisorSandboxProvider().probe()
    assert (support.isolation, support.available) == (Isolation.GVISOR, False)
    assert "gvisor.dev" in support.reason


@pytest.mark.parametrize("version", ["0.0~20221219.0", "release-20231218.0"])
async def test_one_that_is_too_old_is_not_used(local, program, version):
    program(version)
    with pytest.raises(SandboxUnavailable, match=r"of 202\d-\d\d-\d\d, which is too old"):
        await local.create(SandboxSpec(least=Isolation.GVISOR))


@pytest.mark.parametrize(("version", "code"), [("VERSION_MISSING", 0), ("20240101", 1)])
async def test_one_that_cannot_tell_its_day_is_not_used(local, program, version, code):
    program(version, code)
    with pytest.raises(SandboxUnavailable, match=r"does not (tell its day|work)"):
        await local.create(SandboxSpec(least=Isolation.GVISOR))


@pytest.mark.parametrize("version", ["release-20240101.0", "0.0~20260115.0-1+b2"])
def test_one_that_is_new_enough_is_found(program, version):
    path = program(version)
    found = runsc.find()
    assert found.path == path
    assert found.released >= runsc.MINIMUM
    assert "--platform=ptrace" not in found.command("/proc/self/fd/9")


async def test_one_that_does_not_work_is_told(program):
    program("release-20260101.0", 1)
    provider = GvisorSandboxProvider()
    found = await provider.probe()
    assert not found.available
    await provider.close()


async def test_what_it_does_not_give_is_refused():
    provider = GvisorSandboxProvider()
    with pytest.raises(SandboxUnavailable, match="machine=False"):
        await provider.create(SandboxSpec(machine=True))
    with pytest.raises(SandboxUnavailable, match="network='none'"):
        await provider.create(SandboxSpec(limits=Limits(network=("example.com:443",))))


def test_the_bundle(tmp_path):
    mounts = [Mount(tmp_path, "/data", writable=True), Mount(tmp_path, "/read")]
    text = runsc.bundle(
        ["cat", "x"], cwd="/workspace", env={"A": "b"}, limits=Limits(disk_bytes=5), mounts=mounts
    )
    config = json.loads(text)
    assert config["process"]["args"] == ["cat", "x"]
    assert config["process"]["env"] == ["A=b"]
    assert config["process"]["capabilities"] == {}
    assert {"type": "RLIMIT_FSIZE", "soft": 5, "hard": 5} in config["process"]["rlimits"]
    assert config["root"]["readonly"] is True
    shown = {mount["destination"] for mount in config["mounts"] if mount["type"] == "bind"}
    assert shown == {"/workspace", "/tmp", "/data"}


@pytest.fixture
async def provider():
    provider = GvisorSandboxProvider(minimum=ANY)
    yield provider
    await provider.close()


@pytest.fixture
async def sandbox(provider):
    async with await provider.create(SandboxSpec()) as sandbox:
        yield sandbox


@needs_runsc
@pytest.mark.slow
async def test_the_kernel_is_not_this_machine_s(sandbox):
    result = await sandbox.exec(["dmesg"])
    assert b"Starting gVisor" in result.stdout
    assert sandbox.isolation is Isolation.GVISOR


@needs_runsc
@pytest.mark.slow
async def test_a_weaker_request_is_given_the_stronger(provider):
    async with await provider.create(SandboxSpec(least=Isolation.PROCESS)) as sandbox:
        assert sandbox.isolation is Isolation.GVISOR


@needs_runsc
@pytest.mark.slow
async def test_describe(provider):
    told = await provider.describe()
    assert (told["backend"], told["isolation"], told["available"]) == ("gvisor", "gvisor", True)
    assert told["released"] >= "2022-12-01"
    assert "memory_bytes" in told["enforced"]


@needs_runsc
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR2, signal.SIGTERM])
async def test_signals_are_handed_on(sandbox, number):
    script = f"trap 'echo caught; exit 7' {int(number)}; echo ready; while :; do sleep 0.05; done"
    process = await sandbox.start(["sh", "-c", script])
    output = process.output()
    assert (await anext(output)).data == b"ready\n"
    await process.signal(number)
    assert (await anext(output)).data == b"caught\n"
    assert (await process.wait()).exit_code == 7


@needs_runsc
@pytest.mark.slow
async def test_nothing_of_it_stays(sandbox):
    """Not of gVisor either: all of it is in the process namespace of the command."""
    before = await _named("runsc-sandbox")
    process = await sandbox.start(["sleep", "60"])
    while await _named("runsc-sandbox") <= before:
        await asyncio.sleep(0.02)
    await process.kill()
    assert await _named("runsc-sandbox") <= before


async def _named(name):
    found = await asyncio.create_subprocess_exec(
        *("ps", "-eo", "args"), stdout=asyncio.subprocess.PIPE
    )
    text = (await found.communicate())[0].decode(errors="replace")
    return {line for line in text.splitlines() if line.startswith(name)}


@needs_runsc
@pytest.mark.slow
async def test_a_platform_with_many_descriptors_open(sandbox):
    """gVisor wants some numbers for itself, and what it has of this platform must not be there."""
    held = [os.open(os.devnull, os.O_RDONLY)]
    try:
        while held[-1] < 250:
            held.append(os.open(os.devnull, os.O_RDONLY))
        for _ in range(8):
            assert (await sandbox.exec(["echo", "fine"])).stdout == b"fine\n"
            os.close(held.pop())
    finally:
        for fd in held:
            os.close(fd)


@pytest.mark.parametrize(
    ("log", "why"),
    [
        (b'{"msg":"no room","level":"error"}{"msg":"so it ended","level":"error"}', "no room"),
        (b'{"msg":"half a li', "it does not say why"),
        (b'{"level":"error"}', "it does not say why"),
        (b"[]", "it does not say why"),
        (b"", "it does not say why"),
    ],
)
def test_why_it_could_not(log, why):
    assert runsc.reason(log) == why


@needs_runsc
@pytest.mark.slow
async def test_memory_of_many_commands_together(provider):
    limits = replace(Limits(), memory_bytes=150 * MIB)
    code = "import time; b = bytearray(b'x') * (80 << 20); print('has', flush=True); time.sleep(20)"
    async with await provider.create(SandboxSpec(limits=limits)) as sandbox:
        many = [sandbox.exec(["python3", "-c", code]) for _ in range(5)]
        ended = await asyncio.gather(*map(_until_end, many))
    assert any(type(error).__name__ == "OutOfMemory" for error in ended)


async def _until_end(running):
    try:
        return await asyncio.wait_for(running, 15)
    except Exception as error:
        return error


@needs_runsc
@pytest.mark.slow
async def test_no_set_user_id_file_is_made_outside(sandbox, monkeypatch):
    """Outside it would be this platform's user's own."""
    script = "echo x > made; chmod 4755 made; chmod 2755 made; stat -f made >/dev/null; echo done"
    assert b"done" in (await sandbox.exec(["sh", "-c", script])).stdout
    assert (sandbox.workspace / "made").stat().st_mode & 0o6000 == 0
    monkeypatch.setattr(seccomp, "program", lambda **_: None)  # it is the filter that keeps it
    await sandbox.exec(["sh", "-c", script])
    assert (sandbox.workspace / "made").stat().st_mode & 0o6000 != 0


_SMOKE = """
import asyncio, os
from datetime import date
from codin.sandbox import Limits, SandboxSpec
from codin.sandbox.errors import OutOfMemory
from codin.sandbox.gvisor import GvisorSandboxProvider

async def main():
    provider = GvisorSandboxProvider(minimum=date(2022, 12, 1))
    spec = SandboxSpec(limits=Limits(memory_bytes=100 << 20))
    async with await provider.create(spec) as sandbox:
        print(os.getuid(), (await sandbox.exec(["dmesg"])).stdout.count(b"gVisor"))
        print((await sandbox.run_code("1 + 1")).value)
        try:
            code = "import time; b = b'x' * (400 << 20); time.sleep(9)"
            await sandbox.exec(["python3", "-c", code])
        except OutOfMemory as error:
            print(error.limit)
    await provider.close()

asyncio.run(main())
"""


@needs_runsc
@pytest.mark.slow
@pytest.mark.skipif(
    not can_be_somebody_else(), reason="root can also try what another user can; a user does"
)
def test_anybody_can_have_one():
    with home_of_nobody() as home:
        done = as_nobody(home, "-c", _SMOKE)
    assert done.stdout.split("\n") == ["65534 1", "2", "memory_bytes", ""], done.stderr


OF_ITS_OWN = {
    "user-namespace": "its kernel's own, with rights over nothing else",
    "user-namespace-by-clone": "its kernel's own, with rights over nothing else",
    "mount-namespace": "its kernel's own: what is mounted there is of that kernel",
    "namespace-joined": "there is no file of such a namespace",
    "sysfs": "a few made-up files of its kernel",
    "priority": "among the processes of its kernel",
    "perf": "there is no such device",
    "io-uring": "done by its kernel, which makes no such call itself",
    "kernel-log": "its kernel's own, which is made up",
    "kernel-log-file": "there is no such file",
    "file-handle": "not done by its kernel",
    "file-handle-named": "not done by its kernel",
    "devices": "its kernel's own",
    "device-fuse": "its kernel's own",
    "device-net-tun": "its kernel's own, on a network that ends there",
    "disk-never-named": "a file without a name is not made by its kernel",
    "thread-bomb": "threads of its kernel's own, inside its limit of memory",
}
"""Attempts that get something which is not this machine's, or end otherwise, and why that holds."""


@needs_runsc
@pytest.mark.slow
def test_attempts_to_get_out():
    from codin.testing.escapes import ATTEMPTS, run_place
    from codin.testing.escapes.places import Place

    @contextlib.asynccontextmanager
    async def made():
        provider = GvisorSandboxProvider(minimum=ANY)
        try:
            yield provider
        finally:
            await provider.close()

    place = Place("gvisor", "gvisor", made)
    results = asyncio.run(run_place(place, ATTEMPTS))
    got = {result.id: result.how for result in results if result.status not in ("held", "absent")}
    # its system calls are slower: who asks for very many of them may be ended for the time
    got = {name: how for name, how in got.items() if how != "SandboxTimeout"}
    assert len(results) == len(ATTEMPTS)
    assert {name: how for name, how in got.items() if name not in OF_ITS_OWN} == {}


@needs_runsc
@pytest.mark.slow
class TestGvisorSandbox(SandboxConformance):
    """The suite, and what is otherwise: its kernel keeps some things to itself."""

    hundred_seconds = 300.0  # each is a kernel that starts

    @pytest.fixture
    async def provider(self):
        provider = GvisorSandboxProvider(minimum=ANY)
        yield provider
        await provider.close()

    async def test_it_is_not_root(self, sandbox):
        """It is user 0 of its own kernel, with none of the rights, and nobody special here."""
        script = "id -u; grep Cap /proc/self/status; echo x > made"
        lines = (await sandbox.exec(["sh", "-c", script])).stdout.decode().splitlines()
        assert lines[0] == "0"
        assert {int(line.split()[1], 16) for line in lines[1:]} == {0}
        assert (sandbox.workspace / "made").stat().st_uid == os.geteuid()

    @pytest.mark.parametrize("path", ["/usr/x", "/etc/x", "/x", "/proc/sys/kernel/core_pattern"])
    async def test_the_system_is_read_only(self, sandbox, path):
        assert (await sandbox.exec(["sh", "-c", f"echo x >> {path}"])).exit_code != 0

    async def test_ignoring_sigterm_does_not_help(self, sandbox):
        """With more time than the suite gives: its start is a good part of that."""
        stubborn = f"trap '' TERM INT HUP; {BEAT}"
        with pytest.raises(SandboxTimeout):
            await sandbox.exec(["sh", "-c", stubborn], limits=Limits(wall_seconds=4))
        await still(sandbox)

    async def _refused(self, sandbox):
        """A Worker's copy cannot be kept from its memory there, and so there is none."""
        worker = await sandbox.worker()
        source = "def one(): return 1"
        with pytest.raises(RemoteError, match="cannot be kept apart here"):
            await worker.call("m:one", source=source, fresh=True)
        assert await worker.call("m:one", source=source) == 1
        await worker.close()

    test_a_fresh_call_keeps_nothing = _refused
    test_what_a_fresh_call_leaves_behind_ends_with_it = _refused
    test_a_fresh_call_that_ends_itself = _refused
    test_preload = _refused

    async def test_dev_is_its_own(self, sandbox):
        """Made in the memory of its kernel, and gone with it."""
        assert (await sandbox.exec(["sh", "-c", "echo x > /dev/made; cat /dev/made"])).stdout
        assert (await sandbox.exec(["cat", "/dev/made"])).exit_code != 0
        assert not os.path.exists("/dev/made")

    async def test_no_new_user_namespace(self, sandbox):
        """Its kernel makes them, of its own; nothing of this machine is in them."""
        script = "unshare -Ur sh -c 'id -u; mount -t tmpfs none /mnt; cat /etc/shadow; ls /root'"
        result = await sandbox.exec(["sh", "-c", script])
        assert b"root:" not in result.stdout
        assert not os.path.ismount("/mnt")

    async def test_what_is_not_a_regular_file(self, sandbox):
        """A pipe with a name is of its kernel, and not in the folder that is seen from outside."""
        result = await sandbox.exec(["sh", "-c", "mkfifo pipe && ls"])
        assert result.stdout == b"pipe\n"
        assert await sandbox.fs.list() == []
        await sandbox.exec(["ln", "-s", "/dev/zero", "zero"])
        with pytest.raises(PermissionDenied):
            await sandbox.fs.read("zero")

    async def test_what_commands_do_is_seen(self, sandbox):
        """Its server of files sets rights on its own account, which is seen too."""
        await sandbox.fs.write("d/old", b"x")
        async with sandbox.fs.watch("d") as changes:
            script = "echo a > new; mv old moved; rm moved"
            await sandbox.exec(["sh", "-c", script], cwd="d")
            gone = FileChange("/workspace/d/moved", ChangeKind.REMOVED)
            seen = await until_change(changes, gone)
        assert FileChange("/workspace/d/new", ChangeKind.CREATED) in seen
        assert FileChange("/workspace/d/new", ChangeKind.MODIFIED) in seen
        assert FileChange("/workspace/d/moved", ChangeKind.CREATED) in seen
