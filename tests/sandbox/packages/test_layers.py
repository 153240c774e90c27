"""Layers: built once, by one, whole or not at all, and kept within bounds."""

import asyncio
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest

from codin.errors import InvalidInputError
from codin.sandbox.errors import PermissionDenied, SandboxError, SandboxUnavailable
from codin.sandbox.packages import (
    IndexUnreachable,
    PackageDiskFull,
    PackageLayers,
    PackageNotFound,
    PackageTimeout,
    PackageTooLarge,
    PackageUnsafe,
    RequirementRefused,
    pip,
)
from codin.sandbox.packages.requirement import normalize
from codin.sandbox.packages.target import index_environment, index_settings

pytestmark = pytest.mark.slow


@pytest.fixture
def small(index):
    for name in ("one", "two", "three"):
        index.wheel(name, files={f"{name}.py": f"NAME = {name!r}\n"})
    return index


def whole(folder):
    return sorted(path.parent.name for path in folder.glob("*/layer.json"))


async def test_a_layer_is_built_once(layers, small):
    first = await layers.get(["one", "Two>=1"])
    asked = len(small.asked)
    assert await layers.get(["two >= 1", "one", "one"]) == first
    assert len(small.asked) == asked
    assert {path.name for path in first.glob("*.py")} == {"one.py", "two.py"}


async def test_the_exact_versions_are_recorded_beside_it(layers, small):
    small.wheel("one", "1.4", files={"one.py": ""})
    layer = await layers.get(["one<1.5"])
    record = json.loads((layer.parent / "layer.json").read_text())
    assert record["requirements"] == ["one<1.5"]
    assert record["resolved"][0]["name"] == "one"
    assert record["resolved"][0]["version"] == "1.4"
    assert record["resolved"][0]["hashes"][0].startswith("sha256:")
    assert record["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert record["bytes"] > 0


async def test_another_python_or_index_is_another_layer(layers, small, tmp_path):
    own = await layers.get(["one"])
    other = await layers.get(["one"], python="3.13", platform="aarch64-manylinux_2_28")
    assert own != other
    elsewhere = PackageLayers(tmp_path / "layers", index=small.url + "./")
    assert await elsewhere.get(["one"]) not in {own, other}
    elsewhere.close()


async def test_wheels_are_those_of_the_python_that_was_named(layers, small):
    wheel = small.wheel("native", files={"native.py": "ABI = 312\n"})
    wheel.rename(wheel.with_name("native-1.0-cp312-cp312-manylinux_2_17_x86_64.whl"))
    layer = await layers.get(["native"], python="3.12", platform="x86_64-manylinux_2_28")
    assert (layer / "native.py").read_text() == "ABI = 312\n"
    with pytest.raises(PackageNotFound):
        await layers.get(["native"], python="3.11", platform="x86_64-manylinux_2_28")


async def test_many_at_once_build_it_once(tmp_path, small):
    alone = await _asked_by_one(tmp_path, small, ["one"])
    many = [PackageLayers(tmp_path / "layers", index=small.url) for _ in range(5)]
    found = await asyncio.gather(*(layers.get(["one"]) for layers in many for _ in range(3)))
    assert len(set(found)) == 1
    assert sorted(small.asked) == alone
    for layers in many:
        layers.close()


async def test_other_processes_wait_for_who_builds(tmp_path, small):
    alone = await _asked_by_one(tmp_path, small, ["one", "two"])
    script = _script(tmp_path, small, 'print(asyncio.run(layers.get(["one", "two"])))')
    running = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE
        )
        for _ in range(3)
    ]
    told = {(await process.communicate())[0] for process in running}
    assert len(told) == 1
    assert told != {b""}
    assert sorted(small.asked) == alone


async def _asked_by_one(tmp_path, index, requirements):
    """What one build alone asks the index for."""
    layers = PackageLayers(tmp_path / "alone", index=index.url)
    await layers.get(requirements)
    layers.close()
    asked = sorted(index.asked)
    index.asked.clear()
    return asked


def _script(tmp_path, index, text):
    head = f"""
        import asyncio, time
        from pathlib import Path
        from codin.sandbox.packages import PackageLayers, layers as module
        layers = PackageLayers(Path({str(tmp_path / "layers")!r}), index={index.url!r})
    """
    return textwrap.dedent(head) + textwrap.dedent(text)


@pytest.mark.parametrize(
    "stop",
    [
        "async def build(order, folder, say):\n"
        "    (folder / 'layer' / 'site').mkdir(parents=True)\n"
        "    print('here', flush=True); time.sleep(60)\n"
        "module.build = build",
        "module._commit = lambda *_: (print('here', flush=True), time.sleep(60))",
    ],
    ids=["in-the-middle", "before-its-end"],
)
async def test_a_build_that_was_killed_is_not_taken_for_whole(tmp_path, small, layers, stop):
    folder = tmp_path / "layers"
    script = _script(tmp_path, small, f"{stop}\nasyncio.run(layers.get(['one']))")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE
    )
    assert await process.stdout.readline() == b"here\n"
    waiting = asyncio.create_task(layers.get(["one"]))
    await asyncio.sleep(0.2)
    assert not waiting.done()  # it is being built
    process.send_signal(signal.SIGKILL)
    await process.wait()
    layer = await waiting
    assert (layer / "one.py").is_file()
    assert whole(folder) == [layer.parent.name]
    assert not list(folder.glob("codin-layer-*"))


async def test_who_is_cancelled_leaves_nothing_and_the_next_builds(layers, small, tmp_path):
    building = asyncio.create_task(layers.get(["one"]))
    while not small.asked:
        await asyncio.sleep(0.001)
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building
    assert not list((tmp_path / "layers").glob("codin-layer-*"))
    assert (await layers.get(["one"]) / "one.py").is_file()


async def test_what_was_not_asked_for_the_longest_goes_first(tmp_path, small):
    folder = tmp_path / "layers"
    layers = PackageLayers(folder, index=small.url)
    one, two = await layers.get(["one"]), await layers.get(["two"])
    layers.release(one)
    layers.release(two)
    used = sum(json.loads(p.read_text())["bytes"] for p in folder.glob("*/layer.json"))
    os.utime(one.parent / "layer.json", (1, 1))
    layers.release(await layers.get(["one"]))  # asked for again: two is the oldest now
    os.utime(two.parent / "layer.json", (2, 2))
    tight = PackageLayers(folder, index=small.url, max_total_bytes=used)
    three = await tight.get(["three"])
    assert whole(folder) == sorted([one.parent.name, three.parent.name])
    tight.close()


async def test_what_is_held_stays_also_when_another_process_holds_it(tmp_path, small, layers):
    held = await layers.get(["one"])
    assert await layers.get(["one"]) == held
    tight = PackageLayers(tmp_path / "layers", index=small.url, max_total_bytes=1)
    tight.release(await tight.get(["two"]))
    assert held.is_dir()
    layers.release(held)
    tight.release(await tight.get(["three"]))
    assert held.is_dir()  # it was asked for twice
    layers.release(held)
    layers.release(held)  # once too often does no harm
    await tight.get(["one", "two"])
    assert not held.exists()
    tight.close()


async def test_a_layer_that_went_is_built_again(layers, small):
    layer = await layers.get(["one"])
    layers.release(layer)
    shutil.rmtree(layer.parent)
    assert (await layers.get(["one"]) / "one.py").is_file()


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "-r other.txt", "--index-url http://x", "-e .", ".", "./x", "/etc"),
        *("git+https://host/x", "https://host/x.whl", "file:///etc", "x @ https://host/x.whl"),
        *("x @ file:///etc", "x==", "x>=1 --hash=sha256:0", "x\n-r /etc/passwd", "x # why"),
        *("x; import os", "x y", "\u0445", "x" * 1000, "$HOME", "x@git+ssh://host/x"),
    ],
)
async def test_what_is_no_plain_requirement_is_refused(layers, index, text):
    with pytest.raises(RequirementRefused):
        await layers.get([text])
    assert index.asked == []


async def test_a_refusal_is_a_wrong_input_too(layers):
    with pytest.raises(InvalidInputError, match="only packages of the index"):
        await layers.get(["x @ https://host/x.whl"])
    with pytest.raises(RequirementRefused, match="not one text"):
        await layers.get("pandas")
    with pytest.raises(RequirementRefused, match="more than the"):
        await layers.get([f"x{number}" for number in range(1000)])
    for python in ("3", "3.11.2; x", "--help"):
        with pytest.raises(RequirementRefused, match="a Python is named"):
            await layers.get(["x"], python=python)
    with pytest.raises(RequirementRefused, match="a platform is named"):
        await layers.get(["x"], platform="linux --index x")


def test_requirements_have_one_form():
    assert normalize(
        ["B_b [Y,x] <3, >=2", "a.A;python_version>'3'", "a-a; python_version > '3'"]
    ) == (
        'a-a; python_version > "3"',
        "b-b[x,y]<3,>=2",
    )


async def test_no_such_package(layers):
    with pytest.raises(PackageNotFound, match="nowhere was not found"):
        await layers.get(["nowhere"])


async def test_requirements_that_contradict_each_other(layers, small):
    small.wheel("old", files={}, needs=["one<1"])
    with pytest.raises(PackageNotFound, match="one"):
        await layers.get(["one>=1", "old"])


async def test_no_index(tmp_path, monkeypatch):
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    layers = PackageLayers(tmp_path, index="http://name:secret@127.0.0.1:9/simple")
    with pytest.raises(IndexUnreachable, match="Connection refused") as caught:
        await layers.get(["one"])
    assert "secret" not in str(caught.value)


async def test_an_index_that_does_not_answer_in_time(tmp_path):
    async def silent(_reader, writer):
        await asyncio.sleep(30)
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    layers = PackageLayers(tmp_path, index=f"http://127.0.0.1:{port}/", build_seconds=0.5)
    with pytest.raises(PackageTimeout):
        await layers.get(["one"])
    server.close()


async def test_a_layer_has_a_largest_size(tmp_path, small):
    small.wheel("large", files={"large.txt": "\0" * 5_000_000})
    layers = PackageLayers(tmp_path / "layers", index=small.url, max_layer_bytes=3_000_000)
    with pytest.raises(PackageTooLarge, match="3000000"):
        await layers.get(["large"])
    assert whole(tmp_path / "layers") == []
    assert (await layers.get(["one"])).is_dir()
    layers.close()


@pytest.fixture
def no_uv(monkeypatch):
    from codin.sandbox.packages import uv

    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setattr(uv, "sys", SimpleNamespace(executable="/nowhere/python"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert shutil.which("uv") is None


async def test_pip_does_where_there_is_no_uv(layers, small, no_uv):
    small.wheel("four", files={"four.py": ""}, needs=["one>=1"], scripts={"say": "four:main"})
    told = []
    layer = await layers.get(["four"], say=told.append)
    assert {path.name for path in layer.glob("*.py")} == {"one.py", "four.py"}
    assert (layer / "bin" / "say").read_text().startswith("#!/usr/bin/env python3\n")
    record = json.loads((layer.parent / "layer.json").read_text())
    assert record["installer"] == "pip"
    assert {package["name"] for package in record["resolved"]} == {"one", "four"}
    assert all(package["hashes"][0].startswith("sha256:") for package in record["resolved"])
    assert told[0] == "resolving 1 requirements with pip"
    with pytest.raises(PackageNotFound, match="no-such-thing"):
        await layers.get(["no-such-thing"])
    with pytest.raises(PackageNotFound, match="one"):
        await layers.get(["four"], beside=["one==0.5"])
    with pytest.raises(SandboxUnavailable, match="pip install uv"):
        await layers.get(["one"], python="3.14")


async def test_pips_own_pip_does_too(layers, small, no_uv, monkeypatch):
    """The one that Python brings along, where nobody has installed any."""
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "pip" else real(name)
    )
    assert "runpy" in pip.command()[-1]
    layer = await layers.get(["one"])
    assert (layer / "one.py").is_file()


async def test_neither_uv_nor_pip(layers, small, no_uv, monkeypatch):
    monkeypatch.setattr(pip.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SandboxUnavailable, match=r"pip install 'codin\[platform\]'"):
        await layers.get(["one"])


async def test_pip_takes_no_place_and_nothing_without_a_hash():
    metadata = {"name": "x", "version": "1"}
    wheel = {"url": "https://i/x.whl", "archive_info": {"hashes": {"sha256": "00"}}}
    report = {"install": [{"metadata": metadata, "download_info": wheel, "is_direct": False}]}
    assert pip.read_report(json.dumps(report))[0].hashes == ("sha256:00",)
    report["install"][0]["is_direct"] = True
    with pytest.raises(PackageUnsafe, match="only packages of the index"):
        pip.read_report(json.dumps(report))
    report["install"][0] |= {"is_direct": False, "download_info": {"archive_info": {}}}
    with pytest.raises(PackageUnsafe, match="no hash"):
        pip.read_report(json.dumps(report))


async def test_pip_is_told_where_packages_come_from():
    environ = {"PIP_INDEX_URL": "https://own/simple", "PIP_TARGET": "/", "UV_INDEX": "n=https://b"}
    given = index_environment(None, environ, pip=True)
    assert pip.pip_environment(given) == {
        "PIP_INDEX_URL": "https://own/simple",
        "PIP_EXTRA_INDEX_URL": "https://b",
        "PIP_CONFIG_FILE": os.devnull,
    }
    assert index_environment(None, environ) == {"UV_INDEX": "n=https://b"}


async def test_what_is_there_already_stays_and_is_not_installed_again(layers, small):
    small.wheel("four", files={"four.py": ""}, needs=["one", "two<2"])
    small.wheel("one", "0.9", files={"one.py": ""})
    layer = await layers.get(["four"], beside=["one==0.9", "unknown.thing==3"])
    assert {path.name for path in layer.glob("*.py")} == {"two.py", "four.py"}
    with pytest.raises(PackageNotFound, match="two"):
        await layers.get(["four"], beside=["two==2.0"])
    with pytest.raises(RequirementRefused, match="exact version"):
        await layers.get(["four"], beside=["two>=2.0"])
    nothing = await layers.get(["one"], beside=["one==1.0"])
    assert list(nothing.iterdir()) == []


async def test_progress_is_told_and_nothing_is_when_it_is_there(layers, small):
    told = []
    await layers.get(["one", "two"], say=told.append)
    assert told[:2] == ["resolving 2 requirements with uv", "installing 2 packages"]
    assert told[2].startswith("2 packages are ready: ")
    del told[2:]
    await layers.get(["one", "two"], say=told.append)
    assert len(told) == 2


async def test_a_folder_that_others_may_write_to_is_not_believed(tmp_path, small):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(PermissionDenied, match="others may write there"):
        await PackageLayers(tmp_path / "open", index=small.url).get(["one"])
    with pytest.raises(PermissionDenied, match="XDG_CACHE_HOME"):
        await PackageLayers(small.wheel("x") / "below", index=small.url).get(["one"])


async def test_a_full_disk(tmp_path, small):
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    small.wheel("large", files={"large.txt": os.urandom(800_000).hex()})
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "none", disk], check=True)
    try:
        layers = PackageLayers(disk / "layers", index=small.url)
        with pytest.raises(PackageDiskFull, match="full"):
            await layers.get(["large"])
        assert whole(disk / "layers") == []
        assert (await layers.get(["one"])).is_dir()
        layers.close()
    finally:
        subprocess.run(["umount", disk], check=True)


async def test_settings_of_the_index_are_kept_without_secrets():
    environ = {
        "UV_INDEX": "https://me:secret@host/simple https://other/simple",
        "UV_INDEX_HOST_PASSWORD": "secret",
        "SECRET_KEY": "x",
        "HTTPS_PROXY": "http://p",
    }
    given = index_environment(None, environ)
    assert "SECRET_KEY" not in given
    assert given["UV_INDEX_HOST_PASSWORD"] == "secret"
    assert index_settings(given) == {"UV_INDEX": "https://host/simple https://other/simple"}
    only = index_environment("https://mine/", environ)
    assert (only["UV_DEFAULT_INDEX"], "UV_INDEX" in only) == ("https://mine/", False)


async def test_every_error_is_of_the_sandbox():
    from codin.sandbox.packages import errors

    for name in ("PackageError", "RequirementRefused", "IndexUnreachable", "PackageUnsafe"):
        assert issubclass(getattr(errors, name), SandboxError)
