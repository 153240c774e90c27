"""A service in a local sandbox: started, asked whether it is ready, read, and stopped."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator

import anyio

from codin.runtime.base import Deployment, Health, RuntimeFailure, Service
from codin.sandbox.base import Process, Sandbox
from codin.sandbox.errors import SandboxError

_KEPT_LINES = 2000
_LINE_BYTES = 8 * 1024
_TOLD_LINES = 20
_ASK_SECONDS = 0.05
_SOCKET_PATH_BYTES = 107  # what sockaddr_un holds, without its final zero


class LocalDeployment(Deployment):
    """One service and its sandbox. ``endpoint`` is the path of its Unix socket."""

    def __init__(self, service: Service, sandbox: Sandbox) -> None:
        self.service = service
        self.endpoint = str(service.run_path / service.socket)
        self._sandbox = sandbox
        self._process: Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._count = 0
        self._news = asyncio.Event()
        self._end: str | None = None
        self._ready = False

    async def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            RuntimeFailure
        """
        if len(self.endpoint.encode()) > _SOCKET_PATH_BYTES:
            raise RuntimeFailure(f"the path of a socket is too long: {self.endpoint}")
        await self._remove_socket()
        self._process = await self._sandbox.start(self.service.argv, stdin=True)
        self._reading = asyncio.create_task(self._read(self._process))
        try:
            async with asyncio.timeout(self.service.ready_seconds):
                while not await self._answers():
                    if self._end is not None:
                        raise RuntimeFailure(self._told(f"ended: {self._end}"))
                    await asyncio.sleep(_ASK_SECONDS)
        except TimeoutError:
            late = f"did not get ready in {self.service.ready_seconds:g} s"
            raise RuntimeFailure(self._told(late)) from None
        self._ready = True

    async def health(self) -> Health:
        if self._end is not None or self._process is None:
            return "stopped"
        if await self._answers():
            return "healthy"
        return "unhealthy" if self._ready else "starting"

    async def logs(self, *, follow: bool = False) -> AsyncIterator[str]:
        given = self._count - len(self._lines)
        while True:
            first = self._count - len(self._lines)
            for line in list(self._lines)[max(given - first, 0) :]:
                yield line
            given = max(given, first) + len(self._lines) - max(given - first, 0)
            if given < self._count:
                continue
            if not follow or self._end is not None:
                return
            await self._news.wait()

    async def stop(self) -> None:
        await self._sandbox.kill()
        if self._reading is not None:
            await asyncio.wait([self._reading])
        await self._remove_socket()

    async def _remove_socket(self) -> None:
        with contextlib.suppress(OSError):
            await anyio.Path(self.endpoint).unlink(missing_ok=True)

    async def _answers(self) -> bool:
        """Whether it says that it is well."""
        if not await anyio.Path(self.endpoint).is_socket():
            return False
        import httpx

        from codin.unix_socket import unix_transport

        transport = unix_transport(self.endpoint)
        try:
            async with httpx.AsyncClient(
                transport=transport, timeout=5.0, trust_env=False
            ) as client:
                answer = await client.get(f"http://service{self.service.health_path}")
        except (httpx.HTTPError, OSError):
            return False
        return answer.status_code == 200

    async def _read(self, process: Process) -> None:
        rest = {"stdout": b"", "stderr": b""}
        try:
            async for chunk in process.output():
                *lines, rest[chunk.stream] = (rest[chunk.stream] + chunk.data).split(b"\n")
                if len(rest[chunk.stream]) > _LINE_BYTES:
                    lines.append(rest[chunk.stream])
                    rest[chunk.stream] = b""
                self._add(lines)
            self._add([line for line in rest.values() if line])
            result = await process.wait()
            self._end = f"exit code {result.exit_code}"
        except SandboxError as error:
            # The reason too: whoever reads the log of an end looks for it there.
            self._add([*(line for line in rest.values() if line), str(error).encode()])
            self._end = str(error)
        finally:
            self._tell()

    def _add(self, lines: list[bytes]) -> None:
        for line in lines:
            self._lines.append(line[:_LINE_BYTES].decode(errors="replace"))
        self._count += len(lines)
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _told(self, what: str) -> str:
        last = list(self._lines)[-_TOLD_LINES:]
        said = "\n  ".join(["", *last]) if last else " (it printed nothing)"
        return f"the service {self.service.name!r} {what}; its last lines:{said}"
