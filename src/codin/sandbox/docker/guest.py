"""A container of any image beside a sandbox: in its namespaces, and gone with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from codin.sandbox.base import Limits
from codin.sandbox.box.base import Box, Input
from codin.sandbox.box.cgroup import ForeignGroup
from codin.sandbox.box.meter import Sample, TreeMeter
from codin.sandbox.docker.engine import Engine, EngineError
from codin.sandbox.errors import CommandNotFound, PermissionDenied, SandboxUnavailable

_START_SECONDS = 30.0
_ENDLESS = 10 * 365 * 86_400.0
_LAST_OUTPUT_SECONDS = 2.0


Remove = Callable[[Engine, str], Awaitable[None]]


class GuestBox(Box):
    """A container that was started from an image."""

    def __init__(self, limits: Limits, argv: Sequence[str], engine: Engine, remove: Remove) -> None:
        super().__init__(limits, argv)
        self._engine = engine
        self._remove_container = remove
        self._writers: dict[int, asyncio.StreamWriter] = {}
        self._passing: asyncio.Future[None] | None = None
        self._container: Any = None
        self._stdin: _Input | None = None
        self._meter = TreeMeter(0)
        self._group: ForeignGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def stdin(self) -> Input | None:
        return self._stdin

    async def launch(self, config: dict[str, Any], *, stdin: bool) -> None:
        """Create and start it.

        Raises:
            CommandNotFound, PermissionDenied: the image has no such program, or none that runs.
            SandboxUnavailable: the engine refused.
        """
        async with self._engine.asked("create a container", _START_SECONDS) as client:
            self._container = await client.containers.create(config)
        try:
            self._writers[1] = await _writer(self.pump.pipe("stdout"))
            self._writers[2] = await _writer(self.pump.pipe("stderr"))
            await self._begin(stdin=stdin)
        except BaseException:
            self._close()
            await asyncio.shield(self._remove())
            raise

    def signal(self, number: int) -> None:
        self._tell(number)

    def sample(self) -> Sample:
        kills = 0 if self._group is None else self._group.oom_kills()
        return replace(super().sample(), memory_bytes=0, processes=0, oom_kills=kills)

    def _kill(self) -> None:
        self._tell(signal.SIGKILL)
        if self._passing is not None:
            # The engine does not say that it has ended while its output is not taken.
            self._loop.call_later(_LAST_OUTPUT_SECONDS, self._passing.cancel)

    def _tell(self, number: int) -> None:
        if self.alive:
            task = self._loop.create_task(self._send(number))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send(self, number: int) -> None:
        with contextlib.suppress(SandboxUnavailable):  # it has ended already
            async with self._engine.asked("signal a container"):
                await self._container.kill(signal=number)

    async def _begin(self, *, stdin: bool) -> None:
        stream = self._container.attach(stdout=True, stderr=True)
        try:
            async with self._engine.asked("attach to a container"):
                await stream.__aenter__()
                if stdin:
                    self._stdin = _Input(self._container.attach(stdin=True))
                    await self._stdin.open()
            await self._start()
        except BaseException:
            await stream.close()
            await self._close_input()
            raise
        self._passing = asyncio.ensure_future(self._pass(stream))
        self._finished = asyncio.ensure_future(self._finish(self._passing))

    async def _start(self) -> None:
        try:
            async with self._engine.asked("start a container", _START_SECONDS):
                await self._container.start()
                pid = int((await self._container.show())["State"]["Pid"])
        except EngineError as error:
            said = str(error)
            if "not found" in said or "no such file" in said:
                raise CommandNotFound(f"{self.argv[0]!r} is no command of the image") from error
            if "permission denied" in said:
                raise PermissionDenied(f"{self.argv[0]!r} is no program that may be run") from error
            raise
        if pid:
            self._meter = TreeMeter(pid, own=0)
            self._group = ForeignGroup.of_process(pid)

    async def _finish(self, passing: asyncio.Future[None]) -> int:
        try:
            code = await self._exit_code()
            await asyncio.wait([passing])
        except SandboxUnavailable as error:
            self.verdict, code = self.verdict or error, -1
        finally:
            passing.cancel()
            await asyncio.wait([passing])
            self._close()
            await self._close_input()
            with contextlib.suppress(SandboxUnavailable):
                await self._remove()
            if self._group is not None:
                self._group.close()
        return code

    async def _exit_code(self) -> int:
        async with self._engine.asked("wait for a container", _ENDLESS):
            code = int((await self._container.wait())["StatusCode"])
        async with self._engine.asked("look at a container"):
            state = (await self._container.show())["State"]
        if state.get("OOMKilled") and self.verdict is None:
            self.verdict = self.out_of_memory()
        return 128 - code if 128 < code <= 128 + signal.NSIG else code

    async def _pass(self, stream: Any) -> None:
        """Pass on what it prints, no faster than it is taken."""
        try:
            while (message := await stream.read_out()) is not None:
                writer = self._writers[message.stream]
                writer.write(message.data)
                await writer.drain()
        except OSError:
            return  # more than it may print, or nobody reads it any more
        finally:
            await stream.close()

    async def _close_input(self) -> None:
        if self._stdin is not None:
            self._stdin.close()
            await self._stdin.wait_closed()

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self.pump.drain()
        self.pump.close()

    async def _remove(self) -> None:
        await self._remove_container(self._engine, self._container.id)


class _Input:
    """Standard input, over a connection of its own: its end is that of the input."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._waiting = b""
        self._closing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self._stream.__aenter__()

    def write(self, data: bytes) -> None:
        self._waiting += data

    async def drain(self) -> None:
        data, self._waiting = self._waiting, b""
        try:
            await self._stream.write_in(data)
        except (RuntimeError, AssertionError) as error:  # it has gone, as the library says it
            raise ConnectionResetError(str(error)) from error

    def close(self) -> None:
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._stream.close())

    async def wait_closed(self) -> None:
        if self._closing is not None:
            await self._closing


async def _writer(fd: int) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(fd, "wb", 0)
    )
    transport.set_write_buffer_limits(0)
    return asyncio.StreamWriter(transport, protocol, None, loop)
