"""The engine: Docker, or Podman by the same API. Every question has a time within which it ends."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from codin.sandbox.errors import SandboxUnavailable

if TYPE_CHECKING:
    from aiodocker import Docker

HOW_TO_GET_IT = (
    "start one (`make system` installs Docker; then `dockerd`), or name its address in DOCKER_HOST"
)
ASK_SECONDS = 30.0
"""How long any question but building and pulling may take."""

NOT_FOUND, CONFLICT = 404, 409
_NO_CONNECTION = 900


class EngineError(SandboxUnavailable):
    """The engine refused; ``status`` is what it answered by."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def find_address() -> str:
    """Where an engine may be: ``DOCKER_HOST``, Docker's socket, or Podman's."""
    if given := os.environ.get("DOCKER_HOST"):
        return given
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    for path in (
        "/var/run/docker.sock",
        f"{runtime}/docker.sock",
        f"{runtime}/podman/podman.sock",
        "/run/podman/podman.sock",
    ):
        if Path(path).is_socket() and os.access(path, os.W_OK):
            return f"unix://{path}"
    return "unix:///var/run/docker.sock"


class Engine:
    """One connection to an engine, made when it is first asked."""

    def __init__(self, address: str | None = None) -> None:
        self.address = address or find_address()
        self.turns = asyncio.Semaphore(2 * (os.cpu_count() or 1))
        """To be held by what keeps an engine busy: containers are made and removed a few at once,
        so that none waits for all others within its own time."""
        self._client: Docker | None = None
        self._podman: bool | None = None

    @property
    def local(self) -> bool:
        """Whether it runs on this machine, and so can show folders of it."""
        return self.address.startswith("unix://")

    @asynccontextmanager
    async def asked(self, what: str, seconds: float | None = None) -> AsyncIterator[Docker]:
        """The client, for one question. ``what`` is told when it fails.

        Raises:
            EngineError: it refused.
            SandboxUnavailable: it is not there, or did not answer in time.
        """
        from aiodocker.exceptions import DockerError

        seconds = seconds or ASK_SECONDS
        try:
            async with asyncio.timeout(seconds):
                yield self._connected()
        except TimeoutError:
            raise SandboxUnavailable(
                f"the engine at {self.address} did not {what} within {seconds:g} s"
            ) from None
        except (DockerError, OSError) as error:
            status = getattr(error, "status", _NO_CONNECTION)
            if status == _NO_CONNECTION:
                raise SandboxUnavailable(
                    f"no container engine answers at {self.address}; {HOW_TO_GET_IT}"
                ) from error
            said = getattr(error, "message", str(error))
            raise EngineError(f"the engine could not {what}: {said}", status) from error

    async def is_podman(self) -> bool:
        """Whether it is Podman, that speaks Docker's API."""
        if self._podman is None:
            async with self.asked("say what it is") as client:
                parts = (await client.version()).get("Components") or ()
            self._podman = any("Podman" in part.get("Name", "") for part in parts)
        return self._podman

    async def close(self) -> None:
        """Let the connection go."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()

    def _connected(self) -> Docker:
        if self._client is None:
            try:
                from aiodocker import Docker
            except ImportError as error:
                raise SandboxUnavailable(
                    "sandboxes in Docker need its client: pip install 'codin[docker]'"
                ) from error
            self._client = Docker(url=self.address)
        return self._client
