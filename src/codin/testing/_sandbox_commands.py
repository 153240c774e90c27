"""Checks of sandboxes: commands and limits."""

from __future__ import annotations

import asyncio
import signal
import sys
import time

import pytest

from codin.errors import InvalidInputError
from codin.sandbox.base import MIB, Limits, Sandbox, SandboxProvider, SandboxSpec
from codin.sandbox.errors import (
    CommandNotFound,
    CpuLimit,
    DiskLimit,
    LimitExceeded,
    OutOfMemory,
    OutputLimit,
    PermissionDenied,
    SandboxFileNotFound,
    SandboxTimeout,
    SandboxUnavailable,
)
from codin.sandbox.outcome import OutputChunk
from codin.testing._sandbox_base import BEAT, EAT, SOON, SandboxBase, still, until_file


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

    async def test_a_signal_reaches_the_command(self, sandbox: Sandbox) -> None:
        script = "trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.05; done"
        process = await sandbox.start(["sh", "-c", script])
        output = process.output()
        assert (await anext(output)).data == b"ready\n"
        await process.signal(signal.SIGINT)
        async with asyncio.timeout(SOON):
            assert (await anext(output)).data == b"caught\n"
            assert (await process.wait()).exit_code == 7
        await process.signal(signal.SIGINT)

    async def test_a_signal_that_ends_the_command(self, sandbox: Sandbox) -> None:
        process = await sandbox.start(["sh", "-c", "echo ready; exec sleep 60"])
        assert (await anext(process.output())).data == b"ready\n"
        await process.signal(signal.SIGTERM)
        async with asyncio.timeout(SOON):
            assert (await process.wait()).exit_code == -signal.SIGTERM

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
        task = asyncio.create_task(sandbox.exec(["sh", "-c", BEAT]))
        await until_file(sandbox, "beat")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await still(sandbox)

    async def test_kill_ends_what_it_started(self, sandbox: Sandbox) -> None:
        process = await sandbox.start(["sh", "-c", f"(setsid sh -c '{BEAT}') & wait"])
        await until_file(sandbox, "beat")
        await process.kill()
        await still(sandbox)

    async def test_what_it_leaves_running_ends_with_it(self, sandbox: Sandbox) -> None:
        daemon = f"setsid sh -c '{BEAT}' >/dev/null 2>&1 & while [ ! -e beat ]; do sleep 0.02; done"
        assert (await sandbox.exec(["sh", "-c", daemon])).exit_code == 0
        await still(sandbox)

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
        stubborn = f"trap '' TERM INT HUP; {BEAT}"
        with pytest.raises(SandboxTimeout):
            await sandbox.exec(["sh", "-c", stubborn], limits=Limits(wall_seconds=0.3))
        await still(sandbox)

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
                await sandbox.exec([sys.executable, "-c", EAT])
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
