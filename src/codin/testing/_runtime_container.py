"""Images on a runtime: what they print and leave, their limits, and that nothing stays."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from codin.runtime.base import Runtime
from codin.runtime.workload import Container
from codin.sandbox.base import MIB, Limits
from codin.sandbox.errors import SandboxUnavailable
from codin.testing._runtime_base import SOON, RuntimeChecks, running, until


class ContainerChecks(RuntimeChecks):
    """What a runtime does with containers. ``image`` is one with a shell."""

    @pytest.fixture
    def image(self) -> str:
        return "codin-sandbox"

    async def test_a_container(self, runtime: Runtime, image: str) -> None:
        script = "tr a-z A-Z; echo aside >&2; exit 3"
        result = await runtime.run(
            Container(image=image, argv=("sh", "-c", script), stdin=b"hello")
        )
        assert (result.exit_code, result.stdout, result.stderr) == (3, b"HELLO", b"aside\n")
        assert result.failure is None
        assert not result.ok
        assert result.usage.wall_seconds > 0

    async def test_it_streams(self, runtime: Runtime, image: str) -> None:
        script = "echo a; sleep 1; echo b"
        result = await runtime.run(Container(image=image, argv=("sh", "-c", script)), stream=True)
        said = b""
        async for chunk in result.output():
            said += chunk.data
            assert not result.ended or said == b"a\nb\n"
        assert (await result.done()).stdout == said == b"a\nb\n"

    async def test_much_goes_in_and_comes_out(self, runtime: Runtime, image: str) -> None:
        data = b"0123456789abcdef" * 200_000
        limits = Limits(output_bytes=8 * MIB)
        result = await runtime.run(Container(image=image, argv=("cat",), stdin=data, limits=limits))
        assert result.stdout == data

    async def test_environment_and_files(self, runtime: Runtime, image: str) -> None:
        script = 'echo "$GIVEN"; echo 1 > /workspace/a.csv; touch /etc/x 2>&1 || echo refused'
        result = await runtime.run(
            Container(
                image=image,
                argv=("sh", "-c", script),
                env={"GIVEN": "a=b"},
                artifacts=("*.csv",),
            )
        )
        assert result.stdout.startswith(b"a=b\n")
        assert result.stdout.endswith(b"refused\n")
        assert [(each.path, each.data) for each in result.artifacts] == [("a.csv", b"1\n")]

    @pytest.mark.parametrize(
        ("script", "limits", "hit"),
        [
            ("sleep 30", Limits(wall_seconds=1), "wall_seconds"),
            ("while :; do echo more; done", Limits(output_bytes=100_000), "output_bytes"),
            ("cat /dev/zero | tail -c 300000000", Limits(memory_bytes=64 * MIB), "memory_bytes"),
        ],
    )
    async def test_limits(
        self, runtime: Runtime, image: str, script: str, limits: Limits, hit: str
    ) -> None:
        workload = Container(image=image, argv=("sh", "-c", script), limits=limits)
        result = await asyncio.wait_for(runtime.run(workload), 4 * SOON)
        assert result.limits_hit == (hit,)

    async def test_it_has_no_network_and_no_rights(self, runtime: Runtime, image: str) -> None:
        script = "cat /proc/net/route | wc -l; grep CapEff /proc/self/status; id -u"
        result = await runtime.run(Container(image=image, argv=("sh", "-c", script)))
        routes, capabilities, user = result.stdout.decode().splitlines()
        assert int(routes) <= 1  # its heading
        assert capabilities.split() == ["CapEff:", "0000000000000000"]
        assert user != "0"

    async def test_cancel_leaves_nothing(self, runtime: Runtime, image: str) -> None:
        mark = uuid.uuid4().hex
        script = f"setsid sh -c 'sleep 60; : {mark}' & sleep 60; : {mark}"
        result = await runtime.run(Container(image=image, argv=("sh", "-c", script)), stream=True)
        await until(lambda: running(mark))
        await asyncio.wait_for(result.cancel(), SOON)
        assert not running(mark)

    async def test_what_is_not_there(self, runtime: Runtime, image: str) -> None:
        result = await runtime.run(Container(image=image, argv=("no-such-program",)))
        assert result.failure is not None
        assert result.failure.type_name == "CommandNotFound"
        missing = f"no-such-image-{SandboxUnavailable.__name__.lower()}:none"
        result = await runtime.run(Container(image=missing))
        assert result.failure is not None
        assert result.failure.type_name == "SandboxUnavailable"
        assert missing in result.failure.message
