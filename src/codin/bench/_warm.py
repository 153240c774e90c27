"""Many warm sandboxes at once: what they hold, what they use while nobody asks, and that each
still answers."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from codin.bench.base import BenchError
from codin.sandbox.base import SandboxProvider, SandboxSpec
from codin.sandbox.worker.base import Worker

_AT_A_TIME = 4
_PLAIN = 10
_SETTLE_SECONDS = 2.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Many:
    """So many sandboxes with a Worker each. They are started when the first figure is asked for,
    which gives all."""

    def __init__(self, provider: SandboxProvider, count: int, idle_seconds: float) -> None:
        self._provider = provider
        self._count = count
        self._idle_seconds = idle_seconds
        self._memory = self._percent = self._answering = -1.0

    async def memory(self) -> float:
        """MB of one, with what it takes of this process: shared pages in parts (PSS)."""
        await self._look()
        return self._memory

    async def idle_percent(self) -> float:
        """What all of them and this process use while nothing is asked, in percent of a core."""
        await self._look()
        return self._percent

    async def core(self) -> float:
        """All of one core, in percent of it."""
        return 100.0

    async def answering(self) -> float:
        """How many answer a call rightly, all at once."""
        await self._look()
        return self._answering

    async def asked(self) -> float:
        """How many were asked for."""
        return self._count

    async def plain_memory(self) -> float:
        """MB of one Python process that does nothing, the same way."""
        before, processes = descendants(), []
        try:
            for _ in range(_PLAIN):
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-I", "-c", "print(1, flush=True); input()"),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                )
                processes.append(process)
                assert process.stdout is not None
                await process.stdout.readline()
            return sum(map(resident, descendants() - before)) / _PLAIN
        finally:
            for process in processes:
                process.kill()
                await process.communicate()

    async def _look(self) -> None:
        if self._answering >= 0:
            return
        own, before = resident(os.getpid()), descendants()
        async with AsyncExitStack() as stack:
            workers = await self._start(stack)
            await asyncio.sleep(_SETTLE_SECONDS)
            theirs = descendants() - before
            held = sum(map(resident, theirs)) + resident(os.getpid()) - own
            self._memory = held / self._count
            used = _cpu_seconds(theirs)
            await asyncio.sleep(self._idle_seconds)
            self._percent = 100 * (_cpu_seconds(theirs) - used) / self._idle_seconds
            found = await asyncio.gather(*(worker.call("math:sqrt", [9]) for worker in workers))
            self._answering = found.count(3.0)

    async def _start(self, stack: AsyncExitStack) -> list[Worker]:
        places = asyncio.Semaphore(_AT_A_TIME)

        async def one() -> Worker:
            async with places:
                sandbox = await self._provider.create(SandboxSpec())
                stack.push_async_callback(sandbox.kill)
                worker = await sandbox.worker()
                await worker.greet()
                return worker

        return list(await asyncio.gather(*(one() for _ in range(self._count))))


def descendants() -> set[int]:
    """Every process that this one has started, or they have."""
    found: set[int] = set()
    todo = [os.getpid()]
    while todo:
        try:
            for task in os.listdir(f"/proc/{(pid := todo.pop())}/task"):
                children = Path(f"/proc/{pid}/task/{task}/children").read_text().split()
                todo += map(int, children)
                found.update(map(int, children))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it went meanwhile
    return found


def resident(pid: int) -> float:
    """MB of memory of a process, pages that it shares in parts; 0 when it has gone.

    Raises:
        BenchError: the kernel does not tell.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    except OSError as error:
        raise BenchError(f"the memory of a process is not told: {error}") from error
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _cpu_seconds(pids: set[int]) -> float:
    """Processor time of these processes and of this one."""
    total = 0
    for pid in (*pids, os.getpid()):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS
