"""Warm Workers: started before they are asked for, and used again by those who may."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from codin.errors import InvalidInputError
from codin.sandbox._warm import ForkingWorker, Stock, Warm
from codin.sandbox.base import Sandbox, SandboxProvider, SandboxSpec
from codin.sandbox.errors import SandboxError, SandboxGone
from codin.sandbox.worker.base import Worker

_REFILL_SECONDS = 0.01
"""Starting the next one waits so long: who has just taken one makes its call first."""


class Reuse(StrEnum):
    """What a Worker may have been used for before, and what becomes of it afterwards.

    ``KEEP``: state is kept; the same owner gets the same Worker again. ``FORK``: the Worker stays,
    and each call runs in a copy of it that keeps nothing. ``ONE_SHOT``: a sandbox that nobody has
    used before, thrown away afterwards.
    """

    KEEP = "keep"
    FORK = "fork"
    ONE_SHOT = "one-shot"


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    """How many Workers are held, and how long.

    ``ready`` unused ones of each spec that is asked for again (or given to ``warm``); ``most``
    sandboxes at the same time, whatever they do; ``idle_seconds`` until one that nobody takes is
    ended; ``calls``: how often a Worker is taken before a new one replaces it.

    Raises:
        InvalidInputError: a number that is no such number.
    """

    ready: int = 1
    most: int = 16
    idle_seconds: float = 300.0
    calls: int | None = None

    def __post_init__(self) -> None:
        if self.ready < 0 or self.most < 1 or self.ready > self.most:
            raise InvalidInputError("a pool holds at least one sandbox, and `ready` of `most`")
        if not self.idle_seconds > 0 or (self.calls is not None and self.calls < 1):
            raise InvalidInputError("idle_seconds and calls are above zero")


@dataclass(frozen=True, slots=True)
class PoolState:
    """Sandboxes of a pool now: never used and ready, kept for their owner, taken, starting, and
    being ended."""

    ready: int
    idle: int
    taken: int
    starting: int
    ending: int


class WorkerPool:
    """Workers of one provider, warm, for one running loop.

    Use it so::

        pool = WorkerPool(LocalSandboxProvider(), PoolPolicy(ready=2, most=8))
        await pool.warm(SandboxSpec())          # optional: else from the second take on
        async with pool.take(spec, owner="tenant/user", mode=Reuse.ONE_SHOT) as worker:
            value = await worker.call("module:function", [1], source=text)
        await pool.close()                      # ends its sandboxes, not the provider

    A Worker that was used by one ``owner`` is never given to another; one that nobody has used may
    be taken by anybody who asks for an equal spec. Only the taker uses it, until the block ends.
    A Worker that has ended, or whose call has not, does not come back. When ``most`` are there,
    the one that has been idle longest is ended; when none is idle, ``take`` waits, first come
    first served.
    """

    def __init__(self, provider: SandboxProvider, policy: PoolPolicy | None = None) -> None:
        self._provider = provider
        self._policy = policy or PoolPolicy()
        self._stocks: dict[Any, Stock] = {}
        self._kept: dict[tuple[Any, str, Reuse], deque[Warm]] = {}
        self._taken: set[Warm] = set()
        self._starting = self._ending = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def state(self) -> PoolState:
        """What it holds now."""
        return PoolState(
            ready=sum(len(stock.ready) for stock in self._stocks.values()),
            idle=sum(map(len, self._kept.values())),
            taken=len(self._taken),
            starting=self._starting,
            ending=self._ending,
        )

    @asynccontextmanager
    async def take(
        self, spec: SandboxSpec, *, owner: str, mode: Reuse = Reuse.ONE_SHOT
    ) -> AsyncIterator[Worker]:
        """A Worker in a sandbox of ``spec``, until the end of the block.

        With ``FORK`` it calls functions and runs code, each time from the same state; it makes no
        objects.

        Raises:
            SandboxUnavailable, PermissionDenied: as ``SandboxProvider.create``; also for a start
                in the background that failed since the last take of this spec.
            SandboxGone: the pool was closed.
            InvalidInputError: there is no owner.
        """
        async with self.take_place(spec, owner=owner, mode=mode) as (_, worker):
            yield worker

    @asynccontextmanager
    async def take_place(
        self, spec: SandboxSpec, *, owner: str, mode: Reuse = Reuse.ONE_SHOT
    ) -> AsyncIterator[tuple[Sandbox, Worker]]:
        """A Worker as ``take`` gives it, with its sandbox: for its files.

        Raises what ``take`` does.
        """
        if not owner:
            raise InvalidInputError("a Worker is taken for an owner; an empty name is nobody's")
        warm = await self._acquire(spec, owner, mode)
        try:
            forks = mode is Reuse.FORK
            yield warm.sandbox, ForkingWorker(warm.worker) if forks else warm.worker
        finally:
            self._give_back(warm, owner, mode)

    async def warm(self, spec: SandboxSpec, *, preload: tuple[str, ...] = ()) -> None:
        """Have ``PoolPolicy.ready`` unused Workers of ``spec`` from now on; waits until they are.

        ``preload`` are modules that each of them has imported by then.

        Raises:
            As ``take``; ``RemoteError`` for a module that cannot be imported.
        """
        stock = self._stock(spec)
        stock.preload, stock.takes = preload, 2
        self._refill(stock)
        while stock.starting and stock.failed is None:
            await self._change()
        stock.tell()

    async def close(self) -> None:
        """End every sandbox that was made here. Safe to call twice."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._changed()
        for task in self._tasks:
            if task.get_name() == _START:
                task.cancel()
        idle = [warm for stock in self._stocks.values() for warm in stock.ready]
        idle += [warm for kept in self._kept.values() for warm in kept]
        self._stocks.clear()
        self._kept.clear()
        for warm in (*idle, *self._taken):
            self._end(warm)
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _acquire(self, spec: SandboxSpec, owner: str, mode: Reuse) -> Warm:
        stock = self._stock(spec)
        stock.takes += 1
        stock.waiting += 1
        try:
            while (warm := self._at_hand(stock, owner, mode)) is None:
                stock.tell()
                if stock.starting < stock.waiting and self._room():
                    self._launch(stock)
                await self._change()
        finally:
            stock.waiting -= 1
        warm.takes += 1
        self._taken.add(warm)
        asyncio.get_running_loop().call_later(_REFILL_SECONDS, self._refill, stock)
        return warm

    def _at_hand(self, stock: Stock, owner: str, mode: Reuse) -> Warm | None:
        if self._closed:
            raise SandboxGone("the pool of Workers was closed")
        kept = None if mode is Reuse.ONE_SHOT else self._kept.get((stock.key, owner, mode))
        while kept or stock.ready:
            warm = kept.pop() if kept else stock.ready.popleft()
            if warm.usable:
                return warm
            self._end(warm)
        return None

    def _give_back(self, warm: Warm, owner: str, mode: Reuse) -> None:
        self._taken.discard(warm)
        worn = self._policy.calls is not None and warm.takes >= self._policy.calls
        if self._closed or mode is Reuse.ONE_SHOT or worn or not warm.usable:
            self._end(warm)
            return
        warm.rested()
        self._kept.setdefault((warm.stock.key, owner, mode), deque()).append(warm)
        self._sweep_later()
        self._changed()

    def _room(self) -> bool:
        """Whether one more may be started now; else one that is idle makes room, soon."""
        state = self.state
        there = state.ready + state.idle + state.taken + state.starting + state.ending
        if there < self._policy.most:
            return True
        if state.ending < len(self._waiting) + 1:
            held = [stock.ready for stock in self._stocks.values()] + list(self._kept.values())
            if idle := [(queue[0].since, queue) for queue in held if queue]:
                _, queue = min(idle, key=lambda pair: pair[0])
                self._end(queue.popleft())
        return False

    def _refill(self, stock: Stock) -> None:
        """Start what is missing of the unused ones, where there is room without ending any."""
        known = self._stocks.get(stock.key) is stock
        if self._closed or not known or stock.takes < 2 or stock.failed is not None:
            return
        state = self.state
        there = state.ready + state.idle + state.taken + state.starting + state.ending
        missing = self._policy.ready + stock.waiting - len(stock.ready) - stock.starting
        for _ in range(min(missing, self._policy.most - there)):
            self._launch(stock)

    def _launch(self, stock: Stock) -> None:
        self._starting += 1
        stock.starting += 1
        self._keep(self._start(stock), _START)

    async def _start(self, stock: Stock) -> None:
        try:
            stock.ready.append(await stock.start(self._provider))
            self._sweep_later()
        except Exception as error:
            stock.failed = error
        finally:
            self._starting -= 1
            stock.starting -= 1
            self._changed()

    def _end(self, warm: Warm) -> None:
        if not warm.ended:
            warm.ended = True
            self._ending += 1
            self._keep(self._bury(warm), "codin pool end")

    async def _bury(self, warm: Warm) -> None:
        try:
            with suppress(SandboxError, OSError):
                await warm.sandbox.kill()
        finally:
            self._ending -= 1
            self._changed()

    def _keep(self, work: Any, name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _change(self) -> None:
        """Until something has become of some sandbox."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        finally:
            with suppress(ValueError):
                self._waiting.remove(waiter)

    def _changed(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _sweep_later(self) -> None:
        if self._sweeper is None and not self._closed:
            loop = asyncio.get_running_loop()
            self._sweeper = loop.call_later(self._policy.idle_seconds / 2, self._sweep)

    def _sweep(self) -> None:
        """End what nobody has taken for long."""
        self._sweeper = None
        before = asyncio.get_running_loop().time() - self._policy.idle_seconds
        for held in (*(stock.ready for stock in self._stocks.values()), *self._kept.values()):
            while held and held[0].since <= before:
                self._end(held.popleft())
        self._kept = {key: kept for key, kept in self._kept.items() if kept}
        self._stocks = {key: stock for key, stock in self._stocks.items() if stock.needed}
        if self._kept or self._stocks:
            self._sweep_later()

    def _stock(self, spec: SandboxSpec) -> Stock:
        key = _key(spec)
        if key not in self._stocks:
            self._stocks[key] = Stock(key, spec)
        return self._stocks[key]


_START = "codin pool start"


def _key(spec: SandboxSpec) -> tuple[Any, ...]:
    """What two specs have in common that may share what nobody has used."""
    values = (getattr(spec, field.name) for field in fields(spec))
    return tuple(
        tuple(sorted(value.items())) if isinstance(value, Mapping) else value for value in values
    )
