"""One command in namespaces of its own, from its start until nothing of it is left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from codin.sandbox.base import Limits
from codin.sandbox.box.base import Box
from codin.sandbox.box.meter import Meter, Sample
from codin.sandbox.errors import DiskLimit, SandboxError, SandboxUnavailable
from codin.sandbox.local import bwrap as bubblewrap
from codin.sandbox.local import seccomp

_NOTE_BYTES = 4096
_NOT_STARTED = 127
_SETUP_SECONDS = 5.0
"""How long bubblewrap may take to end after what it runs, before it is killed all the same."""
_STATUS_BYTES = 64 * 1024


class BwrapBox(Box):
    """A command in a process namespace of its own: the kernel kills its init first, and with it
    everything else in there."""

    def __init__(self, limits: Limits, argv: Sequence[str]) -> None:
        super().__init__(limits, argv)
        self._process: asyncio.subprocess.Process
        self._status = bytearray()
        self._ending = False
        self._init_pid: int | None = None
        self._init_fd: int | None = None
        self._status_fd = self._note_fd = -1

    @property
    def stdin(self) -> asyncio.StreamWriter | None:
        return self._process.stdin

    def signal(self, number: int) -> None:
        if self._init_pid is None or not self.alive:
            return
        children = Path(f"/proc/{self._init_pid}/task/{self._init_pid}/children")
        with contextlib.suppress(OSError, IndexError):
            os.kill(int(children.read_text().split()[0]), number)

    async def launch(
        self,
        bwrap: Path,
        launch: bubblewrap.Launch,
        meter: Callable[[int], Meter],
        *,
        keep: Sequence[int] = (),
        stdin: bool | int = False,
    ) -> None:
        """Start it. ``meter`` is made for its process id.

        ``keep`` are descriptors that it inherits; they stay open here. So does ``stdin`` where it
        is a descriptor (a number above 2, and no truth value). A caller that is cancelled
        gets away only when nothing of it is left.

        Raises:
            SandboxUnavailable: it could not be started at all.
        """
        starting = asyncio.ensure_future(self._start(bwrap, launch, meter, keep, stdin=stdin))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            await _whatever_comes(starting)
            if self._finished is not None:
                self.end()
                await _whatever_comes(self._finished)
            raise

    async def _start(
        self,
        bwrap: Path,
        launch: bubblewrap.Launch,
        meter: Callable[[int], Meter],
        keep: Sequence[int],
        *,
        stdin: bool | int,
    ) -> None:
        self._status_fd, status = os.pipe()
        self._note_fd, note = self._note_pipe()
        out, err = self.pump.pipe("stdout"), self.pump.pipe("stderr")
        program = seccomp.program(only_set_id=launch.by is not None)
        filters = [] if program is None else [memory_file(program)]
        filter_fd = filters[0] if filters else None
        args = memory_file(bubblewrap.arguments(launch, status_fd=status, filter_fd=filter_fd))
        try:
            self._process = await asyncio.create_subprocess_exec(
                *bubblewrap.command_line(bwrap, launch, args_fd=args, note_fd=note),
                stdin=_input(stdin),
                stdout=out,
                stderr=err,
                pass_fds=(status, note, args, *filters, *keep),
                env={},
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the platform, which ends it in order
            )
        except OSError as error:
            self.pump.close()
            os.close(self._status_fd)
            os.close(self._note_fd)
            raise SandboxUnavailable(f"the sandbox could not be started: {error}") from error
        finally:
            for fd in (status, note, args, *filters, out, err):
                os.close(fd)
        self._meter = meter(self._process.pid)
        os.set_blocking(self._status_fd, False)
        os.set_blocking(self._note_fd, False)
        self._loop.add_reader(self._status_fd, self._read_status)
        self._finished = asyncio.ensure_future(self._finish())

    def _note_pipe(self) -> tuple[int, int]:
        """Where what is inside writes why it could not be started: both ends."""
        return os.pipe()

    def _kill(self) -> None:
        if not self._ending:
            self._ending = True
            self._loop.call_later(_SETUP_SECONDS, self._kill_all)
        self._read_status()
        self._kill_init()

    def _kill_init(self) -> None:
        """Kill the init, and with it everything inside; bubblewrap buries it, and ends.

        Not before the init is known: bubblewrap that is killed while it sets a child up leaves
        that child behind, waiting for ever.
        """
        if self._init_fd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._init_fd, signal.SIGKILL)

    def _kill_all(self) -> None:
        """For a bubblewrap that does not end by itself."""
        if self.alive:
            self._kill_init()
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _finish(self) -> int:
        code = await self._process.wait()
        self._read_status()
        await self._init_gone()
        self.pump.drain()
        self.pump.close()
        sample = self._meter.sample()
        await asyncio.to_thread(self._meter.remove)
        note = self._close_status()
        if self.verdict is None:
            self.verdict = self._judge(code, note, sample)
        return 128 - code if 128 < code <= 128 + signal.NSIG else code

    async def _init_gone(self) -> None:
        """Wait for the init of the process namespace: it goes last."""
        if self._init_fd is None:
            return
        gone = asyncio.Event()
        self._loop.add_reader(self._init_fd, gone.set)
        try:
            signal.pidfd_send_signal(self._init_fd, signal.SIGKILL)
            await gone.wait()
        except ProcessLookupError:
            pass
        finally:
            self._loop.remove_reader(self._init_fd)

    def _judge(self, code: int, note: bytes, sample: Sample) -> SandboxError | None:
        if sample.oom_kills:
            return self.out_of_memory()
        if code - 128 == signal.SIGXFSZ:
            return DiskLimit(f"{self._name} wrote more than {self.limits.disk_bytes} bytes")
        if b'"exit-code"' not in self._status and code > 0:
            return SandboxUnavailable(
                f"bubblewrap could not make the sandbox (exit code {code}); "
                + bubblewrap.HOW_TO_GET_IT
            )
        # Code inside holds what this was said by, too: it is believed with its exit code only.
        return self.told(note) if code == _NOT_STARTED else None

    def _read_status(self) -> None:
        if self._status_fd < 0:
            return
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._status_fd, 4096)
            self._status += data
            if not data or len(self._status) > _STATUS_BYTES:
                self._loop.remove_reader(self._status_fd)
        if self._init_pid is None and b"\n" in self._status:
            self._init_pid = int(json.loads(self._status.split(b"\n")[0])["child-pid"])
            with contextlib.suppress(ProcessLookupError):
                self._init_fd = os.pidfd_open(self._init_pid)
            if self._ending:
                self._kill_init()

    def _close_status(self) -> bytes:
        self._loop.remove_reader(self._status_fd)
        note = b""
        with contextlib.suppress(BlockingIOError):
            note = os.read(self._note_fd, _NOTE_BYTES)
        for fd in (self._status_fd, self._note_fd, self._init_fd):
            if fd is not None:
                os.close(fd)
        self._status_fd, self._init_fd = -1, None
        return note


async def _whatever_comes(future: asyncio.Future[Any]) -> None:
    """Wait for its end, however often the caller is cancelled meanwhile."""
    while not future.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([future])


def _input(stdin: bool | int) -> int:
    if isinstance(stdin, bool):
        return asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL
    return stdin


def memory_file(data: bytes) -> int:
    """A descriptor from which ``data`` can be read by a child."""
    fd = os.memfd_create("codin")
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
