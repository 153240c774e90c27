"""The commands that run in a served sandbox, and those who follow their output."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from codin.gateway.e2b.errors import NotThere, TooLate, TooMany
from codin.sandbox.base import Process, Sandbox
from codin.sandbox.errors import LimitExceeded, SandboxError, SandboxGone
from codin.sandbox.outcome import OutputChunk

MAX_PROCESSES = 1000
"""The most commands of one sandbox that run at the same time."""

_FIRST_PID = 1000
_HELD = 1024 * 1024
"""Bytes that are kept for one slow reader before the command has to wait for it."""


@dataclass(frozen=True, slots=True)
class Command:
    """What was started. ``tag`` is a name that its starter gave it."""

    cmd: str
    args: Sequence[str]
    envs: Mapping[str, str]
    cwd: str | None
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: ``exit_code`` is -1 where it did not end by itself, as envd has it."""

    exit_code: int
    exited: bool
    status: str
    error: str | None = None


class Follower:
    """One who is told what a command prints, and how it ends, in order."""

    def __init__(self) -> None:
        self._items: deque[OutputChunk | Ended | Exception] = deque()
        self._held = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._closed = False

    async def put(self, chunk: OutputChunk) -> None:
        """Keep a chunk, and wait until there is room for the next, or nobody follows any more."""
        if self._closed:
            return
        self._items.append(chunk)
        self._held += len(chunk.data)
        self._news.set()
        if self._held >= _HELD:
            self._room.clear()
            await self._room.wait()

    def end(self, end: Ended | Exception) -> None:
        """There is nothing more after this."""
        self._items.append(end)
        self._news.set()

    def close(self) -> None:
        """It follows no more."""
        self._closed = True
        self._items.clear()
        self._room.set()

    async def items(
        self, silence: float | None = None
    ) -> AsyncIterator[OutputChunk | Ended | None]:
        """What it is told, until the end; ``None`` when nothing came for ``silence`` seconds.

        Raises what ended the command where it could not run as it was asked to.
        """
        while True:
            while self._items:
                item = self._items.popleft()
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, OutputChunk):
                    self._held -= len(item.data)
                    if self._held < _HELD:
                        self._room.set()
                yield item
                if isinstance(item, Ended):
                    return
            self._news.clear()
            try:
                async with asyncio.timeout(silence):
                    await self._news.wait()
            except TimeoutError:
                yield None


class Running:
    """A command under way. Its output goes to its followers; without any it goes nowhere."""

    def __init__(self, pid: int, command: Command, process: Process) -> None:
        self.pid = pid
        self.command = command
        self.process = process
        self._followers: set[Follower] = set()
        self._late: TooLate | None = None
        self._end: Ended | Exception | None = None

    def follow(self) -> Follower:
        """A new follower, from now on."""
        follower = Follower()
        if self._end is not None:
            follower.end(self._end)
        else:
            self._followers.add(follower)
        return follower

    def leave(self, follower: Follower) -> None:
        """``follower`` follows no more. The command goes on."""
        follower.close()
        self._followers.discard(follower)

    async def run(self, timeout: float | None) -> None:
        """Pass its output on, until its end; it is killed after ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout):
                self._end = await self._pump()
        except TimeoutError:
            await self.process.kill()
            self._end = TooLate(f"the command ran longer than {timeout:g} s, and was ended")
        except LimitExceeded as error:
            self._end = Ended(-1, exited=False, status="killed", error=str(error))
        except SandboxError as error:
            self._end = error
        except asyncio.CancelledError:
            self._end = SandboxGone("the sandbox has ended")
            raise
        finally:
            for follower in self._followers:
                follower.end(self._end or SandboxGone("the command was lost"))
            if not isinstance(self._end, Ended):  # what one leaves behind that ended goes on
                await self.process.kill()

    async def _pump(self) -> Ended:
        try:
            async for chunk in self.process.output():
                for follower in list(self._followers):
                    await follower.put(chunk)
            code = (await self.process.wait()).exit_code
        except SandboxError:
            if self._killed:
                return _ended(-signal.SIGKILL)
            raise
        return _ended(code)

    _killed = False

    async def kill(self) -> None:
        """End it, and what it started."""
        self._killed = True
        await self.process.kill()


class ProcessTable:
    """The commands of one sandbox, by numbers that are the service's own."""

    def __init__(self, sandbox: Sandbox, envs: Mapping[str, str], home: str) -> None:
        self._sandbox = sandbox
        self._envs = envs
        self._home = home
        self._running: dict[int, Running] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pids = itertools.count(_FIRST_PID)

    def all(self) -> Sequence[Running]:
        """Those that run, the oldest first."""
        return list(self._running.values())

    def find(self, *, pid: int | None = None, tag: str | None = None) -> Running:
        """One that runs.

        Raises:
            NotThere
        """
        for each in self._running.values():
            if each.pid == pid or (tag is not None and each.command.tag == tag):
                return each
        raise NotThere(f"process with {'tag' if pid is None else 'pid'} {tag or pid} not found")

    async def start(
        self, command: Command, *, stdin: bool, timeout: float | None
    ) -> tuple[Running, Follower]:
        """Start a command, and follow it from its beginning.

        Raises:
            TooMany: too many run already.
            SandboxError: it cannot be started.
        """
        if len(self._running) >= MAX_PROCESSES:
            raise TooMany(f"{MAX_PROCESSES} commands run in this sandbox: end one first")
        process = await self._sandbox.start(
            [command.cmd, *command.args],
            cwd=command.cwd or self._home,
            env={**self._envs, **command.envs},
            stdin=stdin,
            leave=True,
        )
        running = Running(next(self._pids), command, process)
        self._running[running.pid] = running
        follower = running.follow()
        task = asyncio.create_task(running.run(timeout), name=f"command {running.pid}")
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._done(running, done))
        return running, follower

    async def close(self) -> None:
        """End all of them."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _done(self, running: Running, task: asyncio.Task[None]) -> None:
        self._running.pop(running.pid, None)
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()


def _ended(code: int) -> Ended:
    if code >= 0:
        status = f"exit status {code}"
        return Ended(code, exited=True, status=status, error=status if code else None)
    name = (signal.strsignal(-code) or str(-code)).lower()
    return Ended(-1, exited=False, status=f"signal: {name}", error=f"signal: {name}")
