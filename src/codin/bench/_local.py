"""Sandboxes of this machine, beside plain processes."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from codin.bench._pairs import (
    MS,
    US,
    NotHere,
    Pair,
    at_least,
    at_most,
    first_output,
    over_baseline,
    rate,
    timed,
    typical,
    whole_run,
)
from codin.bench._warm import Many
from codin.bench.base import BenchError
from codin.sandbox.base import Sandbox, SandboxProvider, SandboxSpec
from codin.sandbox.pool import PoolPolicy, Reuse, WorkerPool
from codin.sandbox.worker.base import Worker

if TYPE_CHECKING:
    from codin.bench.sandbox import Effort

SOURCE = "def double(x):\n    return 2 * x\n"
CALLED = "bench:double"
PLAIN = "subprocess"
_PYTHON = (sys.executable, "-I", "-c", f"{SOURCE}print(double(21))")
_READY = 4
_AT_ONCE = 3
"""Workers that are called at the same time, for a rate."""


@asynccontextmanager
async def local(effort: Effort) -> AsyncIterator[list[Pair]]:
    """The pairs of this machine's own sandboxes.

    Raises:
        NotHere
    """
    from codin.sandbox.local import LocalSandboxProvider

    provider = LocalSandboxProvider()
    try:
        support = await provider.probe()
        if not support.available:
            raise NotHere(support.reason)
        workers = [await (await provider.create(SandboxSpec())).worker() for _ in range(_AT_ONCE)]
        pool = WorkerPool(provider, PoolPolicy(ready=_READY, most=2 * _READY))
        try:
            await pool.warm(SandboxSpec())
            yield [
                *_calls(effort, provider, workers[0], pool),
                *_rates(effort, workers),
                *_many(effort, provider),
            ]
        finally:
            await pool.close()
    finally:
        await provider.close()


def _calls(
    effort: Effort, provider: SandboxProvider, worker: Worker, pool: WorkerPool
) -> list[Pair]:
    async def plain(factor: float) -> float:
        return await typical(lambda: whole_run(*_PYTHON), effort.starts, factor)

    def warm() -> Awaitable[float]:
        return timed(lambda: called(worker), 42)

    def fork() -> Awaitable[float]:
        return timed(lambda: called(worker, fresh=True), 42)

    return [
        Pair(
            "local cold",
            "ms",
            lambda: typical(lambda: cold(provider), effort.starts, MS),
            PLAIN,
            lambda: typical(lambda: first_output("echo", "x"), effort.starts, MS),
            over_baseline(10, "ms"),
        ),
        Pair(
            "local warm call",
            "us",
            lambda: typical(warm, effort.calls, US),
            PLAIN,
            lambda: plain(US),
            at_most(50, "us"),
        ),
        Pair(
            "local fork call",
            "ms",
            lambda: typical(fork, effort.forks, MS),
            PLAIN,
            lambda: plain(MS),
            at_most(2, "ms"),
        ),
        Pair(
            "local one-shot call",
            "ms",
            lambda: typical(lambda: _one_shot(pool), effort.starts, MS),
            PLAIN,
            lambda: plain(MS),
            at_most(1, "ms"),
        ),
    ]


def _rates(effort: Effort, workers: Sequence[Worker]) -> list[Pair]:
    def plain() -> Awaitable[object]:
        return whole_run(*_PYTHON)

    def calls(worker: Worker) -> Callable[[], Awaitable[object]]:
        return lambda: called(worker)

    return [
        Pair(
            "local warm rate",
            "1/s",
            lambda: rate(effort.seconds, *map(calls, workers)),
            PLAIN,
            lambda: rate(effort.seconds, *([plain] * len(workers))),
            at_least(20_000, "/s"),
        ),
        Pair(
            "local warm rate of one",
            "1/s",
            lambda: rate(effort.seconds, calls(workers[0])),
            PLAIN,
            lambda: rate(effort.seconds, plain),
            at_least(20_000, "/s"),
        ),
    ]


def _many(effort: Effort, provider: SandboxProvider) -> list[Pair]:
    many = Many(provider, effort.sandboxes, effort.idle_seconds)

    return [
        Pair(
            "rss per warm sandbox",
            "MB",
            many.memory,
            "python process",
            many.plain_memory,
            at_most(8, "MB"),
            once=True,
        ),
        Pair(
            "warm sandboxes at once",
            "",
            many.answering,
            "asked for",
            many.asked,
            at_least(effort.sandboxes, ""),
            once=True,
        ),
        Pair(
            "cpu of idle sandboxes",
            "%",
            many.idle_percent,
            "one core",
            many.core,
            at_most(5, "%"),
            once=True,
        ),
    ]


def called(worker: Worker, *, fresh: bool = False) -> Awaitable[object]:
    """One call of a function that gives 42."""
    return worker.call(CALLED, [21], source=SOURCE, fresh=fresh)


async def cold(provider: SandboxProvider) -> float:
    """Seconds from asking for a sandbox to the first byte of a command in it.

    Raises:
        BenchError: it prints something else than it has to.
    """
    began = time.perf_counter()
    sandbox = await provider.create(SandboxSpec())
    try:
        return await _to_first_output(sandbox, began)
    finally:
        await sandbox.kill()


async def _to_first_output(sandbox: Sandbox, began: float) -> float:
    process = await sandbox.start(["echo", "x"])
    took, said = 0.0, b""
    async for chunk in process.output():
        took = took or time.perf_counter() - began
        said += chunk.data
    await process.wait()
    if said != b"x\n":
        raise BenchError(f"echo in a sandbox gave {said!r:.100}")
    return took


async def _one_shot(pool: WorkerPool) -> float:
    """Seconds to take a Worker that nobody has used and to call it, when one is ready."""
    await pool.warm(SandboxSpec())

    async def once() -> object:
        async with pool.take(SandboxSpec(), owner="bench", mode=Reuse.ONE_SHOT) as worker:
            return await called(worker)

    return await timed(once, 42)
