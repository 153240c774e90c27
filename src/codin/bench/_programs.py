"""The programs of a benchmark: servers and the load, each a process of its own, ended for sure."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codin.bench.base import BenchError

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_JOB_SECONDS = 300.0


@asynccontextmanager
async def program(
    arguments: Sequence[str], log: Path, env: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python program that runs until the block ends; what it complains of goes to ``log``."""
    with log.open("ab") as complaints:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=complaints,
            env={**os.environ, **(env or {})},
        )
    try:
        yield process
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is None:
            process.send_signal(number)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
            return
        except TimeoutError:
            continue


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs: an agent's JSON-RPC endpoint, and what a request to it has to carry."""

    url: str
    headers: Mapping[str, str]
    pid: int

    async def resident_mb(self) -> float:
        """The memory that its process holds, in MB."""
        return await asyncio.to_thread(_resident_kb, self.pid) / 1024


def _resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status")
    if status.exists():  # small containers have no ps
        lines = status.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    ps = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=True)  # noqa: S607
    return int(ps.stdout)


async def announced(process: asyncio.subprocess.Process, before: str, log: Path) -> str:
    """The address that a server prints after ``before``.

    Raises:
        BenchError: it ends before, or takes too long.
    """
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_START_SECONDS):
            while line := (await process.stdout.readline()).decode():
                if before in line:
                    return line.partition(before)[2].split()[0]
    except TimeoutError:
        pass
    raise BenchError(f"a server did not come up: {complaints(log)}")


def complaints(log: Path) -> str:
    """The end of what a program complained of."""
    return log.read_text(encoding="utf-8", errors="replace")[-2000:].strip() or "it said nothing"


class Load:
    """The program that makes the load."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    async def measure(self, server: Server, do: str, **job: Any) -> float:
        """Do one job against ``server`` and give its figure.

        Raises:
            BenchError: an answer was wrong, or none came.
        """
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        asked = {"do": do, "url": server.url, "headers": dict(server.headers), **job}
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        try:
            async with asyncio.timeout(_JOB_SECONDS):
                line = await process.stdout.readline()
        except TimeoutError:
            raise BenchError(f"{do} at {server.url} took more than {_JOB_SECONDS:g} s") from None
        if not line:
            raise BenchError(f"the load ended: {complaints(self._log)}")
        answer = json.loads(line)
        if "error" in answer:
            raise BenchError(f"{do} at {server.url}: {answer['error']}")
        return float(answer["value"])
