"""Sandboxes on this machine, made by bubblewrap: Linux, by root or by anybody."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from codin.errors import InvalidInputError
from codin.sandbox import _bwrap, _cgroup, _layout
from codin.sandbox._box import Box
from codin.sandbox._files import LocalFileSystem, Tree
from codin.sandbox._link import start_worker
from codin.sandbox._meter import GroupMeter, TreeMeter
from codin.sandbox._probe import probe
from codin.sandbox._process import LocalProcess
from codin.sandbox._watchdog import Watchdog
from codin.sandbox.base import (
    WORKSPACE,
    CodeResult,
    ExecResult,
    FileSystem,
    Isolation,
    Limits,
    OnOutput,
    Process,
    Sandbox,
    SandboxProvider,
    SandboxSpec,
    SandboxSupport,
)
from codin.sandbox.errors import (
    PermissionDenied,
    SandboxGone,
    SandboxUnavailable,
    WorkerGone,
)
from codin.sandbox.worker.client import LANGUAGES, WorkerClient

MAX_SESSIONS = 16
"""Sessions of one sandbox that hold state at the same time."""

_NAMED = ("cpu_seconds", "memory_bytes", "processes", "disk_bytes", "wall_seconds", "output_bytes")
_ORDER = list(Isolation)


class LocalSandboxProvider(SandboxProvider):
    """Makes sandboxes with namespaces, by bubblewrap.

    Memory and processes are limited by control groups where these can be written (mostly: by
    root), else by looking at the processes, which bites a little late. Everything that it makes
    on disk is in one folder of its own, gone after ``close``.
    """

    name = "local"

    def __init__(self) -> None:
        self._support: SandboxSupport | None = None
        self._probing = asyncio.Lock()
        self._folder: Path | None = None
        self._groups: _cgroup.GroupKind | None = None
        self._sandboxes: set[LocalSandbox] = set()

    async def probe(self) -> SandboxSupport:
        async with self._probing:
            if self._support is None:
                self._support = await probe(self._open)
            return self._support

    async def describe(self) -> dict[str, object]:
        """What this machine gives, as data: for ``codin doctor``."""
        support = await self.probe()
        kept_by = getattr(self._groups, "__name__", "") or "watchdog"
        return {
            "backend": self.name,
            "isolation": support.isolation.value,
            "available": support.available,
            "enforced": sorted(support.enforced),
            "memory_limited_by": {"GroupV1": "cgroup v1", "GroupV2": "cgroup v2"}.get(
                kept_by, kept_by
            ),
            "reason": support.reason,
        }

    async def create(self, spec: SandboxSpec) -> Sandbox:
        support = await self.probe()
        if not support.available:
            raise SandboxUnavailable(support.reason)
        if _ORDER.index(spec.least) > _ORDER.index(support.isolation):
            raise SandboxUnavailable(
                f"the local sandbox gives isolation {support.isolation.value!r}, "
                f"and {spec.least.value!r} was asked for"
            )
        if spec.limits.network != "none":
            raise SandboxUnavailable("the local sandbox gives no network: use network='none'")
        asked = {name for name in _NAMED if getattr(spec.limits, name) is not None}
        if missing := asked - support.enforced:
            raise SandboxUnavailable(
                f"these limits cannot be enforced here: {', '.join(sorted(missing))}; "
                "set them to None to go without, or run where they can"
            )
        return await self._open(spec)

    async def close(self) -> None:
        """End every sandbox that was made here and is still there."""
        for sandbox in list(self._sandboxes):
            await sandbox.kill()
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, True)
            self._folder = None
        if self._groups is not None:
            self._groups(_cgroup.owner()).remove()  # refused while another provider uses it

    async def _open(self, spec: SandboxSpec) -> LocalSandbox:
        """A sandbox, without asking first whether its limits can be enforced."""
        if self._folder is None:
            await asyncio.to_thread(self._prepare)
        assert self._folder is not None
        for mount in spec.mounts:
            _layout.check_mount(mount)
        identity = uuid.uuid4().hex[:12]
        own = spec.workspace is None
        workspace = self._folder / identity if spec.workspace is None else spec.workspace.resolve()
        await asyncio.to_thread(_prepare_workspace, workspace)
        sandbox = LocalSandbox(
            identity,
            replace(spec, workspace=workspace),
            bwrap=_bwrap.find(),
            etc=self._folder / "etc",
            groups=self._groups,
            on_end=lambda ended: self._forget(ended, own=own),
        )
        self._sandboxes.add(sandbox)
        return sandbox

    def _prepare(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="codin-"))
        _layout.write_etc(folder / "etc")
        _cgroup.sweep()
        self._groups = _cgroup.find_kind()
        self._folder = folder

    async def _forget(self, sandbox: LocalSandbox, *, own: bool) -> None:
        self._sandboxes.discard(sandbox)
        if own:
            await asyncio.to_thread(_remove_tree, sandbox.workspace)


class LocalSandbox(Sandbox):
    """One workspace, and boxes around whatever runs on it."""

    isolation = Isolation.NAMESPACE

    def __init__(
        self,
        identity: str,
        spec: SandboxSpec,
        *,
        bwrap: Path,
        etc: Path,
        groups: _cgroup.GroupKind | None,
        on_end: Callable[[LocalSandbox], Awaitable[None]],
    ) -> None:
        assert spec.workspace is not None
        self.id = identity
        self.limits = spec.limits
        self.workspace = spec.workspace
        self._spec = spec
        self._bwrap = bwrap
        self._etc = etc
        self._groups = groups
        self._on_end = on_end
        self._boxes: set[Box] = set()
        self._sessions: dict[str, WorkerClient] = {}
        self._gone = False
        self._watchdog = Watchdog(spec.limits, spec.workspace)
        self._fs = LocalFileSystem(self.tree, spec.limits.disk_bytes, spec.workspace)
        self._group = self._make_group(None, spec.limits)

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
    ) -> Process:
        box = await self.open_box(argv, cwd=cwd, env=env, limits=limits, stdin=stdin)
        return LocalProcess(box)

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
        return await start_worker(self.open_box, self.limits, self._watchdog.wake)

    async def kill(self) -> None:
        if self._gone:
            return
        self._gone = True
        for box in self._boxes:
            box.end(SandboxGone(f"sandbox {self.id} was killed"))
        for box in list(self._boxes):
            with contextlib.suppress(Exception):
                await box.wait()
        await self._watchdog.stop()
        if self._group is not None:
            await asyncio.to_thread(self._group.remove)
        await self._on_end(self)

    async def open_box(
        self,
        argv: Sequence[str],
        *,
        cwd: str = WORKSPACE,
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        stdin: bool = False,
        keep: Sequence[int] = (),
    ) -> Box:
        """Start a command in a box of its own.

        Raises:
            SandboxGone, SandboxUnavailable, InvalidInputError
        """
        self.check_alive()
        _check_command(argv, env or {})
        limits = tightest(self.limits, limits)
        box = Box(limits, argv)
        group = self._make_group(uuid.uuid4().hex[:8], limits)
        launch = _bwrap.Launch(
            argv=argv,
            view=_layout.view(
                etc=self._etc,
                workspace=self.workspace,
                mounts=self._spec.mounts,
                disk=limits.disk_bytes,
            ),
            env=_layout.base_env({**self._spec.env, **(env or {})}),
            cwd=_inside(cwd),
            limits=limits,
            join=group.join if group else (),
        )
        await box.launch(self._bwrap, launch, keep=keep, stdin=stdin)
        box.meter_with(GroupMeter(group) if group else TreeMeter(box.pid))
        self._boxes = {other for other in self._boxes if other.alive} | {box}
        self._watchdog.add(box)
        if self._gone:  # it was killed while this was starting
            box.end(SandboxGone(f"sandbox {self.id} was killed"))
        return box

    def _make_group(self, box: str | None, limits: Limits) -> _cgroup.Group | None:
        if self._groups is None:
            return None
        name = f"{_cgroup.owner()}/{self.id}" + (f"/{box}" if box else "")
        group = self._groups(name)
        group.limit(limits, processes=box is not None)
        return group

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


def tightest(own: Limits, asked: Limits | None) -> Limits:
    """``own``, with whatever ``asked`` narrows."""
    if asked is None:
        return own
    narrowed = {
        name: min(values)
        for name in _NAMED
        if (values := [v for v in (getattr(own, name), getattr(asked, name)) if v is not None])
    }
    return replace(own, **narrowed)


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


def _check_command(argv: Sequence[str], env: Mapping[str, str]) -> None:
    if not argv or not argv[0] or argv[0].startswith("-"):
        raise InvalidInputError("a command begins with the name of a program")
    for text in (*argv, *env.keys(), *env.values()):
        if "\0" in text:
            raise InvalidInputError(f"a command holds no zero byte: {text[:50]!r}")
    if bad := [name for name in env if not name or "=" in name]:
        raise InvalidInputError(f"{bad[0]!r} is no name of a variable")


def _inside(cwd: str) -> str:
    return os.path.normpath(os.path.join(WORKSPACE, cwd))


def _prepare_workspace(folder: Path) -> None:
    """Make the workspace, or see that code inside will be able to write to it.

    Raises:
        PermissionDenied: it is somebody else's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.geteuid() and not found.st_mode & stat.S_IWOTH:
        raise PermissionDenied(
            f"the workspace {folder} belongs to user {found.st_uid}, and code inside has the "
            f"rights of user {os.geteuid()}: it could not write there"
        )


def _remove_tree(folder: Path) -> None:
    def make_room(remove: Callable[[str], object], path: str, _: object) -> None:
        """Code inside may have closed a folder to its owner: open it, and go on."""
        with contextlib.suppress(OSError):
            os.chmod(os.path.dirname(path), 0o700)
            os.chmod(path, 0o700, follow_symlinks=False)
            remove(path)

    shutil.rmtree(folder, onerror=make_room)
