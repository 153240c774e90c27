"""Packages of a sandbox: found by all that runs in it, changed by nothing."""

import pytest

from codin.sandbox import Mount, SandboxSpec
from codin.sandbox.errors import PermissionDenied
from codin.sandbox.packages import PackageLayers, PackageNotFound


@pytest.fixture
def greeting(index):
    index.wheel("helper", files={"helper.py": "WORD = 'hello'\n"})
    return index.wheel(
        "greeting",
        files={"greeting.py": "import helper\ndef main():\n    print(helper.WORD, 'there')\n"},
        needs=["helper>=1"],
        scripts={"greet": "greeting:main"},
    )


@pytest.fixture
async def sandbox(provider, greeting):
    async with await provider.create(SandboxSpec(requirements=("greeting",))) as sandbox:
        yield sandbox


async def test_workers_import_them(sandbox):
    result = await sandbox.run_code("import greeting; greeting.main()")
    assert (result.stdout, result.error) == ("hello there\n", None)


async def test_a_worker_calls_their_functions(sandbox):
    worker = await sandbox.worker()
    assert await worker.call("greeting:main") is None
    await worker.close()


async def test_python_commands_import_them(sandbox):
    result = await sandbox.exec(["python3", "-c", "import greeting; greeting.main()"])
    assert result.stdout == b"hello there\n"


async def test_their_scripts_are_commands(sandbox):
    result = await sandbox.exec(["greet"])
    assert (result.stdout, result.stderr) == (b"hello there\n", b"")


async def test_nothing_inside_changes_them(sandbox):
    script = "echo x > /packages/greeting.py; rm -rf /packages/helper.py; chmod 777 /packages"
    result = await sandbox.exec(["sh", "-c", script])
    assert result.stderr.count(b"Read-only file system") == 3
    with pytest.raises(PermissionDenied):
        await sandbox.fs.write("/packages/new.py", b"")
    assert b"hello" in await sandbox.fs.read("/packages/helper.py")


async def test_a_sandbox_without_requirements_has_none(provider, greeting):
    async with await provider.create(SandboxSpec()) as sandbox:
        result = await sandbox.exec(["python3", "-c", "import greeting"])
        assert b"No module named 'greeting'" in result.stderr
        assert (await sandbox.exec(["test", "-e", "/packages"])).exit_code == 1


async def test_they_come_before_what_the_platform_itself_has_installed(provider, index):
    index.wheel("msgpack", "99.0", files={"msgpack/__init__.py": "version = (99, 0)\n"})
    async with await provider.create(SandboxSpec(requirements=("msgpack>=99",))) as sandbox:
        result = await sandbox.exec(["python3", "-c", "import msgpack; print(msgpack.version)"])
        assert result.stdout == b"(99, 0)\n"
        # the Worker speaks by its own, and goes on
        assert (await sandbox.run_code("1 + 1")).value == "2"


async def test_variables_that_were_given_stand(provider, greeting):
    spec = SandboxSpec(requirements=("greeting",), env={"PYTHONPATH": "/workspace"})
    async with await provider.create(spec) as sandbox:
        result = await sandbox.exec(["python3", "-c", "import os; print(os.environ['PYTHONPATH'])"])
        assert result.stdout == b"/workspace\n"


async def test_a_mount_does_not_go_where_packages_are(provider, tmp_path):
    with pytest.raises(PermissionDenied, match="/packages"):
        await provider.create(SandboxSpec(mounts=(Mount(tmp_path, "/packages"),)))


async def test_what_cannot_be_had_makes_no_sandbox(provider):
    with pytest.raises(PackageNotFound, match="nowhere-to-be-found"):
        await provider.create(SandboxSpec(requirements=("nowhere-to-be-found",)))


@pytest.mark.slow
async def test_a_package_of_the_real_index(tmp_path):
    """With files of its own kind: compiled modules, and libraries beside them."""
    from codin.sandbox import LocalSandboxProvider

    layers = PackageLayers(tmp_path / "layers")
    provider = LocalSandboxProvider(layers=layers)
    try:
        spec = SandboxSpec(requirements=("msgspec>=0.19",))
        async with await provider.create(spec) as sandbox:
            code = "import msgspec\nmsgspec.json.encode([1, {'a': 2}]), msgspec.__file__"
            result = await sandbox.run_code(code)
            assert result.error is None
            assert "/packages/msgspec/" in result.value
            assert "b'[1,{\"a\":2}]'" in result.value
    finally:
        await provider.close()
        layers.close()
