"""Sees to it that every config is told its task's news, by exactly one process at a time."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Self
from weakref import WeakValueDictionary

from codin.ending import end
from codin.security import Principal
from codin.task.errors import TaskError
from codin.task.log.base import EventLog
from codin.task.owner import is_dead, new_owner
from codin.task.push.base import Claim, PushConfigStore, PushSender
from codin.task.push.courier import Courier, RetryPolicy

LEASE_SECONDS = 30.0
SWEEP_SECONDS = 5.0
POLL_SECONDS = 5.0
AT_ONCE = 96
"""Attempts under way at the same time, of all configs together: fewer than a guarded transport has
connections, for waiting there would count as the receiver's failure."""
AT_ONCE_EACH = 16
"""Of these, the configs of one principal: receivers that never answer hold up nobody else's."""
_CLAIMS = 1000

_log = logging.getLogger(__name__)


class PushDelivery:
    """Delivers while its block is open; what is left is told by whoever opens the store next.

    It looks every ``sweep_seconds``, and at once when ``wake`` is called, for configs that nobody
    tells. A log written by another process is looked at every ``poll_seconds``.
    """

    def __init__(
        self,
        store: PushConfigStore,
        log: EventLog,
        sender: PushSender,
        *,
        policy: RetryPolicy | None = None,
        lease_seconds: float = LEASE_SECONDS,
        sweep_seconds: float = SWEEP_SECONDS,
        poll_seconds: float = POLL_SECONDS,
        at_once: int = AT_ONCE,
        at_once_each: int = AT_ONCE_EACH,
    ) -> None:
        self.owner = new_owner()
        self._store = store
        self._log = log
        self._sender = sender
        self._policy = policy or RetryPolicy()
        self._lease_seconds = lease_seconds
        self._sweep_seconds = min(sweep_seconds, lease_seconds / 3)
        self._poll_seconds = poll_seconds
        self._room = asyncio.Semaphore(at_once)
        self._at_once_each = at_once_each
        self._rooms: WeakValueDictionary[Principal, asyncio.Semaphore] = WeakValueDictionary()
        self._couriers: dict[int, asyncio.Task[None]] = {}
        self._woken = asyncio.Event()
        self._sweeping: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Look for new configs now."""
        self._woken.set()

    async def __aenter__(self) -> Self:
        self._sweeping = asyncio.create_task(self._keep_sweeping())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._sweeping is None:
            return
        sweeping, self._sweeping = self._sweeping, None
        await end(sweeping)
        couriers = list(self._couriers.values())
        for courier in couriers:
            courier.cancel()
        await asyncio.gather(*couriers, return_exceptions=True)
        # Also what a sweep had just leased, and a courier that had not begun.
        with suppress(TaskError):
            await self._store.leave(self.owner)

    async def _keep_sweeping(self) -> None:
        while True:
            try:
                await self._sweep()
            except TaskError:
                _log.exception("the push notifications could not be looked after")
            with suppress(TimeoutError):
                async with asyncio.timeout(self._sweep_seconds):
                    await self._woken.wait()

    async def _sweep(self) -> None:
        self._woken.clear()
        await self._store.renew(self.owner, self._lease_seconds, tuple(self._couriers))
        claims = await self._store.claim(self.owner, self._lease_seconds, is_dead, limit=_CLAIMS)
        if len(claims) == _CLAIMS:
            self.wake()
        for claim in claims:
            if claim.number not in self._couriers:
                self._couriers[claim.number] = asyncio.create_task(self._serve(claim))

    async def _serve(self, claim: Claim) -> None:
        # Kept by the couriers that use it, so that it goes when the last of them does.
        own = self._rooms.setdefault(claim.principal, asyncio.Semaphore(self._at_once_each))
        courier = Courier(
            claim,
            self._store,
            self._log,
            self._sender,
            policy=self._policy,
            rooms=(own, self._room),
            poll=self._poll_seconds,
        )
        try:
            await courier.run()
        except TaskError as error:
            _log.warning("config %s: its task's log could not be followed: %s", claim.number, error)
        except Exception:
            _log.exception("config %s: its courier broke", claim.number)
        finally:
            with suppress(TaskError):
                await self._store.release(claim)
            del self._couriers[claim.number]
