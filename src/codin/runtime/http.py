"""HTTP endpoints wherever they are, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from codin.runtime._endpoint import EndpointCaller
from codin.runtime._result import RunningResult, complete
from codin.runtime.base import (
    Deployment,
    Runtime,
    RuntimeResult,
    Service,
    UnsupportedWorkload,
    unsupported,
)
from codin.runtime.secret import Secrets
from codin.runtime.workload import Endpoint, Workload

_ANYWHERE = ("0.0.0.0/0", "::/0")


def caller(private_endpoints: bool | Iterable[str], secrets: Secrets | None) -> EndpointCaller:
    """What calls endpoints; ``private_endpoints`` has what may be reached besides public ones."""
    from codin.security.outgoing import OutgoingGuard

    allow = _ANYWHERE if private_endpoints is True else private_endpoints or ()
    return EndpointCaller(OutgoingGuard(allow), secrets)


class HttpRuntime(Runtime):
    """Calls HTTP endpoints from this process.

    ``private_endpoints`` allows addresses of this machine and of private networks: all of them, or
    those that are named as for ``OutgoingGuard``. ``secrets`` is where ``Endpoint.auth`` is found;
    the environment (``CODIN_SECRET_NAME``) when nothing is said.
    """

    name = "http"
    supports = frozenset({Endpoint})

    def __init__(
        self,
        *,
        private_endpoints: bool | Iterable[str] = False,
        secrets: Secrets | None = None,
    ) -> None:
        self._made_with = (private_endpoints, secrets)
        self._caller = caller(private_endpoints, secrets)
        self._running: set[RunningResult] = set()

    async def run(self, workload: Workload, /, *, stream: bool = False) -> RuntimeResult:
        if not isinstance(workload, Endpoint):
            raise unsupported(self.name, workload)
        result = RunningResult(await self._caller.work(workload))
        self._running = {other for other in self._running if not other.ended} | {result}
        return result if stream else await complete(result)

    async def deploy(self, service: Service) -> Deployment:
        raise UnsupportedWorkload(
            f"the {self.name} backend starts no services; these do: local, docker"
        )

    async def close(self) -> None:
        for result in self._running:
            await result.cancel()
        await self._caller.close()

    def _twin(self) -> HttpRuntime:
        private_endpoints, secrets = self._made_with
        return HttpRuntime(private_endpoints=private_endpoints, secrets=secrets)
