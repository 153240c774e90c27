"""The service, opened and closed with the platform."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.types import ASGIApp

from codin.config import E2bSettings
from codin.gateway.auth import Authenticator, GuardMiddleware
from codin.gateway.e2b.app import E2bApp
from codin.gateway.e2b.ports import PortProxy
from codin.gateway.e2b.sandboxes import SandboxService
from codin.gateway.quota import Quota
from codin.sandbox import SandboxProvider
from codin.security import Access


@dataclass(frozen=True, slots=True)
class E2bMount:
    """An open service, to be put in front of the gateway's own application."""

    service: SandboxService
    proxy: PortProxy
    open_ports: bool

    def around(
        self, inner: ASGIApp, authenticator: Authenticator, guard: GuardMiddleware, quota: Quota
    ) -> ASGIApp:
        """``inner``, with the service in front of it."""
        return E2bApp(
            inner,
            self.service,
            self.proxy,
            authenticator=authenticator,
            guard=guard,
            quota=quota,
            open_ports=self.open_ports,
        )


@asynccontextmanager
async def open_e2b(
    settings: E2bSettings, access: Access, provider: SandboxProvider, *, guarded: bool
) -> AsyncIterator[E2bMount]:
    """The service over ``provider`` until the block is left, which ends its sandboxes.

    ``guarded`` says that the gateway asks who calls: then ports of sandboxes ask for a token too.
    """
    service = SandboxService(provider, access, settings)
    proxy = PortProxy()
    service.begin()
    try:
        yield E2bMount(service, proxy, open_ports=not guarded)
    finally:
        await service.close()
        await proxy.close()
