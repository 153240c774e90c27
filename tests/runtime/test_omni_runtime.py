import asyncio

import pytest

from codin.errors import InvalidInputError, NotFoundError
from codin.runtime import (
    Command,
    Container,
    Function,
    OmniRuntime,
    Policy,
    Service,
    UnsupportedWorkload,
)
from codin.sandbox import Isolation, Limits
from codin.sandbox.errors import SandboxUnavailable
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


class _Fake:
    def __init__(self, name, why=""):
        self.name, self.why, self.supports = name, why, frozenset({Command})

    async def misfit(self, workload, /):
        return self.why

    async def run(self, workload, /, *, stream=False):
        return self.name

    async def deploy(self, service):
        return self.name

    async def close(self):
        pass


def _three(policy=None, **why):
    names = ("a", "b", "c")
    return OmniRuntime({name: _Fake(name, why.get(name, "")) for name in names}, policy=policy)


_TRUE = Command(argv=("true",))


async def test_the_policy_orders_and_excludes():
    assert await _three(Policy(order=("c",))).run(_TRUE) == "c"
    assert await _three(Policy(order=("moon", "b"))).run(_TRUE) == "b"
    assert await _three(Policy(deny=frozenset("a"))).run(_TRUE) == "b"
    assert await _three(Policy(allow=frozenset("c"))).run(_TRUE) == "c"
    assert await _three(Policy(kinds={Command: ("b",)}), a="no").run(_TRUE) == "b"
    service = Service(name="x", argv=("x",), run_dir="/tmp")
    assert await _three(Policy(order=("b",))).deploy(service) == "b"


async def test_what_is_denied_is_denied_by_name_too():
    for policy in (Policy(deny=frozenset("b")), Policy(allow=frozenset("a"))):
        with pytest.raises(UnsupportedWorkload, match="'b' is not allowed by the policy"):
            await _three(policy).run(_TRUE, backend="b")


async def test_when_none_fits_each_says_why():
    runtime = _three(Policy(deny=frozenset("b")), a="no engine: install it", c="too weak")
    with pytest.raises(UnsupportedWorkload) as caught:
        await runtime.run(_TRUE)
    assert "a: no engine: install it" in str(caught.value)
    assert "b: is not allowed by the policy" in str(caught.value)
    assert "c: too weak" in str(caught.value)
    with pytest.raises(UnsupportedWorkload, match="there is none"):
        await _three(Policy(kinds={Command: ()})).run(_TRUE)


async def test_the_least_isolation_is_never_fallen_below(runtime):
    workload = Command(argv=("true",), least=Isolation.CONTAINER)
    with pytest.raises(UnsupportedWorkload, match=r"local: .*'namespace'.*'container'"):
        await runtime.run(workload)
    with pytest.raises(SandboxUnavailable, match="container"):
        await runtime.run(workload, backend="local")
    assert (await runtime.run(Command(argv=("true",), least=Isolation.PROCESS))).ok


async def test_the_level_of_gvisor_is_the_local_backends_too(runtime):
    none = Limits(memory_bytes=None, processes=None, disk_bytes=None)
    workload = Command(argv=("echo", "hi"), least=Isolation.GVISOR, limits=none)
    support = await runtime.backend("local").provider.probe_for(Isolation.GVISOR)
    if support.available:
        assert (await runtime.run(workload)).stdout == b"hi\n"
    else:
        with pytest.raises(UnsupportedWorkload) as caught:
            await runtime.run(workload)
        assert support.reason in str(caught.value)


async def test_an_open_network_is_not_promised(runtime):
    workload = Command(argv=("true",), limits=Limits(network="open"))
    with pytest.raises(UnsupportedWorkload, match="opens no network"):
        await runtime.run(workload)


async def test_a_run_that_ended_is_found_and_has_its_items(runtime):
    source = "def f():\n    yield from 'ab'"
    handle = await runtime.submit(Function(target="m:f", source=source))
    await handle.result()
    again = runtime.handle(handle.id)
    assert again.ended
    assert [item async for item in again.items()] == ["a", "b"]
    assert (await again.result()).value == ["a", "b"]
