"""What every sandbox must do: one suite that any provider can be run with.

Use it with pytest and pytest-asyncio (``asyncio_mode = "auto"``)::

    class TestMine(SandboxConformance):
        @pytest.fixture
        async def provider(self):
            yield MyProvider()

``unenforced`` names limits that the provider does not claim to keep; their checks then see that
they are refused.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from codin.errors import InvalidInputError
from codin.sandbox.base import (
    MIB,
    CodeResult,
    Limits,
    OutputChunk,
    Sandbox,
    SandboxProvider,
    SandboxSpec,
)
from codin.sandbox.errors import (
    CommandNotFound,
    CpuLimit,
    DiskLimit,
    LimitExceeded,
    OutOfMemory,
    OutputLimit,
    PermissionDenied,
    RemoteError,
    SandboxFileNotFound,
    SandboxGone,
    SandboxTimeout,
    SandboxUnavailable,
    WorkerGone,
)

SOON = 10.0
"""Seconds within which something that ought to end has to have ended, on a loaded machine."""

_EAT = "b = bytearray(400 << 20); import time; time.sleep(30)"
_BEAT = "while :; do date +%s%N > beat; sleep 0.05; done"


class SandboxBase:
    """The fixtures of the suites."""

    @pytest.fixture
    async def provider(self) -> AsyncIterator[SandboxProvider]:
        raise NotImplementedError("give the provider to be checked")
        yield  # noqa: PT022 - as the fixtures do that replace it

    @pytest.fixture
    async def sandbox(self, provider: SandboxProvider) -> AsyncIterator[Sandbox]:
        async with await provider.create(SandboxSpec()) as made:
            yield made


class CommandConformance(SandboxBase):
    """Commands: ``exec`` and ``start``."""

    async def test_output_and_exit_code(self, sandbox: Sandbox) -> None:
        result = await sandbox.exec(["sh", "-c", "echo out; echo err >&2; exit 3"])
        assert (result.exit_code, result.stdout, result.stderr) == (3, b"out\n", b"err\n")

    async def test_a_signal_is_a_negative_exit_code(self, sandbox: Sandbox) -> None:
        assert (await sandbox.exec(["sh", "-c", "kill -9 $$"])).exit_code == -9

    async def test_arguments_are_not_given_to_a_shell(self, sandbox: Sandbox) -> None:
        result = await sandbox.exec(["printf", "%s|", "$HOME", "a b", "; id", ""])
        assert result.stdout == b"$HOME|a b|; id||"

    async def test_stdin(self, sandbox: Sandbox) -> None:
        data = bytes(range(256)) * 1000
        assert (await sandbox.exec(["cat"], stdin=data)).stdout == data

    async def test_no_stdin_is_an_empty_one(self, sandbox: Sandbox) -> None:
        assert (await sandbox.exec(["cat"])).stdout == b""

    async def test_working_directory(self, sandbox: Sandbox) -> None:
        assert (await sandbox.exec(["pwd"])).stdout == b"/workspace\n"
        assert (await sandbox.exec(["pwd"], cwd="/tmp")).stdout == b"/tmp\n"  # noqa: S108

    async def test_working_directory_that_is_not_there(self, sandbox: Sandbox) -> None:
        with pytest.raises(SandboxFileNotFound):
            await sandbox.exec(["pwd"], cwd="nowhere")

    async def test_environment(self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CODIN_TEST_SECRET", "of the host")
        result = await sandbox.exec(["env"], env={"GIVEN": "a\nb"})
        assert b"GIVEN=a\nb" in result.stdout
        assert b"CODIN_TEST_SECRET" not in result.stdout

    async def test_output_comes_while_it_runs(self, sandbox: Sandbox) -> None:
        process = await sandbox.start(["sh", "-c", "echo first; read x; echo $x"], stdin=True)
        output = process.output()
        assert (await anext(output)).data == b"first\n"
        await process.write(b"second\n")
        assert (await anext(output)).data == b"second\n"
        await process.close_stdin()
        assert (await process.wait()).exit_code == 0

    async def test_on_output_sees_all(self, sandbox: Sandbox) -> None:
        seen: list[OutputChunk] = []
        result = await sandbox.exec(["seq", "20000"], on_output=seen.append)
        assert b"".join(chunk.data for chunk in seen) == result.stdout
        assert result.stdout.endswith(b"\n20000\n")

    async def test_unknown_command(self, sandbox: Sandbox) -> None:
        with pytest.raises(CommandNotFound, match="no-such-program"):
            await sandbox.exec(["no-such-program"])

    async def test_a_file_that_is_no_program(self, sandbox: Sandbox) -> None:
        await sandbox.fs.write("data.txt", b"text")
        with pytest.raises(PermissionDenied):
            await sandbox.exec(["/workspace/data.txt"])

    @pytest.mark.parametrize("argv", [[], [""], ["a\0b"]])
    async def test_what_is_no_command(self, sandbox: Sandbox, argv: list[str]) -> None:
        with pytest.raises(InvalidInputError):
            await sandbox.exec(argv)

    async def test_commands_run_at_the_same_time(self, sandbox: Sandbox) -> None:
        waits = "echo > $0; while [ ! -e $1 ]; do sleep 0.02; done"
        both = [["sh", "-c", waits, "a", "b"], ["sh", "-c", waits, "b", "a"]]
        async with asyncio.timeout(SOON):
            results = await asyncio.gather(*(sandbox.exec(argv) for argv in both))
        assert [result.exit_code for result in results] == [0, 0]

    async def test_cancelling_ends_it(self, sandbox: Sandbox) -> None:
        task = asyncio.create_task(sandbox.exec(["sh", "-c", _BEAT]))
        await _until_file(sandbox, "beat")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await _still(sandbox)

    async def test_kill_ends_what_it_started(self, sandbox: Sandbox) -> None:
        process = await sandbox.start(["sh", "-c", f"(setsid sh -c '{_BEAT}') & wait"])
        await _until_file(sandbox, "beat")
        await process.kill()
        await _still(sandbox)

    async def test_what_it_leaves_running_ends_with_it(self, sandbox: Sandbox) -> None:
        daemon = (
            f"setsid sh -c '{_BEAT}' >/dev/null 2>&1 & while [ ! -e beat ]; do sleep 0.02; done"
        )
        assert (await sandbox.exec(["sh", "-c", daemon])).exit_code == 0
        await _still(sandbox)

    async def test_usage(self, sandbox: Sandbox) -> None:
        result = await sandbox.exec([sys.executable, "-c", "b = bytearray(50 << 20); sum(b)"])
        assert result.usage.wall_seconds > 0
        assert result.usage.cpu_seconds > 0
        peak = result.usage.peak_memory_bytes
        assert peak is None or 50 * MIB <= peak < 500 * MIB


class LimitConformance(SandboxBase):
    """Limits bite, and are told by the error that is theirs."""

    async def _limited(self, provider: SandboxProvider, limits: Limits) -> Sandbox:
        return await provider.create(SandboxSpec(limits=limits))

    async def test_wall_time(self, sandbox: Sandbox) -> None:
        began = time.monotonic()
        with pytest.raises(SandboxTimeout, match=r"0\.3 s") as caught:
            await sandbox.exec(["sleep", "60"], limits=Limits(wall_seconds=0.3))
        assert time.monotonic() - began < SOON
        assert caught.value.limit == "wall_seconds"

    async def test_ignoring_sigterm_does_not_help(self, sandbox: Sandbox) -> None:
        stubborn = f"trap '' TERM INT HUP; {_BEAT}"
        with pytest.raises(SandboxTimeout):
            await sandbox.exec(["sh", "-c", stubborn], limits=Limits(wall_seconds=0.3))
        await _still(sandbox)

    async def test_output(self, sandbox: Sandbox) -> None:
        with pytest.raises(OutputLimit) as caught:
            await sandbox.exec(["cat", "/dev/zero"], limits=Limits(output_bytes=100_000))
        assert caught.value.limit == "output_bytes"

    async def test_output_up_to_the_limit(self, sandbox: Sandbox) -> None:
        argv = ["head", "-c", "100000", "/dev/zero"]
        result = await sandbox.exec(argv, limits=Limits(output_bytes=100_000))
        assert len(result.stdout) == 100_000

    async def test_memory(self, provider: SandboxProvider) -> None:
        async with await self._limited(provider, Limits(memory_bytes=100 * MIB)) as sandbox:
            with pytest.raises(OutOfMemory) as caught:
                await sandbox.exec([sys.executable, "-c", _EAT])
            assert caught.value.limit == "memory_bytes"

    async def test_memory_of_children_together(self, provider: SandboxProvider) -> None:
        code = (
            "import os, time\n"
            "for _ in range(5):\n    if os.fork() == 0: break\n"
            "b = bytearray(50 << 20); time.sleep(30)"
        )
        async with await self._limited(provider, Limits(memory_bytes=150 * MIB)) as sandbox:
            with pytest.raises(OutOfMemory):
                await sandbox.exec([sys.executable, "-c", code])

    async def test_processes(self, provider: SandboxProvider) -> None:
        code = (
            "import os, time\nn = 0\n"
            "try:\n    for _ in range(200):\n"
            "        if os.fork() == 0: time.sleep(30)\n        n += 1\n"
            "except OSError: pass\n"
            "print(n)"
        )
        async with await self._limited(provider, Limits(processes=20)) as sandbox:
            try:
                result = await sandbox.exec([sys.executable, "-c", code])
            except PermissionDenied:
                return  # ended for it: also a limit
            assert 10 <= int(result.stdout) <= 20

    async def test_processor_time(self, provider: SandboxProvider) -> None:
        async with await self._limited(provider, Limits(cpu_seconds=0.3)) as sandbox:
            with pytest.raises(CpuLimit) as caught:
                await sandbox.exec(["sh", "-c", "while :; do :; done"])
            assert caught.value.limit == "cpu_seconds"

    async def test_disk_of_the_workspace(self, provider: SandboxProvider) -> None:
        script = "i=0; while :; do head -c 900000 /dev/zero > f$i; i=$((i+1)); sleep 0.01; done"
        async with await self._limited(provider, Limits(disk_bytes=5 * MIB)) as sandbox:
            with pytest.raises(DiskLimit) as caught:
                await sandbox.exec(["sh", "-c", script])
            assert caught.value.limit == "disk_bytes"

    async def test_disk_of_tmp(self, provider: SandboxProvider) -> None:
        script = "for i in 1 2 3 4; do head -c 900000 /dev/zero > /tmp/$i || exit 9; done"
        async with await self._limited(provider, Limits(disk_bytes=2 * MIB)) as sandbox:
            assert (await sandbox.exec(["sh", "-c", script])).exit_code == 9

    async def test_disk_when_written_from_outside(self, provider: SandboxProvider) -> None:
        async with await self._limited(provider, Limits(disk_bytes=1 * MIB)) as sandbox:
            with pytest.raises(DiskLimit):
                await sandbox.fs.write("big", bytes(2 * MIB))

    async def test_a_call_can_only_tighten(self, provider: SandboxProvider) -> None:
        async with await self._limited(provider, Limits(wall_seconds=0.3)) as sandbox:
            with pytest.raises(SandboxTimeout):
                await sandbox.exec(["sleep", "9"], limits=Limits(wall_seconds=None))

    async def test_a_limit_ends_one_command_and_not_the_sandbox(self, sandbox: Sandbox) -> None:
        with pytest.raises(LimitExceeded):
            await sandbox.exec(["sleep", "9"], limits=Limits(wall_seconds=0.1))
        assert (await sandbox.exec(["echo", "on"])).stdout == b"on\n"

    async def test_what_cannot_be_enforced_is_refused(self, provider: SandboxProvider) -> None:
        enforced = (await provider.probe()).enforced
        for name in {"memory_bytes", "processes", "cpu_seconds", "disk_bytes"} - enforced:
            with pytest.raises(SandboxUnavailable, match=name):
                await provider.create(SandboxSpec(limits=Limits()))
        if "network" in enforced and provider.name == "local":
            with pytest.raises(SandboxUnavailable, match="network"):
                await provider.create(SandboxSpec(limits=Limits(network="open")))


class FileConformance(SandboxBase):
    """``Sandbox.fs``."""

    async def test_write_and_read(self, sandbox: Sandbox) -> None:
        data = bytes(range(256)) * 5000
        await sandbox.fs.write("a/b/c.bin", data)
        assert await sandbox.fs.read("/workspace/a/b/c.bin") == data
        assert await sandbox.fs.read("a/b/c.bin", max_bytes=10) == data[:10]

    async def test_writing_replaces(self, sandbox: Sandbox) -> None:
        await sandbox.fs.write("a", b"longer text")
        await sandbox.fs.write("a", b"short")
        assert await sandbox.fs.read("a") == b"short"
        assert [info.path for info in await sandbox.fs.list()] == ["/workspace/a"]

    async def test_files_are_the_same_inside(self, sandbox: Sandbox) -> None:
        await sandbox.fs.write("in.txt", b"from outside")
        result = await sandbox.exec(["sh", "-c", "cat in.txt; echo inside > out.txt; rm in.txt"])
        assert (result.exit_code, result.stdout) == (0, b"from outside")
        assert await sandbox.fs.read("out.txt") == b"inside\n"
        with pytest.raises(SandboxFileNotFound):
            await sandbox.fs.read("in.txt")

    async def test_list_and_stat(self, sandbox: Sandbox) -> None:
        await sandbox.fs.write("d/e/f.txt", b"12345")
        (folder,) = await sandbox.fs.list()
        assert (folder.path, folder.is_dir) == ("/workspace/d", True)
        everything = await sandbox.fs.list(recursive=True)
        names = [info.path.removeprefix("/workspace/") for info in everything]
        assert names == ["d", "d/e", "d/e/f.txt"]
        info = await sandbox.fs.stat("d/e/f.txt")
        assert (info.size, info.is_dir) == (5, False)
        assert abs(info.modified - time.time()) < 60

    async def test_remove(self, sandbox: Sandbox) -> None:
        await sandbox.fs.write("d/e", b"")
        await sandbox.fs.write("f", b"")
        await sandbox.fs.remove("d")
        await sandbox.fs.remove("f")
        assert await sandbox.fs.list() == []

    async def test_move(self, sandbox: Sandbox) -> None:
        await sandbox.fs.write("a", b"x")
        await sandbox.fs.move("a", "new/b")
        assert await sandbox.fs.read("new/b") == b"x"

    async def test_upload_and_download(self, sandbox: Sandbox, tmp_path: Path) -> None:
        (tmp_path / "up").write_bytes(b"carried")
        await sandbox.fs.upload(tmp_path / "up", "there")
        await sandbox.fs.download("there", tmp_path / "down")
        assert (tmp_path / "down").read_bytes() == b"carried"

    @pytest.mark.parametrize("verb", ["read", "stat", "remove", "list"])
    async def test_missing(self, sandbox: Sandbox, verb: str) -> None:
        with pytest.raises(SandboxFileNotFound, match="nothing"):
            await getattr(sandbox.fs, verb)("nothing")

    @pytest.mark.parametrize(
        "path", ["/etc/passwd", "../x", "a/../../x", "/workspace/../etc/passwd", "", "a\0b", "/"]
    )
    async def test_outside(self, sandbox: Sandbox, path: str) -> None:
        for verb in (sandbox.fs.read, sandbox.fs.stat, sandbox.fs.remove, sandbox.fs.list):
            with pytest.raises(PermissionDenied):
                await verb(path)
        with pytest.raises(PermissionDenied):
            await sandbox.fs.write(path, b"x")

    async def test_links_to_outside(self, sandbox: Sandbox) -> None:
        links = "ln -s /etc/passwd p; ln -s ../../etc d; ln -s / r; ln -s /proc/self/root q"
        await sandbox.exec(["sh", "-c", links])
        for path in ("p", "d/passwd", "r/etc/passwd", "q/etc/passwd"):
            with pytest.raises(PermissionDenied):
                await sandbox.fs.read(path)
            with pytest.raises(PermissionDenied):
                await sandbox.fs.write(path, b"x")
        await sandbox.fs.remove("p")
        assert (await sandbox.exec(["test", "-e", "/etc/passwd"])).exit_code == 0

    async def test_links_inside(self, sandbox: Sandbox) -> None:
        await sandbox.fs.write("real/file", b"data")
        await sandbox.exec(["sh", "-c", "ln -s real r; ln -s /workspace/real/file f; ln -s x x"])
        assert await sandbox.fs.read("r/file") == b"data"
        assert await sandbox.fs.read("f") == b"data"
        with pytest.raises(PermissionDenied):
            await sandbox.fs.read("x")

    async def test_what_is_not_a_regular_file(self, sandbox: Sandbox) -> None:
        await sandbox.exec(["sh", "-c", "mkfifo pipe; mkdir folder"])
        for path in ("pipe", "folder"):
            with pytest.raises(PermissionDenied):
                await asyncio.wait_for(sandbox.fs.read(path), SOON)

    async def test_a_mount_is_shown_and_read_only(
        self, provider: SandboxProvider, tmp_path: Path
    ) -> None:
        from codin.sandbox.base import Mount

        (tmp_path / "in").write_text("shown")
        spec = SandboxSpec(mounts=(Mount(tmp_path, "/workspace/data"), Mount(tmp_path, "/data")))
        async with await provider.create(spec) as sandbox:
            for folder in ("data", "/data"):
                assert await sandbox.fs.read(f"{folder}/in") == b"shown"
                result = await sandbox.exec(["sh", "-c", f"cat {folder}/in; echo > {folder}/new"])
                assert result.stdout == b"shown"
                assert result.exit_code != 0
                with pytest.raises(PermissionDenied):
                    await sandbox.fs.write(f"{folder}/in", b"x")
        assert not (tmp_path / "new").exists()


class CodeConformance(SandboxBase):
    """``run_code``."""

    async def test_value_of_the_last_expression(self, sandbox: Sandbox) -> None:
        result = await sandbox.run_code("x = [1]\nprint('said')\nx * 2")
        assert (result.value, result.stdout, result.error) == ("[1, 1]", "said\n", None)

    async def test_state_is_kept_by_session(self, sandbox: Sandbox) -> None:
        await sandbox.run_code("x = 1\ndef f(): return x + 1")
        assert (await sandbox.run_code("f()")).value == "2"
        other = await sandbox.run_code("x", session="other")
        assert "NameError" in (other.error or "")

    async def test_an_error_has_only_the_frames_of_the_code(self, sandbox: Sandbox) -> None:
        result = await sandbox.run_code("def f():\n    return 1 / 0\n\nf()")
        lines = (result.error or "").splitlines()
        assert lines[-1] == "ZeroDivisionError: division by zero"
        assert len([line for line in lines if line.lstrip().startswith("File ")]) == 2
        assert "return 1 / 0" in (result.error or "")

    async def test_a_syntax_error(self, sandbox: Sandbox) -> None:
        assert "SyntaxError" in ((await sandbox.run_code("1 +")).error or "")

    async def test_output_as_it_comes(self, sandbox: Sandbox) -> None:
        seen: list[tuple[float, bytes]] = []
        code = "import time\nprint('a', flush=True)\ntime.sleep(0.5)\nprint('b')"
        await sandbox.run_code(
            code, on_output=lambda chunk: seen.append((time.monotonic(), chunk.data))
        )
        assert b"".join(data for _, data in seen) == b"a\nb\n"
        assert seen[-1][0] - seen[0][0] > 0.3

    async def test_output_of_children(self, sandbox: Sandbox) -> None:
        code = (
            "import subprocess, sys\nsubprocess.run(['echo', 'child'])\nprint('e', file=sys.stderr)"
        )
        result = await sandbox.run_code(code)
        assert (result.stdout, result.stderr) == ("child\n", "e\n")

    async def test_await(self, sandbox: Sandbox) -> None:
        result = await sandbox.run_code(
            "import asyncio\nawait asyncio.sleep(0)\nawait asyncio.sleep(0, 7)"
        )
        assert result.value == "7"

    async def test_exit(self, sandbox: Sandbox) -> None:
        assert (await sandbox.run_code("import sys; sys.exit(0)")).error is None
        assert "3" in ((await sandbox.run_code("import sys; sys.exit(3)")).error or "")

    async def test_input_is_empty(self, sandbox: Sandbox) -> None:
        assert "EOFError" in ((await sandbox.run_code("input()")).error or "")

    async def test_time_is_up(self, sandbox: Sandbox) -> None:
        await sandbox.run_code("x = 1")
        with pytest.raises(SandboxTimeout):
            await sandbox.run_code("while True: pass", timeout=0.5)
        await self._begins_anew(sandbox)

    async def test_memory_is_up(self, provider: SandboxProvider) -> None:
        async with await provider.create(
            SandboxSpec(limits=Limits(memory_bytes=150 * MIB))
        ) as sandbox:
            await sandbox.run_code("x = 1")
            with pytest.raises(OutOfMemory):
                await sandbox.run_code(_EAT)
            await self._begins_anew(sandbox)

    async def test_output_is_up(self, provider: SandboxProvider) -> None:
        async with await provider.create(
            SandboxSpec(limits=Limits(output_bytes=300_000))
        ) as sandbox:
            await sandbox.run_code("x = 1")
            with pytest.raises(OutputLimit):
                await sandbox.run_code("while True: print('y' * 1000)")
            await self._begins_anew(sandbox)

    async def test_the_process_ends(self, sandbox: Sandbox) -> None:
        await sandbox.run_code("x = 1")
        result = await sandbox.run_code("import os; print('bye', flush=True); os._exit(3)")
        assert "exit code 3" in (result.error or "")
        await self._begins_anew(sandbox)

    async def test_the_process_crashes(self, sandbox: Sandbox) -> None:
        result = await sandbox.run_code("import ctypes; ctypes.string_at(0)")
        assert "signal 11" in (result.error or "")

    async def test_cancelling_ends_it(self, sandbox: Sandbox) -> None:
        beat = (
            "import time\nwhile True:\n open('beat', 'w').write(str(time.time()))\n time.sleep(.05)"
        )
        task = asyncio.create_task(sandbox.run_code(beat))
        await _until_file(sandbox, "beat")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await _still(sandbox)
        assert (await sandbox.run_code("1")).state_lost

    async def test_bash_keeps_folder_and_environment(self, sandbox: Sandbox) -> None:
        first = await sandbox.run_code("mkdir d; cd d; export A='x\ny'; echo hi", language="bash")
        assert (first.stdout, first.error) == ("hi\n", None)
        second = await sandbox.run_code('pwd; echo "$A"; false', language="bash")
        assert second.stdout == "/workspace/d\nx\ny\n"
        assert "1" in (second.error or "")

    async def test_bash_with_bad_syntax(self, sandbox: Sandbox) -> None:
        result = await sandbox.run_code("if", language="bash")
        assert result.error
        assert "syntax error" in result.stderr

    async def test_bash_does_not_wait_for_what_it_leaves(self, sandbox: Sandbox) -> None:
        result = await asyncio.wait_for(
            sandbox.run_code("sleep 60 & echo on", language="bash"), SOON
        )
        assert result.stdout == "on\n"

    async def test_unknown_language(self, sandbox: Sandbox) -> None:
        with pytest.raises(InvalidInputError, match="cobol"):
            await sandbox.run_code("x", language="cobol")

    async def _begins_anew(self, sandbox: Sandbox) -> None:
        after: CodeResult = await sandbox.run_code("x")
        assert "NameError" in (after.error or "")
        assert after.state_lost
        assert not (await sandbox.run_code("1")).state_lost


class WorkerConformance(SandboxBase):
    """``Sandbox.worker``: calls of functions and objects."""

    SOURCE = (
        "import time\n"
        "def add(a, b=0): return a + b\n"
        "def timeout(timeout, source): return [timeout, source]\n"
        "def count(n):\n    for i in range(n):\n        print(i, flush=True)\n        yield i\n"
        "async def later(x): return x\n"
        "async def several():\n    yield 1\n    yield 2\n"
        "def fail(): raise ValueError('no good')\n"
        "def thing(): return object()\n"
        "def forever():\n    while True: time.sleep(1)\n"
        "class Counter:\n"
        "    def __init__(self, n): self.n = n\n"
        "    def more(self, by=1):\n        self.n += by\n        return self.n\n"
    )

    async def test_call(self, sandbox: Sandbox) -> None:
        worker = await sandbox.worker()
        assert await worker.call("math:sqrt", [9]) == 3.0
        assert await worker.call("m:add", [1], {"b": 2}, source=self.SOURCE) == 3
        assert await worker.call(
            "m:timeout", (), {"timeout": 1, "source": "s"}, source=self.SOURCE
        ) == [1, "s"]
        assert await worker.call("m:later", [{"k": [b"b", None, 1.5]}], source=self.SOURCE) == {
            "k": [b"b", None, 1.5]
        }

    async def test_generators(self, sandbox: Sandbox) -> None:
        worker = await sandbox.worker()
        call = worker.call("m:count", [3], source=self.SOURCE)
        assert [item async for item in call.items()] == [0, 1, 2]
        assert b"".join([chunk.data async for chunk in call.output()]) == b"0\n1\n2\n"
        assert await call == [0, 1, 2]
        assert await worker.call("m:count", [0], source=self.SOURCE) == []
        assert await worker.call("m:several", source=self.SOURCE) == [1, 2]

    async def test_objects(self, sandbox: Sandbox) -> None:
        worker = await sandbox.worker()
        await worker.construct("c", "m:Counter", [5], source=self.SOURCE)
        assert await worker.method("c", "more") == 6
        assert await worker.method("c", "more", (), {"by": 4}) == 10
        with pytest.raises(RemoteError, match="__class__"):
            await worker.method("c", "__class__")

    async def test_errors_are_data(self, sandbox: Sandbox) -> None:
        worker = await sandbox.worker()
        with pytest.raises(RemoteError) as caught:
            await worker.call("m:fail", source=self.SOURCE)
        assert (caught.value.type_name, caught.value.message) == ("ValueError", "no good")
        assert "in fail" in caught.value.remote_traceback
        for target in ("no_such_module:f", "m:no_such_function"):
            with pytest.raises(RemoteError):
                await worker.call(target, source=None if target.startswith("no") else self.SOURCE)

    async def test_a_value_that_is_not_data(self, sandbox: Sandbox) -> None:
        worker = await sandbox.worker()
        with pytest.raises(RemoteError, match="object is not data"):
            await worker.call("m:thing", source=self.SOURCE)
        assert await worker.call("m:add", [1], source=self.SOURCE) == 1

    async def test_arguments_that_are_not_data(self, sandbox: Sandbox) -> None:
        worker = await sandbox.worker()
        with pytest.raises(InvalidInputError):
            await worker.call("m:add", [object()], source=self.SOURCE)

    async def test_a_value_that_is_too_large(self, sandbox: Sandbox) -> None:
        worker = await sandbox.worker()
        with pytest.raises(OutputLimit):
            await worker.call("builtins:bytes", [5 * MIB])
        assert await worker.call("math:sqrt", [9]) == 3.0

    async def test_timeout_ends_it(self, sandbox: Sandbox) -> None:
        worker = await sandbox.worker()
        with pytest.raises(SandboxTimeout):
            await worker.call("m:forever", source=self.SOURCE, timeout=0.3)
        with pytest.raises((WorkerGone, SandboxTimeout)):
            await worker.call("math:sqrt", [9])

    async def test_cancel(self, sandbox: Sandbox) -> None:
        worker = await sandbox.worker()
        call = worker.call("m:forever", source=self.SOURCE)
        await asyncio.sleep(0.2)
        await asyncio.wait_for(call.cancel(), SOON)
        with pytest.raises(asyncio.CancelledError):
            await call

    async def test_calls_wait_for_each_other(self, sandbox: Sandbox) -> None:
        worker = await sandbox.worker()
        values = await asyncio.gather(*(worker.call("math:sqrt", [n * n]) for n in range(20)))
        assert values == [float(n) for n in range(20)]

    async def test_close(self, sandbox: Sandbox) -> None:
        worker = await sandbox.worker()
        await worker.close()
        await worker.close()
        with pytest.raises(WorkerGone):
            await worker.call("math:sqrt", [9])


class LifeConformance(SandboxBase):
    """The sandbox's own life."""

    async def test_nothing_works_after_its_end(self, provider: SandboxProvider) -> None:
        sandbox = await provider.create(SandboxSpec())
        worker = await sandbox.worker()
        await sandbox.run_code("1")
        await sandbox.kill()
        await sandbox.kill()
        for call in (
            sandbox.exec(["true"]),
            sandbox.start(["true"]),
            sandbox.run_code("1"),
            sandbox.worker(),
            sandbox.fs.read("x"),
            sandbox.fs.write("x", b""),
            worker.run_code("1"),
        ):
            with pytest.raises(SandboxGone):
                await call

    async def test_its_end_ends_what_runs(self, provider: SandboxProvider) -> None:
        sandbox = await provider.create(SandboxSpec())
        tasks = [
            asyncio.create_task(sandbox.exec(["sleep", "60"])),
            asyncio.create_task(sandbox.run_code("import time; time.sleep(60)")),
        ]
        await asyncio.sleep(0.3)
        await asyncio.wait_for(sandbox.kill(), SOON)
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, SandboxGone)

    async def test_a_given_workspace_stays(self, provider: SandboxProvider, tmp_path: Path) -> None:
        async with await provider.create(SandboxSpec(workspace=tmp_path / "w")) as sandbox:
            await sandbox.fs.write("kept", b"x")
        assert (tmp_path / "w" / "kept").read_bytes() == b"x"

    async def test_sandboxes_do_not_see_each_other(self, provider: SandboxProvider) -> None:
        async with (
            await provider.create(SandboxSpec()) as one,
            await provider.create(SandboxSpec()) as two,
        ):
            assert one.id != two.id
            await one.fs.write("secret", b"of one")
            found = await two.exec(
                ["sh", "-c", "find /workspace /tmp /run /var /home /root -name secret 2>/dev/null"]
            )
            assert found.stdout == b""

    async def test_the_environment_of_the_spec(self, provider: SandboxProvider) -> None:
        async with await provider.create(SandboxSpec(env={"A": "1", "B": "2"})) as sandbox:
            result = await sandbox.exec(["sh", "-c", "echo $A$B"], env={"B": "3"})
            assert result.stdout == b"13\n"

    async def test_less_isolation_than_asked_for_is_refused(
        self, provider: SandboxProvider
    ) -> None:
        from codin.sandbox.base import Isolation

        order = list(Isolation)
        given = (await provider.probe()).isolation
        for more in order[order.index(given) + 1 :]:
            with pytest.raises(SandboxUnavailable, match=more.value):
                await provider.create(replace(SandboxSpec(), least=more))


class IsolationConformance(SandboxBase):
    """What code inside cannot reach."""

    async def test_it_is_not_root(self, sandbox: Sandbox) -> None:
        assert int((await sandbox.exec(["id", "-u"])).stdout) != 0

    async def test_there_is_no_network(self, sandbox: Sandbox) -> None:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        code = "import socket; socket.create_connection((%r, %d), timeout=2)"
        async with server:
            for host, number in (("127.0.0.1", port), ("192.0.2.1", 80)):
                result = await sandbox.run_code(code % (host, number))
                assert "Error" in (result.error or "")

    @pytest.mark.parametrize("path", ["/etc/shadow", "/root/.ssh", "/home", "/var/log", "/sys"])
    async def test_files_of_the_host(self, sandbox: Sandbox, path: str) -> None:
        result = await sandbox.exec(["sh", "-c", f"cat {path} || ls {path}/*"])
        assert (result.exit_code != 0, result.stdout) == (True, b"")

    @pytest.mark.parametrize(
        "path", ["/usr/x", "/etc/x", "/x", "/dev/x", "/proc/sys/kernel/core_pattern"]
    )
    async def test_the_system_is_read_only(self, sandbox: Sandbox, path: str) -> None:
        assert (await sandbox.exec(["sh", "-c", f"echo x >> {path}"])).exit_code != 0

    async def test_processes_of_the_host(self, sandbox: Sandbox) -> None:
        result = await sandbox.exec(["sh", "-c", "ls /proc | grep -c '^[0-9]'"])
        assert int(result.stdout) < 10

    async def test_no_new_user_namespace(self, sandbox: Sandbox) -> None:
        code = "import ctypes; ctypes.CDLL(None).unshare(0x10000000)"
        assert (await sandbox.run_code(code)).value == "-1"

    async def test_no_capabilities(self, sandbox: Sandbox) -> None:
        result = await sandbox.exec(["grep", "CapEff", "/proc/self/status"])
        assert int(result.stdout.split()[1], 16) == 0


class SandboxConformance(
    CommandConformance,
    LimitConformance,
    FileConformance,
    CodeConformance,
    WorkerConformance,
    LifeConformance,
    IsolationConformance,
):
    """All of it."""


async def _until_file(sandbox: Sandbox, path: str) -> None:
    async with asyncio.timeout(SOON):
        while True:
            try:
                if await sandbox.fs.read(path):
                    return
            except SandboxFileNotFound:
                pass
            await asyncio.sleep(0.02)


async def _still(sandbox: Sandbox) -> None:
    """Nothing writes to ``beat`` any more."""
    before = await sandbox.fs.read("beat")
    await asyncio.sleep(0.25)
    assert await sandbox.fs.read("beat") == before
