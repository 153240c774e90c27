"""A sandbox with its Worker, ready to be taken; and the unused ones of one spec."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

from codin.errors import InvalidInputError
from codin.sandbox.base import Sandbox, SandboxProvider, SandboxSpec
from codin.sandbox.outcome import CodeResult, OnOutput
from codin.sandbox.worker.base import Worker, WorkerCall


class Warm:
    """A sandbox with a Worker that has been heard. ``since`` is when it was last given back."""

    def __init__(self, stock: Stock, sandbox: Sandbox, worker: Worker) -> None:
        self.stock = stock
        self.sandbox = sandbox
        self.worker = worker
        self.takes = 0
        self.ended = False
        self.rested()

    @property
    def usable(self) -> bool:
        """Whether it can be asked now."""
        return not self.ended and self.worker.idle

    def rested(self) -> None:
        self.since = asyncio.get_running_loop().time()


class Stock:
    """The unused Workers of one spec. ``failed`` is why the last one could not be started."""

    def __init__(self, key: Any, spec: SandboxSpec) -> None:
        self.key = key
        self.spec = spec
        self.preload: tuple[str, ...] = ()
        self.ready: deque[Warm] = deque()
        self.takes = self.starting = self.waiting = 0
        self.failed: Exception | None = None

    @property
    def needed(self) -> bool:
        """Whether there is anything of it, or anybody who waits for it."""
        return bool(self.ready or self.starting or self.waiting)

    def tell(self) -> None:
        """Raise, once, why none could be started."""
        failed, self.failed = self.failed, None
        if failed is not None:
            raise failed

    async def start(self, provider: SandboxProvider) -> Warm:
        """One more. A caller that is cancelled leaves none behind."""
        sandbox = await provider.create(self.spec)
        try:
            worker = await sandbox.worker()
            await worker.greet()
            if self.preload:
                await worker.preload(self.preload)
            return Warm(self, sandbox, worker)
        except BaseException:
            await asyncio.shield(sandbox.kill())
            raise


class ForkingWorker(Worker):
    """A Worker each of whose calls runs in a copy of it."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    @property
    def idle(self) -> bool:
        return self._worker.idle

    async def greet(self) -> None:
        await self._worker.greet()

    async def python(self) -> str:
        return await self._worker.python()

    async def preload(self, modules: Sequence[str]) -> None:
        await self._worker.preload(modules)

    def call(
        self,
        target: str,
        /,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] = MappingProxyType({}),
        *,
        source: str | None = None,
        timeout: float | None = None,
        fresh: bool = True,
    ) -> WorkerCall:
        return self._worker.call(target, args, kwargs, source=source, timeout=timeout, fresh=True)

    def construct(self, *_: Any, **__: Any) -> NoReturn:
        raise InvalidInputError(
            "a Worker that forks for each call keeps no objects; take it with Reuse.KEEP"
        )

    def method(self, *_: Any, **__: Any) -> NoReturn:
        self.construct()

    async def run_code(
        self,
        code: str,
        *,
        language: str = "python",
        session: str = "main",
        timeout: float | None = None,
        on_output: OnOutput | None = None,
        fresh: bool = True,
    ) -> CodeResult:
        return await self._worker.run_code(
            code,
            language=language,
            session=session,
            timeout=timeout,
            on_output=on_output,
            fresh=True,
        )

    async def close(self) -> None:
        await self._worker.close()
