"""A service in a sandbox: started, asked whether it is ready, read, started again, and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import anyio

from codin.errors import InvalidInputError
from codin.runtime._lines import Lines
from codin.runtime.base import Deployment, Health, RuntimeFailure, Service
from codin.sandbox.base import MIB, Limits, Mount, Sandbox, SandboxProvider, SandboxSpec
from codin.sandbox.errors import SandboxError
from codin.sandbox.network.refusal import Refusal

SERVICE_LIMITS = Limits(
    memory_bytes=2048 * MIB, processes=256, wall_seconds=None, output_bytes=None
)
"""What a service may use when it does not say."""

RUN_DIR = "/run/codin"
"""Where a service finds its ``run_dir``."""

_TOLD_LINES = 20
_TOLD_REFUSALS = 3
_ASK_SECONDS = 0.05
_FIRST_WAIT, _MOST_WAIT = 0.5, 30.0
_SOCKET_PATH_BYTES = 107  # what sockaddr_un holds, without its final zero


async def deploy(service: Service, provider: SandboxProvider) -> SandboxDeployment:
    """Start ``service`` in a sandbox of ``provider``, and return when it is ready.

    Raises:
        RuntimeFailure, InvalidInputError, SandboxUnavailable, PermissionDenied
    """
    deployment = SandboxDeployment(service, lambda: _sandbox(service, provider))
    try:
        await deployment.start()
    except BaseException:
        await asyncio.shield(deployment.stop())
        raise
    return deployment


async def _sandbox(service: Service, provider: SandboxProvider) -> Sandbox:
    mounts = service.mounts
    if service.run_dir:
        mounts = (Mount(service.run_path, RUN_DIR, writable=True), *mounts)
    spec = SandboxSpec(
        limits=service.limits or SERVICE_LIMITS,
        least=service.least or SandboxSpec().least,
        mounts=mounts,
        env=service.env,
        requirements=service.requirements,
        machine=bool(service.ports),
        name=service.name,
    )
    return await provider.create(spec)


class SandboxDeployment(Deployment):
    """One service and its sandbox."""

    def __init__(self, service: Service, open_sandbox: Callable[[], Awaitable[Sandbox]]) -> None:
        self.service = service
        self.endpoint = str(service.run_path / service.socket) if service.run_dir else ""
        self._open_sandbox = open_sandbox
        self._sandbox: Sandbox | None = None
        self._ports: dict[int, str] = {}
        self._lines = Lines()
        self._living: asyncio.Task[str] | None = None
        self._starts = 0
        self._ready = False

    @property
    def ports(self) -> Mapping[int, str]:
        return dict(self._ports)

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        return () if self._sandbox is None else self._sandbox.refusals

    @property
    def restarts(self) -> int:
        return max(self._starts - 1, 0)

    async def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            RuntimeFailure, InvalidInputError, SandboxUnavailable, PermissionDenied
        """
        self._check()
        await self._remove_socket()
        await self._open()
        self._living = asyncio.create_task(self._live(), name=f"service {self.service.name}")
        self._living.add_done_callback(lambda _: self._lines.end())
        try:
            async with asyncio.timeout(self.service.ready_seconds):
                while not await self._answers():
                    if self._living.done():
                        raise RuntimeFailure(self._told(f"ended: {self._living.result()}"))
                    await asyncio.sleep(_ASK_SECONDS)
        except TimeoutError:
            late = f"did not get ready in {self.service.ready_seconds:g} s"
            raise RuntimeFailure(self._told(late)) from None
        self._ready = True

    @property
    def ended(self) -> bool:
        return self._living is None or self._living.done()

    async def health(self) -> Health:
        if self.ended:
            return "stopped"
        if await self._answers():
            self._ready = True
            return "healthy"
        return "unhealthy" if self._ready else "starting"

    def logs(self, *, follow: bool = False) -> AsyncIterator[str]:
        return self._lines.read(follow=follow)

    async def stop(self) -> None:
        if self._living is not None:
            self._living.cancel()
            await asyncio.wait([self._living])
        if self._sandbox is not None:
            await self._sandbox.kill()
        await self._remove_socket()

    def _check(self) -> None:
        if not self.service.run_dir and not self.service.ports:
            raise InvalidInputError(
                f"the service {self.service.name!r} serves nowhere: give a run_dir or ports"
            )
        if len(self.endpoint.encode()) > _SOCKET_PATH_BYTES:
            raise RuntimeFailure(f"the path of a socket is too long: {self.endpoint}")

    async def _open(self) -> Sandbox:
        """A sandbox for it, whose ports are open."""
        self._sandbox = sandbox = await self._open_sandbox()
        for port in self.service.ports:
            self._ports[port] = await sandbox.expose(port)
        if not self.service.run_dir:
            self.endpoint = self._ports[self.service.ports[0]]
        return sandbox

    async def _live(self) -> str:
        """Run it until it ends for good; gives how it did."""
        if self.service.restart == "never" or not self.service.restarts:
            return (await self._once())[1]
        try:
            from tenacity import AsyncRetrying, retry_if_result, stop_after_attempt
            from tenacity.wait import wait_exponential
        except ImportError:
            raise RuntimeFailure("restarts need tenacity: pip install 'codin[platform]'") from None
        retrying = AsyncRetrying(
            retry=retry_if_result(lambda end: end[0]),
            stop=stop_after_attempt(self.service.restarts + 1),
            wait=wait_exponential(multiplier=_FIRST_WAIT, max=_MOST_WAIT),
            retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        )
        end: tuple[bool, str] = await retrying(self._once)
        return end[1]

    async def _once(self) -> tuple[bool, str]:
        """Run it once; gives whether it failed, and how it ended."""
        self._starts += 1
        self._ready = False
        try:
            await self._remove_socket()
            return await self._run(self._sandbox or await self._open())
        except SandboxError as error:
            # The reason too: whoever reads the log of an end looks for it there.
            self._lines.add("stderr", f"{error}\n".encode())
            return True, str(error)

    async def _run(self, sandbox: Sandbox) -> tuple[bool, str]:
        process = await sandbox.start(self.service.argv, stdin=True)
        try:
            async for chunk in process.output():
                self._lines.add(chunk.stream, chunk.data)
            result = await process.wait()
        except SandboxError:
            self._lines.flush()
            await sandbox.kill()  # a new one is made for a next time: this may be full, or gone
            self._sandbox = None
            raise
        finally:
            await asyncio.shield(process.kill())
            self._lines.flush()
        return result.exit_code != 0, f"exit code {result.exit_code}"

    async def _remove_socket(self) -> None:
        if self.service.run_dir:
            with contextlib.suppress(OSError):
                await anyio.Path(self.endpoint).unlink(missing_ok=True)

    async def _answers(self) -> bool:
        """Whether it says that it is well."""
        import httpx

        from codin.unix_socket import unix_transport

        transport, base = None, self.endpoint
        if self.service.run_dir:
            if not await self._has_socket():
                return False
            transport, base = unix_transport(self.endpoint), "http://service"
        try:
            async with httpx.AsyncClient(
                transport=transport, timeout=5.0, trust_env=False
            ) as client:
                answer = await client.get(f"{base}{self.service.health_path}")
        except (httpx.HTTPError, OSError):
            return False
        return answer.status_code == 200

    async def _has_socket(self) -> bool:
        """Whether there is one of its own: a link to another's is none."""
        try:
            found = await anyio.Path(self.endpoint).lstat()
        except OSError:
            return False
        return stat.S_ISSOCK(found.st_mode)

    def _told(self, what: str) -> str:
        last = self._lines.last(_TOLD_LINES)
        said = "\n  ".join(["", *last]) if last else " (it printed nothing)"
        refused = "".join(f"\n  {each.reason}" for each in self.refusals[:_TOLD_REFUSALS])
        told = f"\nconnections were refused:{refused}" if refused else ""
        return f"the service {self.service.name!r} {what}; its last lines:{said}{told}"
