"""Sandboxes that are containers, beside the engine's own commands."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from codin.bench._local import called, cold
from codin.bench._pairs import (
    MS,
    NotHere,
    Pair,
    at_most,
    first_output,
    timed,
    times_baseline,
    typical,
    whole_run,
)
from codin.sandbox.base import Isolation, SandboxProvider, SandboxSpec

if TYPE_CHECKING:
    from codin.bench.sandbox import Effort

EXEC, RUN = "docker exec", "docker run"


@asynccontextmanager
async def engine() -> AsyncIterator[tuple[SandboxProvider, str, str]]:
    """A provider, and a container of it with its image, for the engine's own commands.

    Raises:
        NotHere
    """
    if shutil.which("docker") is None:
        raise NotHere("there is no docker command to measure beside: make system installs it")
    try:
        room = importlib.import_module("codin.sandbox.docker")
    except ImportError as error:
        raise NotHere(f"containers cannot be had: {error}") from error
    provider: SandboxProvider = room.DockerSandboxProvider()
    try:
        support = await provider.probe()
        if not support.available:
            raise NotHere(support.reason)
        spec = SandboxSpec(least=Isolation.CONTAINER)
        async with await provider.create(spec) as sandbox:
            container: Any = sandbox
            yield provider, container.container, await _image(container.container)
    finally:
        await provider.close()


@asynccontextmanager
async def docker(effort: Effort) -> AsyncIterator[list[Pair]]:
    """The pairs of containers.

    Raises:
        NotHere
    """
    async with engine() as (provider, container, image), AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(await provider.create(SandboxSpec()))
        worker = await sandbox.worker()
        yield [
            Pair(
                "docker warm call",
                "ms",
                lambda: typical(lambda: timed(lambda: called(worker), 42), effort.calls, MS),
                EXEC,
                lambda: typical(lambda: execed(container), effort.containers, MS),
                at_most(1, "ms"),
            ),
            Pair(
                "docker cold",
                "ms",
                lambda: typical(lambda: cold(provider), effort.containers, MS),
                RUN,
                lambda: typical(lambda: run(image), effort.containers, MS),
                times_baseline(1.1),
            ),
        ]


async def execed(container: str) -> float:
    """Seconds of `docker exec` of a command that does nothing."""
    return await whole_run("docker", "exec", container, "true")


async def run(image: str) -> float:
    """Seconds from `docker run` to the first output of its command."""
    return await first_output(
        *("docker", "run", "--rm", "--network", "none", "--entrypoint", "echo", image, "x")
    )


async def _image(container: str) -> str:
    import asyncio

    process = await asyncio.create_subprocess_exec(
        *("docker", "inspect", "--format", "{{.Image}}", container),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complaints = await process.communicate()
    if process.returncode:
        raise NotHere(f"docker does not find the sandbox's container: {complaints.decode()}")
    return said.decode().strip()
