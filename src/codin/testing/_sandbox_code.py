"""Checks of sandboxes: sessions of code, and Workers."""

from __future__ import annotations

import asyncio
import time

import pytest

from codin.errors import InvalidInputError
from codin.sandbox.base import MIB, Limits, Sandbox, SandboxProvider, SandboxSpec
from codin.sandbox.errors import (
    OutOfMemory,
    OutputLimit,
    RemoteError,
    SandboxTimeout,
    WorkerGone,
)
from codin.sandbox.outcome import CodeResult
from codin.testing._sandbox_base import EAT, SOON, SandboxBase, still, until_file

LEAVING = """
import os, signal, subprocess, sys, time
BEAT = "while :; do date +%s%N > beat; sleep 0.05; done"
def leave():
    subprocess.Popen(["sh", "-c", f"setsid sh -c '{BEAT}' & setsid sh -c 'sleep 99' & sleep 99"])
    while not os.path.exists("beat"):
        time.sleep(0.01)
def children():
    return open("/proc/self/task/%d/children" % os.getpid()).read()
def kill_me():
    os.kill(os.getpid(), signal.SIGKILL)
"""


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
                await sandbox.run_code(EAT)
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
        await until_file(sandbox, "beat")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await still(sandbox)
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

    async def test_a_fresh_call_keeps_nothing(self, sandbox: Sandbox) -> None:
        worker = await sandbox.worker()
        source = "seen = []\ndef see(x):\n    seen.append(x)\n    return seen\n"
        assert await worker.call("m:see", [1], source=source) == [1]
        for n in range(3):
            assert await worker.call("m:see", [n], source=source, fresh=True) == [1, n]
        assert await worker.call("m:see", [2], source=source) == [1, 2]
        call = worker.call("m:count", [3], source=self.SOURCE, fresh=True)
        assert [item async for item in call.items()] == [0, 1, 2]
        assert b"".join([chunk.data async for chunk in call.output()]) == b"0\n1\n2\n"
        with pytest.raises(RemoteError, match="no good"):
            await worker.call("m:fail", source=self.SOURCE, fresh=True)
        with pytest.raises(OutputLimit):
            await worker.call("builtins:bytes", [5 * MIB], fresh=True)
        assert worker.idle

    async def test_what_a_fresh_call_leaves_behind_ends_with_it(self, sandbox: Sandbox) -> None:
        worker = await sandbox.worker()
        await worker.call("m:leave", source=LEAVING, fresh=True)
        before = await sandbox.fs.read("beat")
        await asyncio.sleep(0.3)
        assert await sandbox.fs.read("beat") == before
        assert await worker.call("m:children", source=LEAVING) == ""

    async def test_a_fresh_call_that_ends_itself(self, sandbox: Sandbox) -> None:
        worker = await sandbox.worker()
        with pytest.raises(RemoteError, match="exit code 3"):
            await worker.call("os:_exit", [3], fresh=True)
        with pytest.raises(RemoteError, match="signal 9"):
            await worker.call("m:kill_me", source=LEAVING, fresh=True)
        assert await worker.call("math:sqrt", [9], fresh=True) == 3.0

    async def test_preload(self, sandbox: Sandbox) -> None:
        worker = await sandbox.worker()
        await worker.preload(["decimal", "fractions"])
        source = "import sys\ndef there(name): return name in sys.modules\n"
        assert await worker.call("m:there", ["fractions"], source=source, fresh=True) is True
        with pytest.raises(RemoteError, match="no_such_module"):
            await worker.preload(["no_such_module"])

    async def test_close(self, sandbox: Sandbox) -> None:
        worker = await sandbox.worker()
        await worker.close()
        await worker.close()
        with pytest.raises(WorkerGone):
            await worker.call("math:sqrt", [9])
