"""A sandbox on this machine: a workspace, and boxes around whatever runs on it."""

from __future__ import annotations

import asyncio
import contextlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from codin.errors import InvalidInputError
from codin.sandbox.base import (
    WORKSPACE,
    Limits,
    Process,
    Sandbox,
    SandboxSpec,
)
from codin.sandbox.box.base import Box
from codin.sandbox.box.command import Command, inside, tightest
from codin.sandbox.box.files import BoxFileSystem, Tree
from codin.sandbox.box.link import start_worker
from codin.sandbox.box.process import BoxProcess
from codin.sandbox.box.watchdog import Watchdog
from codin.sandbox.errors import SandboxGone, WorkerGone
from codin.sandbox.filesystem import FileSystem
from codin.sandbox.network.refusal import Refusal
from codin.sandbox.outcome import CodeResult, ExecResult, OnOutput
from codin.sandbox.worker.client import LANGUAGES, WorkerClient

if TYPE_CHECKING:
    from codin.sandbox.network.proxy import NetworkProxy

MAX_SESSIONS = 16
"""Sessions of one sandbox that hold state at the same time."""


class BoxSandbox(Sandbox):
    """One workspace of this machine, and boxes around whatever runs on it."""

    def __init__(self, identity: str, spec: SandboxSpec, *folders: Path) -> None:
        """``folders`` are all that is written to from inside besides the writable mounts: without
        them, the workspace."""
        assert spec.workspace is not None
        self.id = identity
        self.limits = spec.limits
        self.workspace = spec.workspace
        self._spec = spec
        self._boxes: set[Box] = set()
        self._sessions: dict[str, WorkerClient] = {}
        self._gone = False
        self._proxy: NetworkProxy | None = None
        writable = [mount.source for mount in spec.mounts if mount.writable]
        written = [*(folders or (spec.workspace,)), *writable]
        self._watchdog = Watchdog(spec.limits, written)
        self._fs = BoxFileSystem(self.tree, spec.limits.disk_bytes, written)

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        return () if self._proxy is None else self._proxy.refusals

    @property
    def fs(self) -> FileSystem:
        return self._fs

    def tree(self) -> Tree:
        """The files that it shows. Raises ``SandboxGone`` after the end."""
        self.check_alive()
        return Tree(self.workspace, self._spec.mounts)

    def check_alive(self) -> None:
        """Raises ``SandboxGone`` after the end."""
        if self._gone:
            raise SandboxGone(f"sandbox {self.id} has ended; make a new one")

    async def start(
        self,
        argv: Sequence[str],
        *,
        cwd: str = WORKSPACE,
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        stdin: bool = False,
        leave: bool = False,
    ) -> Process:
        self.check_alive()
        limits = tightest(self.limits, limits)
        command = Command(argv, limits, inside(cwd), env or {}, stdin, leave)
        return BoxProcess(await self.open_box(command))

    async def exec(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        cwd: str = WORKSPACE,
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        on_output: OnOutput | None = None,
    ) -> ExecResult:
        process = await self.start(argv, cwd=cwd, env=env, limits=limits, stdin=bool(stdin))
        try:
            async with asyncio.TaskGroup() as group:
                feeding = group.create_task(_feed(process, stdin))
                out, err = await _collect(process, on_output)
                feeding.cancel()
            return replace(await process.wait(), stdout=out, stderr=err)
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            await process.kill()

    async def run_code(
        self,
        code: str,
        *,
        language: str = "python",
        session: str = "main",
        timeout: float | None = None,
        on_output: OnOutput | None = None,
    ) -> CodeResult:
        self.check_alive()
        if language not in LANGUAGES:
            raise InvalidInputError(f"a sandbox runs {sorted(LANGUAGES)}, not {language!r}")
        worker, lost = await self._session(session)
        try:
            result = await worker.run_code(
                code, language=language, session=session, timeout=timeout, on_output=on_output
            )
        except WorkerGone as error:
            self.check_alive()
            return CodeResult(error=str(error), state_lost=lost)
        return replace(result, state_lost=lost)

    async def worker(self) -> WorkerClient:
        self.check_alive()
        return await start_worker(self.open_worker, self.limits, self._watchdog.wake)

    async def kill(self) -> None:
        if self._gone:
            return
        self._gone = True
        self._fs.wake()
        for box in self._boxes:
            box.end(SandboxGone(f"sandbox {self.id} was killed"))
        for box in list(self._boxes):
            with contextlib.suppress(Exception):
                await box.wait()
        await self._watchdog.stop()
        await self._end()

    @abstractmethod
    async def open_box(self, command: Command) -> Box:
        """Start a command in a box. Raises what ``Sandbox.start`` does."""

    @abstractmethod
    async def open_worker(self, connection: int) -> Box:
        """Start the program of a Worker on the connected socket of that descriptor, in a box.

        Raises what ``Sandbox.worker`` does.
        """

    @abstractmethod
    async def _end(self) -> None:
        """Take away what this sandbox holds besides its boxes, which have ended."""

    def _watch(self, box: Box) -> Box:
        """``box`` as one of this sandbox's, which may have been killed meanwhile."""
        self._boxes = {other for other in self._boxes if other.alive} | {box}
        self._watchdog.add(box)
        if self._gone:
            box.end(SandboxGone(f"sandbox {self.id} was killed"))
        return box

    async def _session(self, name: str) -> tuple[WorkerClient, bool]:
        """The Worker of a session, and whether its state has been lost since the last call."""
        worker = self._sessions.get(name)
        if worker is not None and worker.alive:
            return worker, False
        alive = [other for other in self._sessions.values() if other.alive]
        if worker is None and len(alive) >= MAX_SESSIONS:
            raise InvalidInputError(f"a sandbox holds {MAX_SESSIONS} sessions; use one of them")
        lost = worker is not None
        self._sessions[name] = worker = await self.worker()
        return worker, lost


async def _feed(process: Process, stdin: bytes) -> None:
    if stdin:
        await process.write(stdin)
        await process.close_stdin()


async def _collect(process: Process, on_output: OnOutput | None) -> tuple[bytes, bytes]:
    parts: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
    async for chunk in process.output():
        parts[chunk.stream].append(chunk.data)
        if on_output is not None:
            on_output(chunk)
    return b"".join(parts["stdout"]), b"".join(parts["stderr"])
