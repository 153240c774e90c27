"""One runtime over all backends."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from codin.errors import InvalidInputError, NotFoundError
from codin.runtime.base import Deployment, Runtime, RuntimeResult, Service, UnsupportedWorkload
from codin.runtime.workload import WORKLOAD_KINDS, Workload
from codin.sandbox.outcome import OutputChunk

_DENIED = "is not allowed by the policy"

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

    def items(self) -> AsyncIterator[Any]:
        """What a generator yields, from the first, and on until its end."""
        return self._result.items()

    async def cancel(self) -> None:
        """End the run. Safe to call twice."""
        await self._result.cancel()


@dataclass(frozen=True, slots=True)
class Policy:
    """Which backends may be used, and in which order they are asked.

    ``order`` names those to be asked first; the others follow as they were given. ``kinds`` has an
    order of its own for a kind of workload, in which no other backend is asked. ``allow`` names
    all that may be used (``None``: any), and ``deny`` those that may not, also when a call names
    them.
    """

    order: tuple[str, ...] = ()
    allow: frozenset[str] | None = None
    deny: frozenset[str] = frozenset()
    kinds: Mapping[type, tuple[str, ...]] = field(default_factory=dict)

    def allows(self, name: str) -> bool:
        """Whether the backend of that name may be used."""
        return name not in self.deny and (self.allow is None or name in self.allow)

    def ordered(self, kind: type, names: Iterable[str]) -> list[str]:
        """Those of ``names`` that are asked for a workload of ``kind``, in their order."""
        have = list(names)
        if kind in self.kinds:
            return [name for name in self.kinds[kind] if name in have]
        first = [name for name in self.order if name in have]
        return [*first, *(name for name in have if name not in first)]


class OmniRuntime(Runtime):
    """Chooses the backend for each workload: the first that can run it here.

    The order is that in which the backends are given, or that of ``policy``. Without ``backends``
    there is the local one only.
    """

    name = "omni"

    def __init__(
        self, backends: Mapping[str, Runtime] | None = None, *, policy: Policy | None = None
    ) -> None:
        self._backends: dict[str, Runtime] = dict(backends or {})
        self._policy = policy or Policy()
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

    async def choose(self, workload: Workload, backend: str | None = None) -> Runtime:
        """The backend for ``workload``: the named one, or the first that can run it.

        Raises:
            UnsupportedWorkload: none can; the message says of each why not.
            InvalidInputError
        """
        kind = type(workload)
        if kind not in WORKLOAD_KINDS:
            raise InvalidInputError(f"{kind.__name__} is not a kind of workload")
        if backend is not None:
            return self._named(backend)
        reasons = []
        for name in self._policy.ordered(kind, self._backends):
            candidate = self._backends[name]
            reason = await candidate.misfit(workload) if self._policy.allows(name) else _DENIED
            if not reason:
                return candidate
            reasons.append(f"{name}: {reason}")
        why = "; ".join(reasons) or "there is none"
        raise UnsupportedWorkload(f"no backend here can run this {kind.__name__} ({why})")

    async def misfit(self, workload: Workload, /) -> str:
        try:
            await self.choose(workload)
        except UnsupportedWorkload as error:
            return str(error)
        return ""

    async def run(
        self, workload: Workload, /, *, stream: bool = False, backend: str | None = None
    ) -> RuntimeResult:
        return await (await self.choose(workload, backend)).run(workload, stream=stream)

    def run_sync(self, workload: Workload, /, *, backend: str | None = None) -> RuntimeResult:
        """``run`` for code that has no event loop, as the chosen backend does it."""
        import anyio

        return anyio.run(self.choose, workload, backend).run_sync(workload)

    async def deploy(self, service: Service, *, backend: str | None = None) -> Deployment:
        names = self._policy.ordered(Service, self._backends)
        able = [name for name in names if self._policy.allows(name)]
        return await self._named(backend or next(iter(able), "local")).deploy(service)

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

    def _named(self, name: str) -> Runtime:
        if not self._policy.allows(name):
            raise UnsupportedWorkload(f"the backend {name!r} {_DENIED}")
        return self.backend(name)

    def _forget_old(self) -> None:
        for identity, handle in list(self._handles.items()):
            if len(self._handles) <= MAX_HANDLES:
                return
            if handle.ended:
                del self._handles[identity]
