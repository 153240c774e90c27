"""What every runtime must do with the kinds of workload that it says it runs.

Use it with pytest and pytest-asyncio (``asyncio_mode = "auto"``)::

    class TestMine(RuntimeConformance):
        @pytest.fixture
        async def runtime(self):
            yield MyRuntime()
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from codin.runtime.base import (
    WORKLOAD_KINDS,
    Class,
    Command,
    Container,
    Endpoint,
    Function,
    Module,
    Runtime,
    UnsupportedWorkload,
    Workload,
    backends_for,
)
from codin.sandbox.base import Limits

SOON = 15.0

SOURCE = """
import os, sys, time

def add(a, b=0):
    return a + b

def speak(lines, wait=0.0):
    for n in range(lines):
        print("line", n, flush=True)
        time.sleep(wait)
    print("aside", file=sys.stderr)
    return lines

def count(n):
    for i in range(n):
        yield i

def fail():
    raise ValueError("no good")

def forever():
    while True:
        time.sleep(1)

def flood():
    while True:
        print("x" * 1000)

def variable(name):
    return os.environ.get(name)

class Counter:
    def __init__(self, start=0):
        self.n = start

    def more(self, by=1):
        self.n += by
        return self.n
"""

_SAMPLES: dict[type, Workload] = {
    Function: Function(target="math:sqrt", args=(9.0,)),
    Module: Module(name="m", files={"m.py": ""}),
    Class: Class(target="collections:Counter", init_args=("aab",), method="total"),
    Command: Command(argv=("true",)),
    Container: Container(image="nothing"),
    Endpoint: Endpoint(url="http://127.0.0.1:9/"),
}


class RuntimeConformance:
    """Checks of kinds that the runtime does not support see that they are refused."""

    @pytest.fixture
    async def runtime(self) -> AsyncIterator[Runtime]:
        raise NotImplementedError("give the runtime to be checked")
        yield  # noqa: PT022 - as the fixtures do that replace it

    @pytest.mark.parametrize("kind", WORKLOAD_KINDS)
    async def test_what_it_does_not_run_it_refuses_by_name(
        self, runtime: Runtime, kind: type
    ) -> None:
        if kind in runtime.supports:
            return
        with pytest.raises(UnsupportedWorkload) as caught:
            await runtime.run(_SAMPLES[kind])
        assert kind.__name__ in str(caught.value)
        if runtime.name != "omni":
            assert all(name in str(caught.value) for name in backends_for(kind))

    async def test_function(self, runtime: Runtime) -> None:
        result = await runtime.run(_function("add", 1, b=[2][0]))
        assert (result.ok, result.value, result.exit_code) == (True, 3, None)
        assert result.ended
        assert (await runtime.run(Function(target="math:sqrt", args=(9,)))).value == 3.0

    async def test_generator(self, runtime: Runtime) -> None:
        assert (await runtime.run(_function("count", 3))).value == [0, 1, 2]

    async def test_output(self, runtime: Runtime) -> None:
        result = await runtime.run(_function("speak", 2))
        assert (result.stdout, result.stderr) == (b"line 0\nline 1\n", b"aside\n")
        assert result.usage.wall_seconds > 0

    async def test_stream(self, runtime: Runtime) -> None:
        result = await runtime.run(_function("speak", 3, 0.3), stream=True)
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

    async def test_failure_is_data(self, runtime: Runtime) -> None:
        result = await runtime.run(_function("fail"))
        assert not result.ok
        assert result.failure is not None
        assert (result.failure.type_name, result.failure.message) == ("ValueError", "no good")
        assert "in fail" in result.failure.traceback

    @pytest.mark.parametrize("target", ["m:nothing", "no_such_module:f", "m"])
    async def test_no_such_target(self, runtime: Runtime, target: str) -> None:
        source = SOURCE if target.startswith("m") else None
        result = await runtime.run(Function(target=target, source=source))
        assert result.failure is not None
        assert result.failure.type_name in {"AttributeError", "ModuleNotFoundError"}

    async def test_wall_time(self, runtime: Runtime) -> None:
        result = await runtime.run(_function("forever", limits=Limits(wall_seconds=0.5)))
        assert result.limits_hit == ("wall_seconds",)
        assert result.failure is not None
        assert not result.ok

    async def test_output_limit(self, runtime: Runtime) -> None:
        result = await runtime.run(_function("flood", limits=Limits(output_bytes=300_000)))
        assert result.limits_hit == ("output_bytes",)
        assert len(result.stdout) <= 300_000

    async def test_environment(self, runtime: Runtime) -> None:
        workload = Function(
            target="m:variable", args=("GIVEN",), source=SOURCE, env={"GIVEN": "a=b"}
        )
        assert (await runtime.run(workload)).value == "a=b"
        assert (await runtime.run(_function("variable", "GIVEN"))).value is None

    async def test_runs_share_nothing(self, runtime: Runtime) -> None:
        keep = (
            "import builtins\n"
            "def f():\n"
            "    builtins.seen = getattr(builtins, 'seen', 0) + 1\n"
            "    return builtins.seen"
        )
        workload = Function(target="m:f", source=keep)
        assert [(await runtime.run(workload)).value for _ in range(2)] == [1, 1]

    async def test_runs_at_the_same_time(self, runtime: Runtime) -> None:
        results = await asyncio.gather(*(runtime.run(_function("add", n, 1)) for n in range(5)))
        assert [result.value for result in results] == [1, 2, 3, 4, 5]

    async def test_cancel(self, runtime: Runtime) -> None:
        result = await runtime.run(_function("forever"), stream=True)
        await asyncio.sleep(0.1)
        await asyncio.wait_for(result.cancel(), SOON)
        assert result.ended
        assert result.failure is not None
        assert not result.ok

    async def test_cancelling_the_caller_ends_the_run(self, runtime: Runtime) -> None:
        task = asyncio.create_task(runtime.run(_function("forever")))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, SOON)

    async def test_class(self, runtime: Runtime) -> None:
        workload = Class(
            target="m:Counter", source=SOURCE, init_args=(5,), method="more", kwargs={"by": 2}
        )
        assert [(await runtime.run(workload)).value for _ in range(2)] == [7, 7]

    async def test_instance_that_is_kept(self, runtime: Runtime) -> None:
        workload = Class(target="m:Counter", source=SOURCE, method="more", instance="mine")
        other = Class(target="m:Counter", source=SOURCE, method="more", instance="other")
        assert [(await runtime.run(workload)).value for _ in range(3)] == [1, 2, 3]
        assert (await runtime.run(other)).value == 1

    async def test_instance_survives_an_error_of_its_method(self, runtime: Runtime) -> None:
        workload = Class(target="m:Counter", source=SOURCE, method="more", instance="mine")
        wrong = Class(target="m:Counter", source=SOURCE, method="no_such", instance="mine")
        assert (await runtime.run(workload)).value == 1
        assert (await runtime.run(wrong)).failure is not None
        assert (await runtime.run(workload)).value == 2

    async def test_module(self, runtime: Runtime) -> None:
        files = {
            "pack/__init__.py": "",
            "pack/main.py": (
                "import sys\nfrom pack import part\nprint(part.X, sys.argv[1:])\nsys.exit(4)"
            ),
            "pack/part.py": "X = 7",
        }
        result = await runtime.run(Module(name="pack.main", files=files, argv=("a b",)))
        assert (result.exit_code, result.stdout, result.ok) == (4, b"7 ['a b']\n", False)
        assert result.failure is None

    async def test_command(self, runtime: Runtime) -> None:
        result = await runtime.run(Command(argv=("tr", "a-z", "A-Z"), stdin=b"hello"))
        assert (result.exit_code, result.stdout, result.ok) == (0, b"HELLO", True)

    async def test_command_that_is_not_there(self, runtime: Runtime) -> None:
        result = await runtime.run(Command(argv=("no-such-program",)))
        assert result.failure is not None
        assert result.failure.type_name == "CommandNotFound"


def _function(name: str, *args: object, limits: Limits | None = None, **kwargs: object) -> Function:
    return Function(target=f"m:{name}", args=args, kwargs=kwargs, source=SOURCE, limits=limits)
