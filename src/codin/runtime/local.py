"""Workloads on this machine, each in a local sandbox."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from codin.errors import InvalidInputError
from codin.runtime._endpoint import request
from codin.runtime._result import Emit, Outcome, RunningResult, Work, complete
from codin.runtime._service import LocalDeployment
from codin.runtime.base import (
    Class,
    Command,
    Deployment,
    Endpoint,
    Function,
    Module,
    Runtime,
    RuntimeResult,
    Service,
    UnsupportedWorkload,
    Workload,
    backends_for,
)
from codin.sandbox.base import (
    MIB,
    Limits,
    Mount,
    Sandbox,
    SandboxProvider,
    SandboxSpec,
)
from codin.sandbox.errors import RemoteError, SandboxError
from codin.sandbox.worker.base import Worker, WorkerCall

SERVICE_LIMITS = Limits(
    memory_bytes=2048 * MIB, processes=256, wall_seconds=None, output_bytes=None
)
"""What a service may use when it does not say."""

RUN_DIR = "/run/codin"
"""Where a service finds its ``run_dir``."""


class LocalRuntime(Runtime):
    """Runs workloads in sandboxes of ``provider``; by default these of bubblewrap.

    One sandbox with a Worker is kept ready, so that a call does not wait for a start. An
    endpoint is reached from this process; ``private_endpoints`` allows addresses of this machine
    and of private networks.
    """

    name = "local"
    supports = frozenset({Function, Module, Class, Command, Endpoint})

    def __init__(
        self, provider: SandboxProvider | None = None, *, private_endpoints: bool = False
    ) -> None:
        self._own_provider = provider is None
        self._given = provider
        self._private_endpoints = private_endpoints
        self._keep_ready = True
        self._ready: asyncio.Task[tuple[Sandbox, Worker]] | None = None
        self._instances: dict[str, tuple[str, Sandbox, Worker]] = {}
        self._running: set[RunningResult] = set()
        self._deployments: set[LocalDeployment] = set()

    @property
    def provider(self) -> SandboxProvider:
        """What makes the sandboxes."""
        if self._given is None:
            from codin.sandbox.local import LocalSandboxProvider

            self._given = LocalSandboxProvider()
        return self._given

    async def run(self, workload: Workload, /, *, stream: bool = False) -> RuntimeResult:
        result = RunningResult(await self._work_of(workload))
        self._running = {other for other in self._running if not other.ended} | {result}
        return result if stream else await complete(result)

    def run_sync(self, workload: Workload, /) -> RuntimeResult:
        """``run`` for code that has no event loop.

        Each such call has a loop and a runtime of its own, like this one: nothing is kept ready,
        and an instance that is kept by name is kept until the end of the call only.
        """
        import anyio

        async def alone() -> RuntimeResult:
            given = None if self._own_provider else self._given
            twin = LocalRuntime(given, private_endpoints=self._private_endpoints)
            twin._keep_ready = False
            try:
                return await twin.run(workload)
            finally:
                await twin.close()

        return anyio.run(alone)

    async def deploy(self, service: Service) -> Deployment:
        limits = service.limits or SERVICE_LIMITS
        mounts = (Mount(service.run_path, RUN_DIR, writable=True), *service.mounts)
        spec = SandboxSpec(limits=limits, mounts=mounts, env=service.env)
        deployment = LocalDeployment(service, await self.provider.create(spec))
        self._deployments.add(deployment)
        try:
            await deployment.start()
        except BaseException:
            await asyncio.shield(deployment.stop())
            raise
        return deployment

    async def close(self) -> None:
        for deployment in self._deployments:
            await deployment.stop()
        for result in self._running:
            await result.cancel()
        for _, sandbox, _ in self._instances.values():
            await sandbox.kill()
        self._instances.clear()
        if self._ready is not None:
            ready, self._ready = self._ready, None
            ready.cancel()
            with contextlib.suppress(asyncio.CancelledError, SandboxError):
                await (await ready)[0].kill()
        if self._own_provider and self._given is not None:
            await self._given.close()

    async def _work_of(self, workload: Workload) -> Work:
        """What to do for ``workload``; sandboxes are made now, so that a refusal is raised here."""
        match workload:
            case Function():
                return await self._function(workload)
            case Class():
                return await self._class(workload)
            case Module() | Command():
                return await self._command(workload)
            case Endpoint():
                return lambda emit: request(workload, emit, private=self._private_endpoints)
            case _:
                kind = type(workload)
                raise UnsupportedWorkload(
                    f"the local backend does not run {kind.__name__}; "
                    f"these do: {', '.join(backends_for(kind)) or 'none'}"
                )

    async def _function(self, workload: Function) -> Work:
        sandbox, worker = await self._take(workload)

        async def work(emit: Emit) -> Outcome:
            async with _ended(sandbox):
                call = worker.call(
                    workload.target, workload.args, workload.kwargs, source=workload.source
                )
                return await _follow(call, emit)

        return work

    async def _class(self, workload: Class) -> Work:
        if workload.instance is None:
            sandbox, worker = await self._take(workload)
            return lambda emit: _use_once(sandbox, worker, workload, emit)
        kept = self._instances.get(workload.instance)
        if kept is None:
            kept = (workload.target, *await self._take(workload))
            self._instances[workload.instance] = kept
            return lambda emit: self._use_kept(workload, emit, new=True)
        if kept[0] != workload.target:
            raise InvalidInputError(
                f"the instance {workload.instance!r} is of {kept[0]}, not of {workload.target}"
            )
        return lambda emit: self._use_kept(workload, emit, new=False)

    async def _use_kept(self, workload: Class, emit: Emit, *, new: bool) -> Outcome:
        """Call a kept instance; one whose process has ended is forgotten, and so made anew."""
        assert workload.instance is not None
        _, sandbox, worker = self._instances[workload.instance]
        try:
            if new:
                await _follow(_construct(worker, workload), emit)
            return await _follow(_method(worker, workload), emit)
        except BaseException as error:
            if new or not isinstance(error, RemoteError):
                self._instances.pop(workload.instance, None)
                await asyncio.shield(sandbox.kill())
            raise

    async def _command(self, workload: Module | Command) -> Work:
        sandbox = await self.provider.create(_spec(workload))

        async def work(emit: Emit) -> Outcome:
            async with _ended(sandbox):
                if isinstance(workload, Module):
                    for path, text in workload.files.items():
                        await sandbox.fs.write(path, text.encode())
                    argv, stdin = ("python", "-m", workload.name, *workload.argv), b""
                else:
                    argv, stdin = workload.argv, workload.stdin
                result = await sandbox.exec(argv, stdin=stdin, on_output=emit)
                return Outcome(exit_code=result.exit_code, usage=result.usage)

        return work

    async def _take(self, workload: Function | Class) -> tuple[Sandbox, Worker]:
        """A fresh sandbox with a Worker: the one that is ready, when it is as it should be."""
        spec = _spec(workload)
        if spec != SandboxSpec():
            return await self._prepare(spec)
        ready, self._ready = self._ready, None
        try:
            if ready is not None:
                return await ready
            return await self._prepare(spec)
        finally:
            if self._keep_ready:
                self._ready = asyncio.create_task(self._prepare(SandboxSpec()))

    async def _prepare(self, spec: SandboxSpec) -> tuple[Sandbox, Worker]:
        sandbox = await self.provider.create(spec)
        try:
            return sandbox, await sandbox.worker()
        except BaseException:
            await asyncio.shield(sandbox.kill())
            raise


def _spec(workload: Function | Class | Module | Command) -> SandboxSpec:
    spec = SandboxSpec(mounts=workload.mounts, env=dict(workload.env))
    return spec if workload.limits is None else replace(spec, limits=workload.limits)


@asynccontextmanager
async def _ended(sandbox: Sandbox) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await asyncio.shield(sandbox.kill())


async def _use_once(sandbox: Sandbox, worker: Worker, workload: Class, emit: Emit) -> Outcome:
    async with _ended(sandbox):
        await _follow(_construct(worker, workload), emit)
        return await _follow(_method(worker, workload), emit)


def _construct(worker: Worker, workload: Class) -> WorkerCall:
    return worker.construct(
        workload.instance or "it",
        workload.target,
        workload.init_args,
        workload.init_kwargs,
        source=workload.source,
    )


def _method(worker: Worker, workload: Class) -> WorkerCall:
    return worker.method(workload.instance or "it", workload.method, workload.args, workload.kwargs)


async def _follow(call: WorkerCall, emit: Emit) -> Outcome:
    """Pass the output of a call on; give its value."""
    try:
        async for chunk in call.output():
            emit(chunk)
        value: Any = await call
    except asyncio.CancelledError:
        await asyncio.shield(call.cancel())
        raise
    return Outcome(value=value, usage=call.usage)
