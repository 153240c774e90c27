"""The gateway as a process: started, killed, and looked for afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

from codin.process_name import began
from codin.testing.kills.doom import Moment

READY_SECONDS = 90.0
_GONE_SECONDS = 10.0
_STOP_SECONDS = 15.0


class GatewayProcess:
    """One gateway after the other, on the same port and over the same database."""

    def __init__(self, place: str, folder: Path, *, hosts: bool) -> None:
        self._place = place
        self._folder = folder
        self._hosts = hosts
        self._process: asyncio.subprocess.Process | None = None
        self._port = _free_port()
        self.url = f"http://127.0.0.1:{self._port}"

    async def start(self, moment: Moment = "any", passages: int = 1) -> None:
        """Return once it answers; armed, it dies at the ``passages``-th time at ``moment``.

        Raises:
            RuntimeError: it ended before; its output is in the folder's ``gateway.log``.
        """
        log = (self._folder / "gateway.log").open("ab")
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "codin.testing.kills.server"),
                *("--database", self._place, "--folder", str(self._folder)),
                *("--port", str(self._port), "--hosts" if self._hosts else "--no-hosts"),
                *("--moment", moment, "--passages", str(passages)),
                stdin=asyncio.subprocess.PIPE,  # its end tells the gateway when this process dies
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        finally:
            log.close()
        assert self._process.stdout is not None
        async with asyncio.timeout(READY_SECONDS):
            said = await self._process.stdout.readline()
        if said.strip() != b"ready":
            raise RuntimeError(f"the gateway did not start: see {self._folder}/gateway.log")

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def arm(self) -> None:
        """Have it die at its moment."""
        self._send(signal.SIGUSR1)

    async def ended(self, seconds: float) -> bool:
        """Whether it has ended within ``seconds``."""
        assert self._process is not None
        try:
            async with asyncio.timeout(seconds):
                await self._process.wait()
        except TimeoutError:
            return False
        return True

    async def kill(self, seconds: float = 0.0) -> tuple[bool, list[str]]:
        """Wait ``seconds`` for it to die at its moment, and kill it when it does not. Gives whether
        it did, and what is left of it after some seconds."""
        below = descendants(self._pid)
        died = await self.ended(seconds) if seconds else False
        self._send(signal.SIGKILL)
        await self.ended(_GONE_SECONDS)
        return died, await self._left(below)

    async def stop(self) -> list[str]:
        """End it as an operator does; gives what is left of it after some seconds."""
        below = descendants(self._pid)
        self._send(signal.SIGTERM)
        if not await self.ended(_STOP_SECONDS):
            self._send(signal.SIGKILL)
            return [f"the gateway did not stop within {_STOP_SECONDS:g} seconds"]
        return await self._left(below)

    @property
    def _pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _send(self, what: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(what)

    async def _left(self, below: dict[int, str]) -> list[str]:
        deadline = asyncio.get_running_loop().time() + _GONE_SECONDS
        while True:
            left = [_named(pid) for pid, start in below.items() if began(pid) == start]
            left += self._listening()
            if not left or asyncio.get_running_loop().time() > deadline:
                return left
            await asyncio.sleep(0.05)

    def _listening(self) -> list[str]:
        found = []
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                found.append(f"port {self._port}")
        unix = Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace")
        return found + [line.split()[-1] for line in unix.splitlines() if str(self._folder) in line]


def descendants(pid: int) -> dict[int, str]:
    """The processes below ``pid``, and when each began."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found: dict[int, str] = {}
    left = [pid]
    while left:
        for child in children.get(left.pop(), []):
            if start := began(child):  # it may have ended since the listing
                found[child] = start
            left.append(child)
    return found


def _named(pid: int) -> str:
    """A process in words: its state, its parent, and the end of its command."""
    state, parent, *_ = _stat(pid) or ["?", "?"]
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:
        command = b""
    said = command[-200:].decode("utf-8", "replace")
    return f"process {pid} (state {state}, parent {parent}): ...{said}"


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
