"""How a runtime runs: output and items as they come, limits, retries, artifacts, cancellation."""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path

import pytest

from codin.errors import InvalidInputError
from codin.runtime.base import Runtime
from codin.runtime.workload import Command, Function, Retry
from codin.sandbox.base import MIB, Limits
from codin.testing._runtime_base import SOON, RuntimeChecks, function, running, until

# Fails until it has been tried as often as its argument says: the folder outlives the sandbox.
_FLAKY = """
import os
def go(succeeds, yields=False):
    count = len(os.listdir("/seen"))
    open(f"/seen/{count}", "w").close()
    print("attempt", count)
    if count + 1 < succeeds:
        raise ConnectionError("not yet")
    return count
def some(succeeds):
    yield "first"
    go(succeeds)
"""


class RunChecks(RuntimeChecks):
    """What holds for a run, whatever it is of."""

    async def test_output(self, runtime: Runtime) -> None:
        result = await runtime.run(function("speak", 2))
        assert (result.stdout, result.stderr) == (b"line 0\nline 1\n", b"aside\n")
        assert result.usage.wall_seconds > 0
        assert result.attempts == 1

    async def test_usage(self, runtime: Runtime) -> None:
        burn = (
            "def f():\n    held = bytearray(30 << 20)\n"
            "    sum(range(3_000_000))\n    return len(held)"
        )
        usage = (await runtime.run(Function(target="m:f", source=burn))).usage
        assert usage.wall_seconds >= usage.cpu_seconds * 0.5 > 0
        assert usage.peak_memory_bytes is None or usage.peak_memory_bytes > 30 * MIB

    async def test_stream(self, runtime: Runtime) -> None:
        result = await runtime.run(function("speak", 3, 0.3), stream=True)
        assert not result.ended
        times: list[float] = []
        said = b""
        async for chunk in result.output():
            if chunk.stream == "stdout":
                times.append(time.monotonic())
                said += chunk.data
        assert said == b"line 0\nline 1\nline 2\n"
        assert times[-1] - times[0] > 0.3
        assert await result.done() is result
        assert (result.value, result.stdout, result.stderr) == (3, said, b"aside\n")
        assert b"".join([c.data async for c in result.output() if c.stream == "stdout"]) == said

    async def test_items_come_as_they_are_made(self, runtime: Runtime) -> None:
        result = await runtime.run(function("tick", 3, 0.3), stream=True)
        times: list[float] = []
        items = []
        async for item in result.items():
            times.append(time.monotonic())
            items.append(item)
        assert items == [{"n": 0}, {"n": 1}, {"n": 2}]
        assert times[-1] - times[0] > 0.3
        assert (await result.done()).value == items
        assert [item async for item in result.items()] == items

    async def test_items_before_an_error_are_given(self, runtime: Runtime) -> None:
        result = await runtime.run(function("half", 3), stream=True)
        assert [item async for item in result.items()] == [0, 1, 2]
        await result.done()
        assert result.failure is not None
        assert result.failure.type_name == "KeyError"

    async def test_failure_is_data(self, runtime: Runtime) -> None:
        result = await runtime.run(function("fail"))
        assert not result.ok
        assert result.failure is not None
        assert (result.failure.type_name, result.failure.message) == ("ValueError", "no good")
        assert "in fail" in result.failure.traceback

    async def test_wall_time(self, runtime: Runtime) -> None:
        result = await runtime.run(function("forever", limits=Limits(wall_seconds=0.5)))
        assert result.limits_hit == ("wall_seconds",)
        assert result.failure is not None
        assert not result.ok

    async def test_output_limit(self, runtime: Runtime) -> None:
        result = await runtime.run(function("flood", limits=Limits(output_bytes=300_000)))
        assert result.limits_hit == ("output_bytes",)
        assert len(result.stdout) <= 300_000

    async def test_environment(self, runtime: Runtime) -> None:
        workload = function("variable", "GIVEN", env={"GIVEN": "a=b"})
        assert (await runtime.run(workload)).value == "a=b"
        assert (await runtime.run(function("variable", "GIVEN"))).value is None

    async def test_runs_share_nothing(self, runtime: Runtime) -> None:
        keep = (
            "import builtins, os\n"
            "def f():\n"
            "    builtins.seen = getattr(builtins, 'seen', 0) + 1\n"
            "    open('here', 'a').write('x')\n"
            "    return builtins.seen, os.path.getsize('here')"
        )
        workload = Function(target="m:f", source=keep)
        assert [(await runtime.run(workload)).value for _ in range(2)] == [[1, 1], [1, 1]]

    async def test_runs_at_the_same_time(self, runtime: Runtime) -> None:
        runs = (runtime.run(function("add", n, 1)) for n in range(5))
        assert [result.value for result in await asyncio.gather(*runs)] == [1, 2, 3, 4, 5]

    async def test_cancel(self, runtime: Runtime) -> None:
        result = await runtime.run(function("forever"), stream=True)
        await asyncio.sleep(0.1)
        await asyncio.wait_for(result.cancel(), SOON)
        assert result.ended
        assert result.failure is not None
        assert result.failure.type_name == "Cancelled"
        await result.cancel()
        with pytest.raises(asyncio.CancelledError):
            await result.done()

    async def test_cancel_leaves_nothing(self, runtime: Runtime) -> None:
        mark = uuid.uuid4().hex
        script = f"sh -c 'sleep 60; : {mark}' & setsid sh -c 'sleep 60; : {mark}' & echo on; wait"
        result = await runtime.run(Command(argv=("sh", "-c", script)), stream=True)
        async for _ in result.output():
            break
        assert running(mark)
        await asyncio.wait_for(result.cancel(), SOON)
        assert not running(mark)

    async def test_cancelling_the_caller_ends_the_run(self, runtime: Runtime) -> None:
        mark = uuid.uuid4().hex
        task = asyncio.create_task(runtime.run(Command(argv=("sh", "-c", f"sleep 60; : {mark}"))))
        await until(lambda: running(mark))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, SOON)
        assert not running(mark)

    async def test_retries(self, runtime: Runtime, tmp_path: Path) -> None:
        result = await runtime.run(_flaky(tmp_path, 3, Retry(times=4, first_seconds=0.01)))
        assert (result.ok, result.value, result.attempts) == (True, 2, 3)
        assert result.stdout == b"attempt 0\nattempt 1\nattempt 2\n"

    async def test_retries_end(self, runtime: Runtime, tmp_path: Path) -> None:
        result = await runtime.run(_flaky(tmp_path, 9, Retry(times=1, first_seconds=0.01)))
        assert result.failure is not None
        assert (result.failure.type_name, result.attempts) == ("ConnectionError", 2)
        assert "in go" in result.failure.traceback

    async def test_only_what_is_named_is_tried_again(
        self, runtime: Runtime, tmp_path: Path
    ) -> None:
        retry = Retry(times=3, on=("memory_bytes", "OSError"), first_seconds=0.01)
        assert (await runtime.run(_flaky(tmp_path, 3, retry))).attempts == 1
        wrong = Command(argv=("false",), retries=Retry(1, on=("exit_code",), first_seconds=0.01))
        assert (await runtime.run(wrong)).attempts == 2

    async def test_what_has_given_an_item_is_not_repeated(
        self, runtime: Runtime, tmp_path: Path
    ) -> None:
        retry = Retry(times=3, first_seconds=0.01)
        result = await runtime.run(_flaky(tmp_path, 9, retry, name="some"), stream=True)
        assert [item async for item in result.items()] == ["first"]
        await result.done()
        assert (result.ok, result.attempts) == (False, 1)

    async def test_artifacts(self, runtime: Runtime) -> None:
        workload = function("leave", kwargs={"a": "1,2", "b": "3"}, artifacts=("out/*.csv",))
        result = await runtime.run(workload)
        assert {(each.path, each.data, each.file) for each in result.artifacts} == {
            ("out/a.csv", b"1,2", None),
            ("out/b.csv", b"3", None),
        }
        assert (await runtime.run(function("leave", kwargs={"a": ""}))).artifacts == ()

    async def test_artifacts_go_to_a_folder(self, runtime: Runtime, tmp_path: Path) -> None:
        made = function("leave", kwargs={"a": "1"}, artifacts=("*.csv",), artifacts_to=tmp_path)
        (artifact,) = (await runtime.run(made)).artifacts
        assert artifact.file == tmp_path / "out" / "a.csv"
        assert artifact.file.read_bytes() == b"1"
        assert artifact.data is None

    async def test_a_run_that_fails_leaves_artifacts_too(self, runtime: Runtime) -> None:
        script = "echo part > a.log; exit 3"
        workload = Command(argv=("sh", "-c", script), artifacts=("*.log",))
        result = await runtime.run(workload)
        assert (result.exit_code, [each.data for each in result.artifacts]) == (3, [b"part\n"])

    async def test_a_link_is_no_way_to_take_files_of_the_host(
        self, runtime: Runtime, tmp_path: Path
    ) -> None:
        (tmp_path / "secret").write_text("x")
        script = f"ln -s {tmp_path}/secret a.csv; ln -s {tmp_path} out"
        workload = Command(argv=("sh", "-c", script), artifacts=("*.csv", "out/*"))
        result = await runtime.run(workload)
        assert not any(each.data for each in result.artifacts)

    @pytest.mark.parametrize("pattern", ["/etc/*", "../*", ""])
    async def test_artifacts_are_below_the_workspace(self, runtime: Runtime, pattern: str) -> None:
        with pytest.raises(InvalidInputError, match="artifact"):
            await runtime.run(Command(argv=("true",), artifacts=(pattern,)))


def _flaky(folder: Path, succeeds: int, retry: Retry, *, name: str = "go") -> Function:
    from codin.sandbox.base import Mount

    folder.chmod(0o777)
    seen = Mount(folder, "/seen", writable=True)
    return Function(
        target=f"m:{name}", args=(succeeds,), source=_FLAKY, mounts=(seen,), retries=retry
    )
