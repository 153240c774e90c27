"""Wheels that nobody should make: none reaches outside of its layer, and none is run here."""

import os
import stat
import time
from pathlib import Path

import pytest

from codin.sandbox import SandboxSpec
from codin.sandbox.packages import PackageError, PackageLayers, PackageNotFound, PackageTooLarge
from codin.sandbox.packages.check import settle
from codin.sandbox.packages.errors import PackageUnsafe
from codin.sandbox.packages.target import Target
from codin.sandbox.packages.uv import Uv, meaning, read_lock

from .wheels import Entry

LINK = stat.S_IFLNK | 0o777


def _outside(tmp_path):
    """Everything of the test's folder besides the layers and the index."""
    own = (tmp_path / "layers", tmp_path / "index")
    return {
        str(path.relative_to(tmp_path)): path.lstat().st_mode
        for path in tmp_path.rglob("*")
        if not any(path.is_relative_to(other) for other in own)
    }


def _hostile(tmp_path):
    victim = str(tmp_path / "victim")
    up = "../" * 12
    return {
        "climbs": [Entry(f"{up}{victim}", b"x")],
        "climbs-a-little": [Entry("../evil.py", b"x"), Entry("../../evil.py", b"x")],
        "absolute": [Entry(victim, b"x")],
        "backslashes": [Entry("..\\..\\evil", b"x")],
        "link": [Entry("leak", victim.encode(), LINK)],
        "link-folder": [Entry("out", str(tmp_path).encode(), LINK), Entry("out/victim", b"x")],
        "link-up": [Entry("out", b"../../..", LINK), Entry("out/victim", b"x")],
        "setuid": [Entry("tool", b"#!/bin/sh\n", stat.S_IFREG | 0o6777)],
        "device": [Entry("disk", b"", stat.S_IFBLK | 0o666), Entry("pipe", b"", stat.S_IFIFO)],
        "data-climbs": [Entry(f"hostile-1.0.data/data/{up}{victim}", b"x")],
        "data-absolute": [Entry(f"hostile-1.0.data/data/{victim}", b"x")],
        "script-climbs": [Entry(f"hostile-1.0.data/scripts/{up}{victim}", b"#!python\n")],
        "header-climbs": [Entry(f"hostile-1.0.data/headers/{up}{victim}", b"x")],
        "zero": [Entry("a\0b", b"x")],
        "closed": [Entry("closed/file", b"x", stat.S_IFREG), Entry("closed/", b"", stat.S_IFDIR)],
        "twice": [Entry("same.py", b"x"), Entry("same.py", b"y")],
        "folder-and-file": [Entry("same", b"x"), Entry("same/file", b"y")],
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", list(_hostile(Path())))
async def test_a_hostile_wheel_stays_in_its_layer(layers, index, tmp_path, name):
    index.wheel("hostile", files={"hostile.py": ""}, entries=_hostile(tmp_path)[name])
    await _tried(layers, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("script", ["../../../evil", "/evil", "a/b", "..", "x\ny", "-rf"])
async def test_names_of_scripts_stay_in_their_folder(layers, index, tmp_path, script):
    index.wheel("hostile", files={"hostile.py": ""}, scripts={script: "hostile:main"})
    await _tried(layers, tmp_path)


async def _tried(layers, tmp_path):
    (tmp_path / "victim").write_text("whole")
    before = _outside(tmp_path)
    try:
        layer = await layers.get(["hostile"])
    except PackageError:
        assert not list((tmp_path / "layers").glob("*/layer.json"))
    else:
        for path in layer.rglob("*"):
            mode = path.lstat().st_mode
            assert stat.S_ISREG(mode) or stat.S_ISDIR(mode)
            assert stat.S_IMODE(mode) in {0o644, 0o755}
    assert _outside(tmp_path) == before
    assert (tmp_path / "victim").read_text() == "whole"
    assert not [path for path in (tmp_path / "layers").rglob("evil*") if "site" not in path.parts]


async def test_what_would_have_to_be_built_is_not(layers, index, tmp_path):
    marker = tmp_path / "marker"
    index.sdist("source", "1.0", f"open({str(marker)!r}, 'w')\n")
    with pytest.raises(PackageNotFound, match="source"):
        await layers.get(["source"])
    assert not marker.exists()
    # and it would have done so, had it been built
    import subprocess
    import sys
    import tarfile

    with tarfile.open(index.folder / "source" / "source-1.0.tar.gz") as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    built = tmp_path / "unpacked" / "source-1.0"
    subprocess.run([sys.executable, "setup.py"], cwd=built, check=True)
    assert marker.exists()


@pytest.mark.parametrize(
    "place", ["file://{}", "git+file://{}", "https://127.0.0.1:9/other-1.0-py3-none-any.whl"]
)
async def test_a_dependency_on_a_place_is_not_followed(layers, index, tmp_path, place):
    marker = tmp_path / "marker"
    project = tmp_path / "project"
    project.mkdir()
    (project / "setup.py").write_text(f"open({str(marker)!r}, 'w')\n")
    index.wheel("lure", files={"lure.py": ""}, needs=[f"other @ {place.format(project)}"])
    with pytest.raises(PackageError):
        await layers.get(["lure"])
    assert not marker.exists()


async def test_code_that_runs_at_every_start_does_not_run_here(provider, index, tmp_path):
    marker = tmp_path / "marker"
    code = f"import os; open({str(marker)!r}, 'w')"
    index.wheel("startup", files={"startup.pth": code, "sitecustomize.py": code + "\n"})
    async with await provider.create(SandboxSpec(requirements=("startup",))) as sandbox:
        # inside it does run, as any code there, and finds nothing of this machine
        result = await sandbox.exec(["python3", "-c", "print(1)"])
        assert b"No such file" in result.stderr or b"Read-only" in result.stderr
        assert (await sandbox.run_code("1 + 1")).value == "2"
    assert not marker.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "entries",
    [
        [Entry("bomb", bytes(400_000_000))],
        [Entry(f"many/{number}") for number in range(20_000)],
    ],
    ids=["one-file", "many-files"],
)
async def test_a_wheel_that_grows_is_stopped(tmp_path, index, entries):
    index.wheel("bomb", entries=entries)
    layers = PackageLayers(tmp_path / "layers", index=index.url, max_layer_bytes=8_000_000)
    began = time.monotonic()
    with pytest.raises(PackageTooLarge):
        await layers.get(["bomb"])
    assert time.monotonic() - began < 20
    assert not list((tmp_path / "layers").glob("codin-layer-*"))


async def test_a_wheel_that_is_not_what_the_index_said(layers, index, monkeypatch):
    from . import wheels

    index.wheel("changed", files={"changed.py": ""})
    monkeypatch.setattr(wheels.hashlib, "sha256", wheels.hashlib.sha512)
    with pytest.raises(PackageError):
        await layers.get(["changed"])


async def test_a_broken_archive(layers, index):
    index.wheel("broken").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(PackageError):
        await layers.get(["broken"])


async def test_uv_can_write_to_its_folder_only(tmp_path, index):
    """Whatever a wheel might make it do."""
    index.wheel("one", files={"one.py": ""})
    folder, elsewhere = tmp_path / "own", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    environment, python = {"UV_DEFAULT_INDEX": index.url}, Target().arguments
    uv = Uv(folder, environment, most=10_000_000, until=time.monotonic() + 30)
    await uv.run(("pip", "install"), [*python, "--target", "site", "one"])
    assert (folder / "site" / "one.py").is_file()
    with pytest.raises(PackageError, match="Read-only file system"):
        await uv.run(("pip", "install"), [*python, "--target", str(elsewhere), "one"])
    assert not list(elsewhere.iterdir())


def test_what_is_no_file_is_not_taken(tmp_path):
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(PackageUnsafe, match="'link'"):
        settle(tmp_path)
    (tmp_path / "link").unlink()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PackageUnsafe, match="'pipe'"):
        settle(tmp_path)


def test_rights_are_made_plain_and_scripts_find_their_python(tmp_path):
    import sys

    (tmp_path / "bin").mkdir(mode=0o777)
    script, tool = tmp_path / "bin" / "script", tmp_path / "tool"
    script.write_text(f"#!{sys.executable}\nprint(1)\n")
    script.chmod(0o4755)
    tool.write_bytes(b"")
    tool.chmod(0o6666)
    settle(tmp_path)
    assert script.read_text() == "#!/usr/bin/env python3\nprint(1)\n"
    assert (script.stat().st_mode & 0o7777, tool.stat().st_mode & 0o7777) == (0o755, 0o644)
    script.write_text(f"#!/bin/sh\n'''exec' '{'/long' * 40}' \"$0\" \"$@\"\n' '''\nprint(2)\n")
    settle(tmp_path)
    assert script.read_text() == "#!/usr/bin/env python3\nprint(2)\n"


@pytest.mark.parametrize("kind", ["vcs", "directory", "archive"])
def test_a_lock_that_leads_elsewhere_is_not_followed(kind):
    lock = f'[[packages]]\nname = "x"\n[packages.{kind}]\nurl = "file:///x"\n'
    with pytest.raises(PackageUnsafe, match="only packages of the index"):
        read_lock(lock)
    with pytest.raises(PackageNotFound, match="wheel"):
        read_lock('[[packages]]\nname = "x"\nversion = "1"\n')


def test_what_uv_says_is_told_without_passwords():
    error = meaning("error: something new at https://me:secret@host/x")
    assert type(error) is PackageError
    assert str(error) == "uv failed: error: something new at https://host/x"
