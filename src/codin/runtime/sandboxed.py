"""Workloads in sandboxes, whoever makes these."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace
from weakref import WeakKeyDictionary

from codin.errors import InvalidInputError
from codin.runtime._artifacts import check_patterns, with_artifacts
from codin.runtime._code import Coder
from codin.runtime._instances import Instances
from codin.runtime._result import Outcome, RunningResult, Sink, Work, complete
from codin.runtime._retry import retried
from codin.runtime._service import SandboxDeployment, deploy
from codin.runtime._shipping import check_bundle
from codin.runtime.base import Deployment, Runtime, RuntimeResult, Service, unsupported
from codin.runtime.workload import Class, Command, Function, Module, Workload, WorkloadOptions
from codin.sandbox.base import (
    LIMITED,
    Isolation,
    Limits,
    Sandbox,
    SandboxProvider,
    SandboxSpec,
    SandboxSupport,
)
from codin.sandbox.errors import SandboxError
from codin.sandbox.pool import PoolPolicy, Reuse, WorkerPool
from codin.sandbox.worker.base import Worker

POOL = PoolPolicy(ready=1, most=64, idle_seconds=120)
"""How many Workers are held when nothing is said."""

_ORDER = list(Isolation)
_NOBODY = "-"


class SandboxRuntime(Runtime):
    """Runs code and commands in sandboxes of a provider, each run in one of its own.

    Those with a Worker come from a pool that has some ready, so that a call does not wait for a
    start; ``pool`` says how many.
    """

    supports = frozenset({Function, Module, Class, Command})

    def __init__(
        self, provider: SandboxProvider | None = None, *, pool: PoolPolicy | None = None
    ) -> None:
        self._own_provider = provider is None
        self._given = provider
        self._policy = pool or POOL
        self._pool: WorkerPool | None = None
        self._has: WeakKeyDictionary[Worker, set[str]] = WeakKeyDictionary()
        self._instances = Instances(self._prepare)
        self._running: set[RunningResult] = set()
        self._deployments: set[SandboxDeployment] = set()

    @property
    def provider(self) -> SandboxProvider:
        """What makes the sandboxes."""
        if self._given is None:
            self._given = self._make_provider()
        return self._given

    @abstractmethod
    def _make_provider(self) -> SandboxProvider:
        """The provider of this backend, where none was given."""

    async def misfit(self, workload: Workload, /) -> str:
        if type(workload) not in self.supports:
            return str(unsupported(self.name, workload))
        least = workload.least or SandboxSpec().least
        support = await self.provider.probe_for(least)
        if not support.available:
            return support.reason
        if _ORDER.index(least) > _ORDER.index(support.isolation):
            return f"gives isolation {support.isolation.value!r}, and {least.value!r} is asked for"
        return _unlimited(workload.limits or Limits(), support)

    async def run(self, workload: Workload, /, *, stream: bool = False) -> RuntimeResult:
        if type(workload) not in self.supports:
            raise unsupported(self.name, workload)
        check_patterns(workload)
        result = RunningResult(await self._work_of(workload))
        self._running = {other for other in self._running if not other.ended} | {result}
        return result if stream else await complete(result)

    async def deploy(self, service: Service) -> Deployment:
        deployment = await deploy(service, self.provider)
        self._deployments.add(deployment)
        return deployment

    async def close(self) -> None:
        for deployment in self._deployments:
            await deployment.stop()
        for result in self._running:
            await result.cancel()
        await self._instances.close()
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.close()
        if self._own_provider and self._given is not None:
            await self._given.close()
            self._given = None

    async def _work_of(self, workload: Workload) -> Work:
        first = await self._attempt(workload)
        if workload.retries is None or not workload.retries.times:
            return first
        return retried(workload.retries, first, lambda: self._attempt(workload))

    async def _attempt(self, workload: Workload) -> Work:
        """One run. What has to be there for it is made now, so that a refusal is raised here."""
        match workload:
            case Function():
                return await self._function(workload)
            case Class(instance=None):
                return await self._class(workload)
            case Class():
                self._instances.check(workload)
                return lambda sink: self._instances.use(workload, sink)
            case Module() | Command():
                return await self._command(workload)
            case _:
                raise unsupported(self.name, workload)

    async def _function(self, workload: Function) -> Work:
        coder = await self._take(workload)

        async def work(sink: Sink) -> Outcome:
            async with given_back(coder):
                return await told(coder.call(workload, sink), coder.sandbox, workload)

        return work

    async def _class(self, workload: Class) -> Work:
        coder = await self._take(workload)

        async def use(sink: Sink) -> Outcome:
            await coder.construct(workload, sink)
            return await coder.method(workload, sink)

        async def work(sink: Sink) -> Outcome:
            async with given_back(coder):
                return await told(use(sink), coder.sandbox, workload)

        return work

    async def _command(self, workload: Module | Command) -> Work:
        if isinstance(workload, Module):
            check_bundle(workload.files)
        sandbox = await self.provider.create(spec_of(workload))

        async def work(sink: Sink) -> Outcome:
            async with _ended(sandbox):
                return await told(_execute(sandbox, workload, sink), sandbox, workload)

        return work

    async def _take(self, workload: WorkloadOptions) -> Coder:
        """A Worker that this workload may have, with its sandbox."""
        reuse = workload.reuse if isinstance(workload, Function) else Reuse.ONE_SHOT
        if reuse is not Reuse.ONE_SHOT and not workload.owner:
            raise InvalidInputError("what is used again has an owner: give one")
        place = self._workers().take_place(
            spec_of(workload), owner=workload.owner or _NOBODY, mode=reuse
        )
        sandbox, worker = await place.__aenter__()

        async def give_back() -> None:
            await place.__aexit__(None, None, None)

        has = self._has.setdefault(worker, set()) if reuse is Reuse.KEEP else None
        return Coder(sandbox, worker, has=has, give_back=give_back)

    def _workers(self) -> WorkerPool:
        if self._pool is None:
            self._pool = WorkerPool(self.provider, self._policy)
        return self._pool

    async def _prepare(self, workload: Class) -> Coder:
        """A sandbox with a Worker, for as long as an instance lives."""
        sandbox = await self.provider.create(spec_of(workload))
        try:
            return Coder(sandbox, await sandbox.worker())
        except BaseException:
            await asyncio.shield(sandbox.kill())
            raise


def spec_of(workload: WorkloadOptions) -> SandboxSpec:
    """The sandbox that a workload asks for."""
    spec = SandboxSpec(
        mounts=workload.mounts, env=dict(workload.env), requirements=workload.requirements
    )
    if workload.least is not None:
        spec = replace(spec, least=workload.least)
    return spec if workload.limits is None else replace(spec, limits=workload.limits)


def _unlimited(limits: Limits, support: SandboxSupport) -> str:
    """What of ``limits`` cannot be had."""
    if limits.network == "open":
        return "opens no network; name what is needed, as network=('example.com:443',)"
    asked = {name for name in (*LIMITED, "cpus") if getattr(limits, name) is not None}
    missing = ", ".join(sorted(asked - support.enforced))
    return f"does not enforce {missing}; None goes without" if missing else ""


@asynccontextmanager
async def given_back(coder: Coder) -> AsyncIterator[None]:
    """Of a run that was cancelled nothing is left when this ends; else the pool sees to that."""
    try:
        yield
    except BaseException:
        await asyncio.shield(coder.end())
        raise
    await coder.give_back()


@asynccontextmanager
async def _ended(sandbox: Sandbox) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await asyncio.shield(sandbox.kill())


async def told(work: Awaitable[Outcome], sandbox: Sandbox, options: WorkloadOptions) -> Outcome:
    """What came of ``work``, with the files that it left."""
    try:
        outcome = await work
    except SandboxError as error:
        outcome = Outcome.of_error(error)
    return await with_artifacts(sandbox, options, outcome)


async def _execute(sandbox: Sandbox, workload: Module | Command, sink: Sink) -> Outcome:
    if isinstance(workload, Module):
        for path, text in workload.files.items():
            await sandbox.fs.write(path, text.encode())
        argv, stdin = ("python", "-m", workload.name, *workload.argv), b""
    else:
        argv, stdin = workload.argv, workload.stdin
    result = await sandbox.exec(argv, stdin=stdin, on_output=sink.chunk)
    return Outcome(exit_code=result.exit_code, usage=result.usage)
