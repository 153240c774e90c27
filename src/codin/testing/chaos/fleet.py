"""The workers as processes: started, killed, stopped and let go on."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from contextlib import suppress
from pathlib import Path

from codin.testing.chaos.team import LEASE_SECONDS
from codin.testing.kills.doom import Moment

_READY_SECONDS = 90.0
_GONE_SECONDS = 20.0


class WorkerProcess:
    """One worker after the other over the same log."""

    def __init__(self, place: str, folder: Path, *, runs: int) -> None:
        self._place = place
        self._folder = folder
        self._runs = runs
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, moment: Moment = "any", passages: int = 1) -> bool:
        """Whether it is at work; it may die at its moment before it says so."""
        with (self._folder / "worker.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "codin.testing.chaos.worker"),
                *("--database", self._place, "--folder", str(self._folder)),
                *("--runs", str(self._runs)),
                *("--moment", moment, "--passages", str(passages)),
                stdin=asyncio.subprocess.PIPE,  # its end tells the worker when this process dies
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        async with asyncio.timeout(_READY_SECONDS):
            return bool(await self._process.stdout.readline())

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def is_owner(self, owner: str) -> bool:
        """Whether it is the process that ``owner`` names (``codin.task.owner``)."""
        name = owner.partition("/")[2]
        return self._process is not None and name.startswith(f"{self._process.pid}.")

    async def kill(self) -> bool:
        """Kill it, unless it died at its moment; whether it did."""
        died = not self.alive
        self._send(signal.SIGKILL)
        await self._ended(_GONE_SECONDS)
        return died

    async def freeze(self) -> None:
        """Stop it for longer than its leases last, or than they do not, and let it go on."""
        self._send(signal.SIGSTOP)
        try:
            await asyncio.sleep(random.choice((0.5, LEASE_SECONDS * 1.5)))
        finally:
            self._send(signal.SIGCONT)

    async def stop(self) -> bool:
        """End it as an operator does; whether it did."""
        self._send(signal.SIGTERM)
        ended = await self._ended(_GONE_SECONDS)
        self._send(signal.SIGKILL)
        return ended

    async def _ended(self, seconds: float) -> bool:
        if self._process is None:
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._process.wait()
        return self._process.returncode is not None

    def _send(self, what: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(what)
