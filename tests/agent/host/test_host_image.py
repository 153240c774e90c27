"""Hosts in containers of an image: its packages as they are, no network, and nothing left."""

from __future__ import annotations

import asyncio
import io
import platform as py_platform
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from host_platform import Platform, platform

from codin.agent.events import Completed, Failed
from codin.agent.host import AgentHosts, HostStartError
from codin.agent.host.containers import Containers, platform_of
from codin.agent.host.interpreter import look_at
from codin.agent.host.packages import Environment, Environments
from codin.agent.host.spec import HostLimits
from codin.sandbox import SandboxSpec
from codin.sandbox.docker import DockerSandboxProvider
from codin.sandbox.packages.uv import find

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

HERE = Path(__file__).parent
PYTHON = f"{sys.base_prefix}/bin/python3"
LIBRARIES = Path("/usr/lib", f"{py_platform.machine()}-linux-gnu")
COMMON = (
    *("libgcc_s.so.1", "libstdc++.so.6", "librt.so.1", "libpthread.so.0", "libdl.so.2"),
    *("libm.so.6", "libutil.so.1"),
)
"""Libraries that every image has but one that is made of as little as this."""
VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place() -> AsyncIterator[Platform]:
    with tempfile.TemporaryDirectory("", "cd-") as folder:
        async with platform(Path(folder)) as made:
            yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def base(docker: str) -> str:
    """The name of an image with a Python and nothing else."""
    provider = DockerSandboxProvider(docker, base="host")
    async with await provider.create(SandboxSpec()):
        pass
    await provider.close()
    listed = ask(docker, "images", "--format", "{{.Repository}}:{{.Tag}}")
    return next(name for name in listed if "host-" in name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def image(docker: str, base: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image as people make them: a Python, and packages in versions of its own."""
    return await build(docker, base, "own:1", tmp_path_factory.mktemp("one"), "anyio==4.11.0")


async def build(docker: str, base: str, name: str, folder: Path, *packages: str) -> str:
    from aiodocker import Docker

    asked = [find(), "pip", "install", "-q", "--target", folder, "-p", sys.executable, *packages]
    subprocess.run(asked, check=True)
    text = (
        f"FROM {base}\nLABEL codin.python={PYTHON}\nENV PATH={sys.base_prefix}/bin:/usr/bin:/bin\n"
        f"COPY site {sys.base_prefix}/lib/{VERSION}/site-packages\nCOPY lib {LIBRARIES}\n"
    )
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        info = tarfile.TarInfo("Dockerfile")
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text.encode()))
        archive.add(folder, "site")
        for library in COMMON:
            archive.add((LIBRARIES / library).resolve(), f"lib/{library}")
    context.seek(0)
    client = Docker(url=docker)
    await client.images.build(fileobj=context, encoding="identity", tag=name, rm=True)
    await client.close()
    return name


@pytest_asyncio.fixture(loop_scope="module")
async def hosts(place: Platform, docker: str) -> AsyncIterator[AgentHosts]:
    environments = Environments(containers=Containers(address=docker))
    with tempfile.TemporaryDirectory("", "ci-") as root:
        hosts = AgentHosts(
            place.runtime, place.socket, run_root=Path(root), environments=environments
        )
        yield hosts
        await hosts.stop()
    async with asyncio.timeout(30):
        while ask(docker, "ps", "-aq"):
            await asyncio.sleep(0.1)


def ask(docker: str, *words: str) -> list[str]:
    command = ["docker", "-H", docker, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


async def test_an_agent_in_an_image(place: Platform, hosts: AgentHosts, image: str) -> None:
    told: list[str] = []
    named = Environment(image=image)
    host = await hosts.start([str(HERE / "versions.py")], environment=named, say=told.append)
    outcome = await place.run(host.agents[0], "anyio a2a-sdk langgraph")
    assert outcome.end == Completed()
    seen = dict(line.split() for line in outcome.text.splitlines())
    assert (seen["anyio"], seen["langgraph"]) == ("4.11.0", "-")
    assert seen["a2a-sdk"] >= "1.3"
    info = host.agents[0].info
    assert (info.isolation, info.environment) == ("container", f"image {image}")
    assert (await host.state()).status == "ready"


async def test_it_has_tools_and_models_and_no_network(
    place: Platform, hosts: AgentHosts, docker: str, image: str
) -> None:
    host = await hosts.start(
        [str(HERE / "puppet.py")],
        environment=Environment(image=image),
        limits=HostLimits(memory_mb=300, processes=50),
    )
    puppet = host.agents[0]
    assert (await place.run(puppet, "add 2 40")).text == "42"
    assert place.added[-1] == (2, 40)
    assert "refused" in (await place.run(puppet, "connect 1.1.1.1 443")).text
    assert "refused" in (await place.run(puppet, "read /etc/shadow")).text
    [container] = ask(docker, "ps", "-q")
    limit = ask(
        docker, "inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.NetworkMode}}", container
    )
    assert limit == [str(300 << 20), "none"]
    died = await place.run(puppet, "die")
    assert isinstance(died.end, Failed)
    assert died.end.error_type == "HostDied"
    assert (await place.run(puppet, "add 1 2")).text == "3"


async def test_what_a_host_does_not_go_with(
    hosts: AgentHosts, docker: str, base: str, tmp_path: Path
) -> None:
    old = await build(docker, base, "old:1", tmp_path / "old", "a2a-sdk==0.3.26")
    with pytest.raises(HostStartError, match=r"(?s)image = 'old:1' has packages.*a2a-sdk"):
        await hosts.start([str(HERE / "versions.py")], environment=Environment(image=old))


async def test_an_image_that_is_not_there(hosts: AgentHosts) -> None:
    with pytest.raises(HostStartError, match="no image 'nobody/has-this:9'"):
        await hosts.start(
            [str(HERE / "versions.py")], environment=Environment(image="nobody/has-this:9")
        )


async def test_where_no_engine_is(place: Platform, tmp_path: Path) -> None:
    address = f"unix://{tmp_path}/none.sock"
    environments = Environments(containers=Containers(address=address))
    hosts = AgentHosts(place.runtime, place.socket, environments=environments)
    with pytest.raises(HostStartError, match="no container engine answers"):
        await hosts.start([str(HERE / "versions.py")], environment=Environment(image="any"))
    await hosts.stop()


@pytest.mark.parametrize(
    ("libc", "named"),
    [
        (("glibc", "2.40"), "m-manylinux_2_28"),
        (("glibc", "2.17"), "m-manylinux_2_17"),
        (("musl", "1.2"), "m-unknown-linux-musl"),
        (("", ""), "m-unknown-linux-musl"),
    ],
)
async def test_wheels_are_those_of_the_image(libc: tuple[str, str], named: str) -> None:
    own = await look_at(sys.executable)
    assert platform_of(own) is None
    assert platform_of(own.model_copy(update={"machine": "m", "libc": libc})) == named
