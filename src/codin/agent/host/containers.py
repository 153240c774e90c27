"""Hosts in containers of an image that an agent names, by Docker."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from codin.agent.host.interpreter import ASKED, Interpreter, understood
from codin.runtime.base import Runtime
from codin.sandbox.base import Limits, SandboxSpec

if TYPE_CHECKING:
    from codin.sandbox.docker import DockerSandboxProvider

_LOOK = Limits(wall_seconds=60.0)
_OLDEST_GLIBC, _GLIBC = (2, 17), (2, 28)


class Containers:
    """Runs hosts in containers, and says what the Python of their image is.

    ``private_network`` is what the operator allows them of private networks, where their own lists
    have it too; ``address`` the engine's, found by itself if it is not given.
    """

    def __init__(self, private_network: Sequence[str] = (), *, address: str | None = None) -> None:
        self._private = tuple(private_network)
        self._address = address
        self._runtimes: dict[str, Runtime] = {}
        self._looked: dict[str, Interpreter] = {}
        self._stack = AsyncExitStack()

    def runtime(self, image: str) -> Runtime:
        """What starts containers of ``image``."""
        if image not in self._runtimes:
            from codin.runtime.docker import DockerRuntime

            provider = self._provider(image)
            self._stack.push_async_callback(provider.close)
            self._runtimes[image] = DockerRuntime(provider)
            self._stack.push_async_callback(self._runtimes[image].close)
        return self._runtimes[image]

    async def look_at(self, image: str) -> Interpreter:
        """The Python of ``image``.

        Raises:
            HostStartError: it has none that a host can run with.
            SandboxUnavailable: there is no engine, or no such image.
        """
        if image not in self._looked:
            provider = self._provider(image)
            try:
                async with await provider.create(SandboxSpec(limits=_LOOK)) as sandbox:
                    result = await sandbox.exec(["python3", "-I", "-S", "-c", ASKED])
            finally:
                await provider.close()
            what = f"the Python of the image {image}"
            self._looked[image] = understood(result.stdout, result.stderr, what)
        return self._looked[image]

    async def close(self) -> None:
        """End what runs in containers here. Safe to call twice."""
        self._runtimes.clear()
        await self._stack.aclose()

    def _provider(self, image: str) -> DockerSandboxProvider:
        from codin.sandbox.docker import DockerSandboxProvider
        from codin.sandbox.network import ProxyRoom

        room = ProxyRoom(private=self._private)
        return DockerSandboxProvider(self._address, image=image, network=room)


def platform_of(found: Interpreter) -> str | None:
    """The platform of wheels for it, as uv names it; ``None`` for this machine's own."""
    libc, version = found.libc
    if (found.machine, found.libc) == (platform.machine(), platform.libc_ver()):
        return None
    if libc != "glibc":
        return f"{found.machine}-unknown-linux-musl"
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    major, minor = _GLIBC if numbers >= _GLIBC else _OLDEST_GLIBC
    return f"{found.machine}-manylinux_{major}_{minor}"


def open_to_containers(run_dir: Path, host_api: Path) -> None:
    """Let the user of containers use what is shown to them: the host's folder, and the socket of
    the host API, which is in a folder that others cannot enter. Root only: it is another user."""
    if os.geteuid() == 0:
        from codin.sandbox.docker.provider import USER

        os.chown(run_dir, USER, USER)
        host_api.chmod(0o666)
