"""What one principal may have of one tool: calls at once, and calls within a minute."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from codin.security import Principal
from codin.tool.base import ToolBusy, ToolSpec

_MINUTE = 60.0
_PRUNED_AT = 1024
_FREE: AbstractAsyncContextManager[None] = nullcontext()


class _Account:
    """The calls of one principal of one tool: how many run, and when those of the last minute
    began."""

    __slots__ = ("begun", "places", "running")

    def __init__(self, concurrency: int | None) -> None:
        self.begun: deque[float] = deque()
        self.running = 0
        self.places = None if concurrency is None else asyncio.Semaphore(concurrency)

    def idle(self, now: float) -> bool:
        return not self.running and (not self.begun or self.begun[-1] <= now - _MINUTE)


class Allowances:
    """Holds calls to ``ToolLimits.concurrency`` and ``ToolLimits.per_minute``.

    A call waits for its turn for ``patience`` seconds. Who calls too often is told at once how long
    to wait.
    """

    def __init__(
        self, *, patience: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._patience = patience
        self._clock = clock
        self._accounts: dict[tuple[str, str, str, int | None], _Account] = {}
        self._pruned_at = _PRUNED_AT

    def taken(self, spec: ToolSpec, principal: Principal) -> AbstractAsyncContextManager[None]:
        """Counts a call until the block is left.

        Raises, on entering:
            ToolBusy: there are as many as may be; the message says how long to wait.
        """
        limits = spec.limits
        if limits.concurrency is None and limits.per_minute is None:
            return _FREE
        return self._counted(spec, principal)

    @asynccontextmanager
    async def _counted(self, spec: ToolSpec, principal: Principal) -> AsyncIterator[None]:
        account = self._account(spec, principal)
        self._check_rate(spec, account)
        account.running += 1
        try:
            if account.places is None:
                yield
                return
            await self._wait(spec, account.places)
            try:
                yield
            finally:
                account.places.release()
        finally:
            account.running -= 1

    def _account(self, spec: ToolSpec, principal: Principal) -> _Account:
        key = principal.tenant, principal.subject, spec.name, spec.limits.concurrency
        account = self._accounts.get(key)
        if account is None:
            if len(self._accounts) >= self._pruned_at:
                self._prune()
            account = self._accounts[key] = _Account(spec.limits.concurrency)
        return account

    def _prune(self) -> None:
        now = self._clock()
        self._accounts = {k: one for k, one in self._accounts.items() if not one.idle(now)}
        # Looked through again only when it has doubled: it costs each call next to nothing.
        self._pruned_at = max(_PRUNED_AT, 2 * len(self._accounts))

    def _check_rate(self, spec: ToolSpec, account: _Account) -> None:
        most = spec.limits.per_minute
        if most is None:
            return
        now = self._clock()
        while account.begun and account.begun[0] <= now - _MINUTE:
            account.begun.popleft()
        if len(account.begun) >= most:
            seconds = max(account.begun[-most] + _MINUTE - now, 0.0)
            raise ToolBusy(
                f"{spec.name}: {len(account.begun)} calls within a minute are as many as one "
                f"caller may make; try again in {math.ceil(seconds)} seconds",
                seconds=seconds,
            )
        account.begun.append(now)

    async def _wait(self, spec: ToolSpec, places: asyncio.Semaphore) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await places.acquire()
        except TimeoutError:
            raise ToolBusy(
                f"{spec.name}: {spec.limits.concurrency} calls at once are as many as one caller "
                f"may have, and none of them has ended within {self._patience:g} seconds; try "
                "again when one has",
                seconds=self._patience,
            ) from None
