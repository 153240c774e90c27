"""One runtime over all backends."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping

from codin.errors import InvalidInputError, NotFoundError
from codin.runtime.base import (
    WORKLOAD_KINDS,
    Deployment,
    Runtime,
    RuntimeResult,
    Service,
    UnsupportedWorkload,
    Workload,
)
from codin.sandbox.outcome import OutputChunk

MAX_HANDLES = 1000
"""Runs that are remembered by id; the oldest that has ended goes first."""


class RunHandle:
    """A run that was submitted: to wait for, to follow, to cancel, and to find again by ``id``."""

    def __init__(self, identity: str, result: RuntimeResult) -> None:
        self.id = identity
        self._result = result

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return self._result.ended

    async def result(self) -> RuntimeResult:
        """The complete result. Raises ``asyncio.CancelledError`` when the run was cancelled."""
        return await self._result.done()

    def stream(self) -> AsyncIterator[OutputChunk]:
        """The output from its beginning, and on until its end."""
        return self._result.output()

    async def cancel(self) -> None:
        """End the run. Safe to call twice."""
        await self._result.cancel()


class OmniRuntime(Runtime):
    """Chooses the backend for each workload: the first, in the order given, that runs its kind."""

    name = "omni"

    def __init__(self, backends: Mapping[str, Runtime] | None = None) -> None:
        self._backends: dict[str, Runtime] = dict(backends or {})
        self._handles: dict[str, RunHandle] = {}
        if backends is None:
            from codin.runtime.local import LocalRuntime

            self.register(LocalRuntime())

    @property
    def supports(self) -> frozenset[type]:  # type: ignore[override]
        kinds: frozenset[type] = frozenset()
        return kinds.union(*(backend.supports for backend in self._backends.values()))

    def register(self, backend: Runtime) -> None:
        """Add a backend under its name, in the place of one that has it."""
        self._backends[backend.name] = backend

    def backend(self, name: str) -> Runtime:
        """The backend of that name.

        Raises:
            InvalidInputError: there is none.
        """
        if name not in self._backends:
            have = ", ".join(self._backends) or "none"
            raise InvalidInputError(f"there is no backend {name!r}; there are: {have}")
        return self._backends[name]

    def choose(self, workload: Workload, backend: str | None = None) -> Runtime:
        """The backend for ``workload``: the named one, or the first that runs its kind.

        Raises:
            UnsupportedWorkload, InvalidInputError
        """
        if backend is not None:
            return self.backend(backend)
        kind = type(workload)
        if kind not in WORKLOAD_KINDS:
            raise InvalidInputError(f"{kind.__name__} is not a kind of workload")
        for candidate in self._backends.values():
            if kind in candidate.supports:
                return candidate
        raise UnsupportedWorkload(
            f"no backend here runs {kind.__name__}; here: {', '.join(self._backends) or 'none'}"
        )

    async def run(
        self, workload: Workload, /, *, stream: bool = False, backend: str | None = None
    ) -> RuntimeResult:
        return await self.choose(workload, backend).run(workload, stream=stream)

    def run_sync(self, workload: Workload, /, *, backend: str | None = None) -> RuntimeResult:
        """``run`` for code that has no event loop, as the chosen backend does it."""
        return self.choose(workload, backend).run_sync(workload)

    async def deploy(self, service: Service, *, backend: str | None = None) -> Deployment:
        chosen = self.backend(backend or next(iter(self._backends), "local"))
        return await chosen.deploy(service)

    async def submit(self, workload: Workload, /, *, backend: str | None = None) -> RunHandle:
        """Start ``workload`` and return at once with its handle. Raises what ``run`` raises."""
        result = await self.run(workload, stream=True, backend=backend)
        handle = RunHandle(uuid.uuid4().hex, result)
        self._handles[handle.id] = handle
        self._forget_old()
        return handle

    def handle(self, identity: str) -> RunHandle:
        """The handle of a run that was submitted here.

        Raises:
            NotFoundError: there is none of that id, or it was forgotten.
        """
        if identity not in self._handles:
            raise NotFoundError(f"there is no run {identity!r} here")
        return self._handles[identity]

    async def close(self) -> None:
        for handle in self._handles.values():
            await handle.cancel()
        self._handles.clear()
        for backend in self._backends.values():
            await backend.close()

    def _forget_old(self) -> None:
        for identity, handle in list(self._handles.items()):
            if len(self._handles) <= MAX_HANDLES:
                return
            if handle.ended:
                del self._handles[identity]
