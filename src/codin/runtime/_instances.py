"""Objects that live between calls: each with a lease, and any number under one name."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from codin.errors import InvalidInputError
from codin.runtime._code import Coder
from codin.runtime._result import Outcome, Sink
from codin.runtime.base import InstanceGone
from codin.runtime.workload import Class
from codin.sandbox.errors import RemoteError

MAX_REMEMBERED = 10_000
"""Names whose lease has ended that are still told of; the oldest are forgotten."""

Key = tuple[str, str]
Take = Callable[[Class], Awaitable[Coder]]


@dataclass(slots=True)
class _Instance:
    """One object. ``users`` are the calls that it runs or that wait for it."""

    coder: Coder | None = None
    users: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    lease: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class _Name:
    target: str
    instances: list[_Instance] = field(default_factory=list)


class Instances:
    """The kept instances of one runtime. ``take`` gives the place for a new one."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._names: dict[Key, _Name] = {}
        self._gone: OrderedDict[Key, str] = OrderedDict()
        self._ending: set[asyncio.Task[None]] = set()

    def check(self, workload: Class) -> None:
        """Raises ``InvalidInputError`` when the name is another class's, or a number is no good."""
        if workload.instances < 1 or (workload.lease_seconds or 1) <= 0:
            raise InvalidInputError("an instance has instances >= 1 and lease_seconds > 0 or None")
        known = self._names.get(_key(workload))
        if known is not None and known.target != workload.target:
            raise InvalidInputError(
                f"the instance {workload.instance!r} is of {known.target}, not of {workload.target}"
            )

    async def use(self, workload: Class, sink: Sink) -> Outcome:
        """Call the method on an instance of that name, made now where there is none to spare.

        One whose process has ended is forgotten, and so made anew by the next call.

        Raises:
            InstanceGone: its lease has ended, and ``fresh`` was not asked for.
        """
        async with self._one(workload) as instance:
            new = instance.coder is None
            try:
                if instance.coder is None:
                    instance.coder = await self._take(workload)
                    await instance.coder.construct(workload, sink)
                return await instance.coder.method(workload, sink)
            except BaseException as error:
                if new or not isinstance(error, RemoteError):
                    await asyncio.shield(self._end(_key(workload), instance))
                raise

    async def close(self) -> None:
        """End all of them."""
        for key, name in list(self._names.items()):
            for instance in list(name.instances):
                await self._end(key, instance)
        for ending in list(self._ending):
            await ending

    @asynccontextmanager
    async def _one(self, workload: Class) -> AsyncIterator[_Instance]:
        """The turn on an instance, whose lease is renewed by it."""
        while True:
            instance = self._choose(workload)
            instance.users += 1
            if instance.lease is not None:
                instance.lease.cancel()
            try:
                async with instance.turn:
                    name = self._names.get(_key(workload))
                    if name is None or instance not in name.instances:
                        continue  # it has ended while this call waited for it
                    yield instance
                    return
            finally:
                instance.users -= 1
                self._lease(workload, instance)

    def _choose(self, workload: Class) -> _Instance:
        """The one with the least to do; a new one while all are busy and there may be more."""
        key = _key(workload)
        if key in self._gone:
            told = self._gone[key]
            if not workload.fresh:
                raise InstanceGone(told)
            del self._gone[key]
        name = self._names.setdefault(key, _Name(workload.target))
        best = min(name.instances, key=lambda each: each.users, default=None)
        if best is None or (best.users and len(name.instances) < workload.instances):
            best = _Instance()
            name.instances.append(best)
        return best

    def _lease(self, workload: Class, instance: _Instance) -> None:
        if workload.lease_seconds is None or instance.users or instance.coder is None:
            return
        loop = asyncio.get_running_loop()
        instance.lease = loop.call_later(
            workload.lease_seconds, self._expire, workload, instance, time.time()
        )

    def _expire(self, workload: Class, instance: _Instance, since: float) -> None:
        key = _key(workload)
        self._drop(key, instance)
        if key not in self._names:
            last = time.strftime("%H:%M:%S", time.gmtime(since))
            self._gone[key] = (
                f"the lease of the instance {workload.instance!r} has ended "
                f"{workload.lease_seconds:g} s after its last call ({last} UTC), and its state "
                "is lost: fresh=True begins a new one"
            )
            while len(self._gone) > MAX_REMEMBERED:
                self._gone.popitem(last=False)
        ending = asyncio.ensure_future(_kill(instance))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _end(self, key: Key, instance: _Instance) -> None:
        self._drop(key, instance)
        await _kill(instance)

    def _drop(self, key: Key, instance: _Instance) -> None:
        if instance.lease is not None:
            instance.lease.cancel()
        name = self._names.get(key)
        if name is not None and instance in name.instances:
            name.instances.remove(instance)
            if not name.instances:
                del self._names[key]


async def _kill(instance: _Instance) -> None:
    if instance.coder is not None:
        await instance.coder.end()


def _key(workload: Class) -> Key:
    assert workload.instance is not None
    return workload.owner, workload.instance
