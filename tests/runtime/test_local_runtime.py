import pytest

from codin.errors import InvalidInputError
from codin.runtime import (
    Class,
    Command,
    Container,
    Function,
    LocalRuntime,
    OmniRuntime,
    UnsupportedWorkload,
)
from codin.sandbox import Limits
from codin.sandbox.base import MIB
from codin.testing.runtime_conformance import RuntimeConformance

pytestmark = pytest.mark.slow


@pytest.fixture
async def runtime():
    runtime = LocalRuntime()
    yield runtime
    await runtime.close()


class TestLocalRuntime(RuntimeConformance):
    @pytest.fixture
    async def runtime(self):
        runtime = LocalRuntime()
        yield runtime
        await runtime.close()


async def test_a_container_is_refused_with_the_backends_that_run_it(runtime):
    with pytest.raises(UnsupportedWorkload, match="docker, kubernetes, daytona"):
        await runtime.run(Container(image="python"))


def test_run_sync():
    runtime = LocalRuntime()
    result = runtime.run_sync(Command(argv=("echo", "hi")))
    assert result.stdout == b"hi\n"
    for number in (16, 25):
        result = runtime.run_sync(Function(target="math:sqrt", args=(number,)))
        assert result.value == number**0.5
    assert OmniRuntime().run_sync(Command(argv=("echo", "hi"))).stdout == b"hi\n"


async def test_run_sync_in_a_loop_is_an_error(runtime):
    with pytest.raises(RuntimeError):
        runtime.run_sync(Command(argv=("true",)))


async def test_the_memory_limit_is_told(runtime):
    workload = Function(
        target="m:f", source="def f(): bytearray(300 << 20)", limits=Limits(memory_bytes=100 * MIB)
    )
    result = await runtime.run(workload)
    assert result.limits_hit == ("memory_bytes",)


async def test_arguments_that_are_not_data(runtime):
    with pytest.raises(InvalidInputError, match="arguments"):
        await runtime.run(Function(target="math:sqrt", args=(object(),)))


async def test_a_function_reaches_nothing_of_the_host(runtime, tmp_path):
    (tmp_path / "secret").write_text("x")
    path = str(tmp_path / "secret")
    result = await runtime.run(
        Function(target="m:f", args=(path,), source="def f(p): return open(p).read()")
    )
    assert result.failure.type_name == "FileNotFoundError"


async def test_an_instance_whose_process_ended_is_made_anew(runtime):
    source = (
        "import os\nclass C:\n    n = 0\n    def go(self, die):\n        self.n += 1\n"
        "        os._exit(1) if die else None\n        return self.n"
    )

    def call(die):
        return Class(target="m:C", source=source, method="go", args=(die,), instance="i")

    assert (await runtime.run(call(False))).value == 1
    assert (await runtime.run(call(True))).failure.type_name == "WorkerGone"
    assert (await runtime.run(call(False))).value == 1


async def test_an_instance_is_of_one_class(runtime):
    await runtime.run(
        Class(target="collections:Counter", method="total", instance="i", init_args=("a",))
    )
    with pytest.raises(InvalidInputError, match="Counter"):
        await runtime.run(Class(target="collections:deque", method="copy", instance="i"))
