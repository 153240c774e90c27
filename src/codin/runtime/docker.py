"""Workloads in containers of an engine on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from codin.runtime._endpoint import EndpointCaller
from codin.runtime._result import Outcome, Sink, Work
from codin.runtime.base import UnsupportedWorkload
from codin.runtime.providers import provider_of
from codin.runtime.sandboxed import SandboxRuntime, given_back, spec_of, told
from codin.runtime.secret import Secrets
from codin.runtime.workload import Class, Command, Container, Endpoint, Function, Module, Workload
from codin.sandbox.base import Process, Sandbox, SandboxProvider
from codin.sandbox.pool import PoolPolicy

if TYPE_CHECKING:
    import httpx


class DockerRuntime(SandboxRuntime):
    """Runs workloads in containers of ``provider``; by default those of the engine that is found.

    A container of an image has ``/workspace``, the network and the limits of a sandbox beside it.
    An endpoint is called from inside a container that reaches its host and port only. What it may
    reach of private networks are the exact ``host:port`` of ``private_endpoints``. ``secrets`` is
    where ``Endpoint.auth`` is found.
    """

    name = "docker"
    supports = frozenset({Function, Module, Class, Command, Container, Endpoint})

    def __init__(
        self,
        provider: SandboxProvider | None = None,
        *,
        private_endpoints: Iterable[str] = (),
        secrets: Secrets | None = None,
        pool: PoolPolicy | None = None,
    ) -> None:
        super().__init__(provider, pool=pool)
        self._endpoints = (tuple(private_endpoints), secrets)
        self._caller: EndpointCaller | None = None

    async def close(self) -> None:
        await super().close()
        if self._caller is not None:
            await self._caller.close()

    async def _work_of(self, workload: Workload) -> Work:
        if not isinstance(workload, Endpoint):
            return await super()._work_of(workload)
        if self._caller is None:
            self._caller = self._make_caller()
        return await self._caller.work(workload)

    async def _attempt(self, workload: Workload) -> Work:
        if not isinstance(workload, Container):
            return await super()._attempt(workload)
        coder = await self._take(workload)

        async def work(sink: Sink) -> Outcome:
            async with given_back(coder):
                return await told(_run(coder.sandbox, workload, sink), coder.sandbox, workload)

        return work

    def _make_caller(self) -> EndpointCaller:
        from codin.security.outgoing import OutgoingGuard

        private, secrets = self._endpoints
        return EndpointCaller(OutgoingGuard(private), secrets, transport=self._transport)

    def _transport(self) -> httpx.AsyncBaseTransport:
        from codin.runtime._inside_transport import InsideTransport

        return InsideTransport(self._workers, spec_of)

    def _make_provider(self) -> SandboxProvider:
        return provider_of(self.name, private=self._endpoints[0])

    def _twin(self) -> DockerRuntime:
        given = None if self._own_provider else self._given
        private, secrets = self._endpoints
        return DockerRuntime(
            given, private_endpoints=private, secrets=secrets, pool=PoolPolicy(ready=0)
        )


async def _run(sandbox: Sandbox, workload: Container, sink: Sink) -> Outcome:
    from codin.sandbox.docker.sandbox import DockerSandbox

    if not isinstance(sandbox, DockerSandbox):
        raise UnsupportedWorkload("the provider of this backend is none of containers")
    process = await sandbox.run_image(workload.image, workload.argv, stdin=True)
    feeding = asyncio.create_task(_feed(process, workload.stdin))
    try:
        async for chunk in process.output():
            sink.chunk(chunk)
        result = await process.wait()
    finally:
        feeding.cancel()
        await asyncio.wait([feeding])
        await asyncio.shield(process.kill())
    return Outcome(exit_code=result.exit_code, usage=result.usage)


async def _feed(process: Process, data: bytes) -> None:
    if data:
        await process.write(data)
    await process.close_stdin()
