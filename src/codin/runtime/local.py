"""Workloads on this machine, each in a local sandbox."""

from __future__ import annotations

from collections.abc import Iterable

from codin.runtime._result import Work
from codin.runtime._service import RUN_DIR, SERVICE_LIMITS
from codin.runtime.http import caller
from codin.runtime.sandboxed import SandboxRuntime
from codin.runtime.secret import Secrets
from codin.runtime.workload import Class, Command, Endpoint, Function, Module, Workload
from codin.sandbox.base import SandboxProvider
from codin.sandbox.pool import PoolPolicy

__all__ = ["RUN_DIR", "SERVICE_LIMITS", "LocalRuntime"]


class LocalRuntime(SandboxRuntime):
    """Runs workloads in sandboxes of ``provider``; by default these of bubblewrap.

    An endpoint is reached from this process, as by ``HttpRuntime``.
    """

    name = "local"
    supports = frozenset({Function, Module, Class, Command, Endpoint})

    def __init__(
        self,
        provider: SandboxProvider | None = None,
        *,
        private_endpoints: bool | Iterable[str] = False,
        secrets: Secrets | None = None,
        pool: PoolPolicy | None = None,
    ) -> None:
        super().__init__(provider, pool=pool)
        self._endpoints = (private_endpoints, secrets)
        self._caller = caller(private_endpoints, secrets)

    async def misfit(self, workload: Workload, /) -> str:
        return "" if isinstance(workload, Endpoint) else await super().misfit(workload)

    async def close(self) -> None:
        await super().close()
        await self._caller.close()

    async def _work_of(self, workload: Workload) -> Work:
        if isinstance(workload, Endpoint):
            return await self._caller.work(workload)
        return await super()._work_of(workload)

    def _make_provider(self) -> SandboxProvider:
        from codin.sandbox.local import LocalSandboxProvider

        return LocalSandboxProvider()

    def _twin(self) -> LocalRuntime:
        given = None if self._own_provider else self._given
        private_endpoints, secrets = self._endpoints
        return LocalRuntime(
            given, private_endpoints=private_endpoints, secrets=secrets, pool=PoolPolicy(ready=0)
        )
