"""What nobody should ask for, and machines that cannot: told by type, with what to do."""

import os
import subprocess
import sys
import tempfile

import pytest

from codin.errors import InvalidInputError
from codin.sandbox import LocalSandboxProvider, SandboxSpec
from codin.sandbox.box.command import MAX_WORD, MAX_WORDS
from codin.sandbox.errors import (
    CommandNotFound,
    DiskLimit,
    PermissionDenied,
    SandboxGone,
    SandboxUnavailable,
)
from codin.sandbox.local import knobs

pytestmark = pytest.mark.slow

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


@pytest.fixture(params=[False, True], ids=["apart", "machine"])
async def sandbox(provider, request):
    async with await provider.create(SandboxSpec(machine=request.param)) as sandbox:
        yield sandbox


@pytest.fixture
def disk(tmp_path):
    """A disk of one mebibyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize(
    ("argv", "what"),
    [
        ("echo hi", "list of words"),
        ([], "name of a program"),
        ([""], "name of a program"),
        (["-c"], "name of a program"),
        ([5], "made of text"),
        (["echo", None], "made of text"),
        (["echo", "\ud800"], "made of text"),
        (["echo", "a\0b"], "zero byte"),
        (["echo", "x" * (MAX_WORD + 1)], f"{MAX_WORD} a word.*stdin"),
        (["echo", *["x" * 1000] * (MAX_WORDS // 1000)], f"{MAX_WORDS} bytes at most"),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_what_is_no_command(sandbox, argv, what):
    with pytest.raises(InvalidInputError, match=what):
        await sandbox.exec(argv)


async def test_a_command_as_large_as_it_may_be(sandbox):
    words = ["x" * (MAX_WORD - 1)] * 7
    result = await sandbox.exec(["sh", "-c", "echo $#", "sh", *words])
    assert result.stdout == b"7\n"


@pytest.mark.parametrize("variable", [{"": "x"}, {"a=b": "x"}, {"a": "\ud800"}, {"a": 5}])
async def test_what_is_no_variable(sandbox, variable):
    with pytest.raises(InvalidInputError):
        await sandbox.exec(["true"], env=variable)


@pytest.mark.parametrize("cwd", ["a\0b", "\ud800", 5])
async def test_what_is_no_working_directory(sandbox, cwd):
    with pytest.raises(InvalidInputError):
        await sandbox.exec(["true"], cwd=cwd)


async def test_a_command_that_is_not_there(sandbox):
    with pytest.raises(CommandNotFound, match=r"'nope' is no command.*requirements"):
        await sandbox.exec(["nope"])


async def test_bytes_that_are_no_text(sandbox):
    result = await sandbox.exec(["printf", "%s\\377", "\udcfe"], env={"A": "\udcff"})
    assert result.stdout == b"\xfe\xff"
    code = "import sys; sys.stdout.buffer.write(b'\\xff')"
    assert (await sandbox.run_code(code)).stdout == "\ufffd"
    assert (await sandbox.run_code("printf '\\377'", language="bash")).stdout == "\ufffd"


async def test_a_path_that_is_none(sandbox):
    for path in ("\ud800", "a\0b", ""):
        with pytest.raises(PermissionDenied, match="is no path"):
            await sandbox.fs.write(path, b"")
        with pytest.raises(PermissionDenied, match="is no path"):
            await sandbox.fs.stat(path)


async def test_every_verb_after_the_end(sandbox):
    process = await sandbox.start(["sleep", "60"], stdin=True)
    await sandbox.kill()
    for verb in (
        lambda: sandbox.exec(["true"]),
        lambda: sandbox.start(["true"]),
        lambda: sandbox.run_code("1"),
        sandbox.worker,
        lambda: sandbox.expose(80),
        lambda: sandbox.fs.read("x"),
        lambda: sandbox.fs.write("x", b""),
        lambda: sandbox.fs.list("."),
        lambda: sandbox.fs.stat("x"),
        lambda: sandbox.fs.remove("x"),
        lambda: sandbox.fs.move("x", "y"),
    ):
        with pytest.raises(SandboxGone, match="has ended; make a new one"):
            await verb()
    with pytest.raises(SandboxGone):
        await process.wait()
    await process.signal(15)
    await process.write(b"x")
    await process.kill()
    await sandbox.kill()


@needs_root
@pytest.mark.parametrize("machine", [False, True], ids=["apart", "machine"])
async def test_a_full_disk(provider, disk, machine):
    spec = SandboxSpec(workspace=disk, machine=machine)
    async with await provider.create(spec) as sandbox:
        result = await sandbox.exec(["sh", "-c", "head -c 3000000 /dev/zero > big"])
        assert b"No space left on device" in result.stderr
        with pytest.raises(DiskLimit, match="disk that it would be on is full; make room"):
            await sandbox.fs.write("more", bytes(2_000_000))
        await sandbox.fs.remove("big")
        await sandbox.fs.write("more", b"x")
        assert [info.path for info in await sandbox.fs.list()] == ["/workspace/more"]


@needs_root
async def test_no_room_for_a_sandbox(disk, monkeypatch):
    provider = LocalSandboxProvider()
    await provider.probe()
    await provider.close()
    (disk / "all").write_bytes(bytes(1_048_576))
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    with pytest.raises(
        SandboxUnavailable, match=r"disk of .* is full; make room there, or set TMP"
    ):
        await provider.create(SandboxSpec())
    (disk / "all").unlink()
    async with await provider.create(SandboxSpec()) as sandbox:
        assert (await sandbox.exec(["true"])).exit_code == 0
    await provider.close()


@pytest.mark.parametrize("below", ["file", "file/below"])
async def test_a_workspace_that_is_no_folder(provider, tmp_path, below):
    (tmp_path / "file").write_text("x")
    with pytest.raises(PermissionDenied, match="cannot be used by a sandbox"):
        await provider.create(SandboxSpec(workspace=tmp_path / below))


def test_each_setting_that_forbids_namespaces_is_named(tmp_path):
    def machine(**settings):
        for name, value in settings.items():
            path = tmp_path / "proc/sys" / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{value}\n")
        return knobs.advice(tmp_path, user=1000), knobs.advice(tmp_path, user=0)

    assert knobs.advice(tmp_path) == ""
    assert machine(user__max_user_namespaces=5) == ("", "")
    (tmp_path / ".dockerenv").touch()
    both = machine()
    assert both[0] == both[1]
    assert "--security-opt seccomp=unconfined" in both[0]
    user, root = machine(kernel__apparmor_restrict_unprivileged_userns=1)
    assert "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0" in user
    assert "apparmor_restrict" not in root
    user, root = machine(kernel__unprivileged_userns_clone=0)
    assert "sysctl -w kernel.unprivileged_userns_clone=1" in user
    assert "userns_clone" not in root
    both = machine(user__max_user_namespaces=0)
    assert both[0] == both[1]
    assert "sysctl -w user.max_user_namespaces=15000" in both[0]


_WITHOUT = """
import asyncio
from pathlib import Path
from codin.sandbox import LocalSandboxProvider, SandboxSpec
from codin.sandbox.errors import SandboxUnavailable

async def main():
    setting = Path("/proc/sys/user/max_user_namespaces")
    setting.write_text("0")  # of this namespace, and of no other
    provider = LocalSandboxProvider()
    try:
        await provider.create(SandboxSpec())
    except SandboxUnavailable as error:
        print(error)
    setting.write_text("100")
    async with await provider.create(SandboxSpec()) as sandbox:
        print((await sandbox.exec(["echo", "again"])).stdout)
    await provider.close()

asyncio.run(main())
"""


def test_where_no_user_namespaces_are_allowed():
    done = subprocess.run(
        ["unshare", "-Ur", sys.executable, "-c", _WITHOUT],
        capture_output=True,
        text=True,
        check=False,
    )
    refusal, _, after = done.stdout.strip().rpartition("\n")
    assert "sysctl -w user.max_user_namespaces=15000" in refusal, done.stderr
    assert "bwrap:" in refusal
    assert after == "b'again\\n'"
