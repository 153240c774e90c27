import asyncio

import pytest

from codin.errors import InvalidInputError, NotFoundError
from codin.runtime import Command, Container, Function, OmniRuntime, UnsupportedWorkload
from codin.testing.runtime_conformance import RuntimeConformance


@pytest.fixture
async def runtime():
    runtime = OmniRuntime()
    yield runtime
    await runtime.close()


@pytest.mark.slow  # the suite is run on the backend itself too
class TestOmniRuntime(RuntimeConformance):
    @pytest.fixture
    async def runtime(self):
        runtime = OmniRuntime()
        yield runtime
        await runtime.close()


async def test_a_run_is_found_again_by_id(runtime):
    handle = await runtime.submit(Command(argv=("sh", "-c", "echo a; sleep 0.2; echo b")))
    again = runtime.handle(handle.id)
    assert not again.ended
    assert b"".join([chunk.data async for chunk in again.stream()]) == b"a\nb\n"
    assert (await again.result()).exit_code == 0
    assert b"".join([chunk.data async for chunk in handle.stream()]) == b"a\nb\n"


async def test_a_submitted_run_can_be_cancelled(runtime):
    handle = await runtime.submit(Command(argv=("sleep", "60")))
    await handle.cancel()
    assert handle.ended
    with pytest.raises(asyncio.CancelledError):
        await handle.result()


async def test_unknown_names(runtime):
    with pytest.raises(NotFoundError, match="nothing"):
        runtime.handle("nothing")
    with pytest.raises(InvalidInputError, match="there are: local"):
        await runtime.run(Command(argv=("true",)), backend="moon")
    with pytest.raises(UnsupportedWorkload, match="Container"):
        await runtime.run(Container(image="x"))
    with pytest.raises(InvalidInputError, match="str"):
        await runtime.run("echo")


async def test_the_first_backend_that_can_is_chosen():
    class Fake:
        def __init__(self, name, kinds):
            self.name, self.supports = name, frozenset(kinds)

        async def misfit(self, workload, /):
            return "" if type(workload) in self.supports else "no"

        async def run(self, workload, /, *, stream=False):
            return self.name

        async def close(self):
            pass

    runtime = OmniRuntime({"a": Fake("a", {Function}), "b": Fake("b", {Function, Command})})
    assert await runtime.run(Function(target="x:y")) == "a"
    assert await runtime.run(Command(argv=("x",))) == "b"
    assert await runtime.run(Function(target="x:y"), backend="b") == "b"
    assert runtime.supports == {Function, Command}
    await runtime.close()
