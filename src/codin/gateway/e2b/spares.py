"""Sandboxes that are ready before anybody asks for one: a start takes longer than an answer may."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from contextlib import suppress

from codin.sandbox.base import Sandbox, SandboxProvider, SandboxSpec
from codin.sandbox.errors import SandboxError

_log = logging.getLogger(__name__)

MOST = 16
"""The most that are kept ready, however many are asked for."""

_QUIET_SECONDS = 0.15
"""The next one is started when nobody has asked for anything for so long: who asks goes first."""

_PATIENCE_SECONDS = 1.0
"""How long that is waited for."""

_REMEMBERED_SECONDS = 60.0
"""How long it counts that one was taken."""


class Spares:
    """Unused sandboxes of one spec, each with the folder ``home`` in it: ``count``, or as many as
    were taken within the last minute, up to ``MOST``.

    They are alike and have been nobody's: what a caller asks for is given to its commands. One that
    is taken is replaced in the background, one at a time.
    """

    def __init__(
        self, provider: SandboxProvider, spec: SandboxSpec, home: str, *, count: int
    ) -> None:
        self._provider = provider
        self._spec = spec
        self._home = home
        self._count = count
        self._ready: deque[Sandbox] = deque()
        self._taken: deque[float] = deque(maxlen=MOST)
        self._asked = asyncio.Event()
        self._last = 0.0
        self._keeping: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Have them ready from now on."""
        if self._keeping is None and self._count:
            self._keeping = asyncio.create_task(self._keep(), name="spare sandboxes")

    def busy(self) -> None:
        """Somebody asks for something now."""
        self._last = time.monotonic()

    async def take(self) -> Sandbox:
        """A sandbox that nobody has used: a ready one, or a new one.

        Raises:
            SandboxUnavailable: there is none to be had here.
        """
        self._taken.append(time.monotonic())
        try:
            while self._ready:
                sandbox = self._ready.popleft()
                with suppress(SandboxError):  # it may have died while it waited
                    await sandbox.fs.stat(self._home)
                    return sandbox
                await sandbox.kill()
            return await self.make(self._spec)
        finally:
            self._asked.set()

    async def close(self) -> None:
        """End those that nobody has taken, and make no more."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        while self._ready:
            await self._ready.popleft().kill()

    async def _keep(self) -> None:
        while True:
            self._asked.clear()
            try:
                await self._fill()
            except SandboxError as error:  # who asks for one is told as well
                _log.warning("no sandbox can be made ahead: %s", error)
            idle = len(self._ready) <= self._count
            with suppress(TimeoutError):
                async with asyncio.timeout(None if idle else _REMEMBERED_SECONDS / MOST):
                    await self._asked.wait()

    async def _fill(self) -> None:
        while len(self._ready) < self._wanted():
            await self._quiet()
            self._ready.append(await self.make(self._spec))
        if len(self._ready) > self._wanted():
            await self._ready.popleft().kill()

    async def _quiet(self) -> None:
        """Return when nobody asks for anything, or has not stopped asking for long."""
        patience = time.monotonic() + _PATIENCE_SECONDS
        while True:
            wait = min(self._last + _QUIET_SECONDS, patience) - time.monotonic()
            if wait <= 0:
                return
            await asyncio.sleep(wait)

    def _wanted(self) -> int:
        """How many there are to be now."""
        since = time.monotonic() - _REMEMBERED_SECONDS
        taken = sum(moment > since for moment in self._taken)
        return max(self._count, taken)

    async def make(self, spec: SandboxSpec) -> Sandbox:
        """A new sandbox of ``spec``, with the folder. Raises what ``SandboxProvider.create``
        does."""
        sandbox = await self._provider.create(spec)
        try:
            await sandbox.fs.make_dir(self._home)
        except BaseException:
            await sandbox.kill()
            raise
        return sandbox
