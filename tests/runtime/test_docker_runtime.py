"""Workloads in containers, on a daemon of the tests' own."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from codin.runtime import (
    Class,
    Command,
    Container,
    DockerRuntime,
    EnvironmentSecrets,
    Function,
    LocalRuntime,
    OmniRuntime,
    Service,
)
from codin.runtime.matrix import examine
from codin.runtime.workload import WORKLOAD_KINDS, backends_for
from codin.sandbox import Isolation, Limits
from codin.sandbox.docker import DockerSandboxProvider
from codin.sandbox.network import ProxyRoom
from codin.testing._runtime_base import running, until
from codin.testing._runtime_endpoint import serving
from codin.testing.runtime_conformance import (
    SECRET,
    ContainerConformance,
    EndpointConformance,
    RuntimeConformance,
)

pytestmark = pytest.mark.slow


@pytest.fixture
async def provider(docker):
    provider = DockerSandboxProvider(docker, base="host")
    yield provider
    await provider.close()


@pytest.fixture
async def runtime(provider):
    runtime = DockerRuntime(provider)
    yield runtime
    await runtime.close()


class TestDockerRuntime(RuntimeConformance):
    @pytest.fixture
    async def runtime(self, provider):
        runtime = DockerRuntime(provider)
        yield runtime
        await runtime.close()


class TestContainers(ContainerConformance):
    @pytest.fixture
    async def runtime(self, provider):
        runtime = DockerRuntime(provider)
        yield runtime
        await runtime.close()


class TestEndpointsFromContainers(EndpointConformance):
    @pytest.fixture
    async def runtime(self, docker, server):
        private = ["127.0.0.1:9", server.url.removeprefix("http://")]
        room = ProxyRoom(private)
        provider = DockerSandboxProvider(docker, base="host", network=room)
        secrets = EnvironmentSecrets({"CODIN_SECRET_KEY": SECRET})
        runtime = DockerRuntime(provider, private_endpoints=private, secrets=secrets)
        yield runtime
        await runtime.close()
        await provider.close()


async def test_every_cell_of_the_matrix_is_ok(docker, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", docker)
    cells = await examine(["docker"])
    for kind, cell in zip(WORKLOAD_KINDS, cells, strict=True):
        assert cell.status == ("ok" if "docker" in backends_for(kind) else "unsupported"), cell


async def test_no_engine_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nowhere")
    cells = await examine(["docker"])
    assert {cell.status for cell in cells} == {"unavailable"}
    assert all("make system" in cell.detail for cell in cells)


async def test_what_needs_a_container_gets_one(runtime):
    omni = OmniRuntime({"local": LocalRuntime(), "docker": runtime})
    strong = Function(target="math:sqrt", args=(9,), least=Isolation.CONTAINER)
    assert (await omni.choose(strong)).name == "docker"
    assert (await omni.run(strong)).value == 3.0
    assert (await omni.choose(Command(argv=("true",)))).name == "local"
    await omni.close()


async def test_a_service_in_a_container(runtime):
    code = "python -m http.server 8000 --directory /tmp"
    service = Service(
        name="files",
        argv=("sh", "-c", f"touch /tmp/healthz; exec {code}"),
        ports=(8000,),
        restart="on-failure",
    )
    deployment = await runtime.deploy(service)
    assert await deployment.health() == "healthy"
    assert deployment.endpoint.startswith("http://127.0.0.1:")
    assert any("GET /healthz" in line for line in [line async for line in deployment.logs()])
    await deployment.stop()
    assert await deployment.health() == "stopped"


async def test_a_container_reaches_what_is_named_and_nothing_else(docker):
    async with serving() as server, serving() as other:
        places = [each.url.removeprefix("http://") for each in (server, other)]
        provider = DockerSandboxProvider(docker, base="host", network=ProxyRoom(places))
        runtime = DockerRuntime(provider)
        curl = "curl -s --noproxy '' -x $http_proxy -d hi"
        script = (
            f"{curl} {server.url}/echo; {curl} -o /dev/null -w '%{{http_code}}' {other.url}/echo"
        )
        result = await runtime.run(
            Container(
                image="codin-sandbox",
                argv=("sh", "-c", script),
                limits=Limits(network=(places[0],)),
            )
        )
        await runtime.close()
        await provider.close()
    assert (result.failure, result.stdout) == (None, b"hi403")
    assert other.asked == []


_PLATFORM = """
import asyncio, sys
from codin.runtime import Container, DockerRuntime
from codin.sandbox.docker import DockerSandboxProvider

async def main():
    runtime = DockerRuntime(DockerSandboxProvider(sys.argv[1], base="host"))
    script = f"sleep 100; : {sys.argv[2]}"
    await runtime.run(Container(image="codin-sandbox", argv=("sh", "-c", script)))

asyncio.run(main())
"""


async def test_a_container_ends_with_a_platform_that_is_killed(docker):
    mark = f"mark-{os.urandom(8).hex()}"
    argv = (sys.executable, "-c", _PLATFORM, docker, mark)
    platform = await asyncio.create_subprocess_exec(*argv)

    def inside():
        return running(f"sleep 100; : {mark}")

    await until(inside, 60)
    platform.kill()
    await platform.wait()
    await until(lambda: not inside())


async def test_a_shell_in_a_container(docker):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "codin", "sandbox", "--backend", "docker"),
        *("--least", "container"),
        env={**os.environ, "DOCKER_HOST": docker},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate(b"id -u; hostname || cat /etc/hostname; exit 4\n")
    assert process.returncode == 4
    assert said.split()[0] != b"0"


async def test_nothing_is_left_of_a_platform_that_was_closed(docker):
    provider = DockerSandboxProvider(docker, base="host")
    runtime = DockerRuntime(provider)
    await runtime.run(Class(target="collections:Counter", method="total", instance="i"))
    waiting = await runtime.run(Command(argv=("sleep", "60")), stream=True)
    await asyncio.sleep(0.2)
    await runtime.close()
    await provider.close()
    assert waiting.ended
    from aiodocker import Docker

    client = Docker(url=docker)
    try:
        assert await client.containers.list(all=True) == []
    finally:
        await client.close()
    assert Path(docker.removeprefix("unix://")).is_socket()
