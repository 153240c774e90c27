"""Sandboxes on this machine, made by bubblewrap: Linux, by root or by anybody."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import stat
import subprocess
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from codin.private_folder import private_folder
from codin.process_name import process_name
from codin.sandbox.base import (
    Isolation,
    Sandbox,
    SandboxProvider,
    SandboxSpec,
    SandboxSupport,
)
from codin.sandbox.box import cgroup
from codin.sandbox.box.provider import check_support
from codin.sandbox.box.sandbox import BoxSandbox
from codin.sandbox.errors import PermissionDenied, SandboxError, SandboxUnavailable
from codin.sandbox.local import bwrap, knobs, layout, seccomp
from codin.sandbox.local.machine import open_machine
from codin.sandbox.local.sandbox import LocalSandbox
from codin.sandbox.network.proxy import NetworkProxy, ProxyRoom
from codin.sandbox.packages.shown import ShownPackages
from codin.sandbox.probe import probe

if TYPE_CHECKING:
    from codin.sandbox.packages import PackageLayers


class LocalSandboxProvider(SandboxProvider):
    """Makes sandboxes with namespaces, by bubblewrap.

    Memory and processes are limited by control groups where these can be written (mostly: by
    root), else by looking at the processes, which bites a little late. Everything that it makes
    on disk is in one folder of its own, gone after ``close``, but for ``layers``: the packages of
    ``SandboxSpec.requirements``, kept for the next time (without it: in this user's cache).
    ``network`` has what the operator allows of private networks, and what a sandbox whose network
    is an allow-list may take of its proxy.
    """

    name = "local"
    isolation = Isolation.NAMESPACE
    _found: ClassVar[dict[Path, SandboxSupport]] = {}

    def __init__(
        self, *, layers: PackageLayers | None = None, network: ProxyRoom | None = None
    ) -> None:
        self._layers = layers
        self._packages = ShownPackages(layers)
        self._stronger: SandboxProvider | None = None
        self._network = network or ProxyRoom()
        self._probing = asyncio.Lock()
        self._preparing = asyncio.Lock()
        self._folder: Path | None = None
        self._groups: cgroup.GroupKind | None = None
        self._sandboxes: set[BoxSandbox] = set()

    async def probe(self) -> SandboxSupport:
        try:
            program = bwrap.find()
        except SandboxUnavailable as error:
            return SandboxSupport(self.isolation, available=False, reason=str(error))
        async with self._probing:
            if program not in self._found:
                found = await self._try()
                if not found.available:  # what forbids it may be changed meanwhile
                    return replace(found, reason=f"{found.reason}{knobs.advice()}")
                self._found[program] = found
            return self._found[program]

    async def _try(self) -> SandboxSupport:
        found = await probe(self._open, self.isolation)
        groups = self._groups
        if found.available and groups is not None and cgroup.limits_cpus(groups):
            return replace(found, enforced=found.enforced | {"cpus"})
        return found

    async def describe(self) -> dict[str, object]:
        """What this machine gives, as data: for ``codin doctor``."""
        support = await self.probe()
        await self._place()
        return {
            "backend": self.name,
            "isolation": support.isolation.value,
            "available": support.available,
            "enforced": sorted(support.enforced),
            "kept_by": "control group" if self._groups else "watchdog",
            "system_calls_filtered": seccomp.program() is not None,
            "reason": support.reason,
        }

    async def probe_for(self, least: Isolation) -> SandboxSupport:
        if least is Isolation.GVISOR and self.isolation is Isolation.NAMESPACE:
            return await self._by_gvisor().probe()
        return await self.probe()

    async def create(self, spec: SandboxSpec) -> Sandbox:
        if spec.least is Isolation.GVISOR and self.isolation is Isolation.NAMESPACE:
            return await self._by_gvisor().create(spec)
        support = await self.probe()
        check_support(spec, support, stronger="a container engine gives that")
        return await self._open(spec)

    async def close(self) -> None:
        """End every sandbox that was made here and is still there."""
        for sandbox in list(self._sandboxes):
            await sandbox.kill()
        if self._stronger is not None:
            await self._stronger.close()
        self._network.close()
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, True)
            self._folder = None
        if self._groups is not None:
            self._groups(process_name()).remove()  # refused while another provider uses it

    async def _open(self, spec: SandboxSpec) -> Sandbox:
        """A sandbox, without asking first whether its limits can be enforced."""
        place = await self._place()
        for mount in spec.mounts:
            layout.check_mount(mount)
        identity = uuid.uuid4().hex[:12]
        try:
            spec = await self._packages.show(identity, spec, path=layout.BASE_PATH)
            if spec.machine:
                sandbox = await self._machine(identity, spec, place)
            else:
                sandbox = await self._apart(identity, spec, place)
        except BaseException:
            self._packages.release(identity)
            raise
        self._sandboxes.add(sandbox)
        return sandbox

    async def _apart(self, identity: str, spec: SandboxSpec, place: Path) -> BoxSandbox:
        own, workspace = await self._workspace(identity, spec, place)
        return LocalSandbox(
            identity,
            replace(spec, workspace=workspace),
            program=bwrap.find(),
            proxy=self._proxy_of(spec, identity),
            etc=place / "etc",
            groups=self._groups,
            on_end=lambda ended: self._forget(ended, workspace if own else None),
        )

    async def _workspace(self, identity: str, spec: SandboxSpec, place: Path) -> tuple[bool, Path]:
        """Whether it goes with the sandbox, and where it is."""
        own = spec.workspace is None
        workspace = place / identity if spec.workspace is None else spec.workspace.resolve()
        await asyncio.to_thread(_prepare_workspace, workspace)
        return own, workspace

    def _by_gvisor(self) -> SandboxProvider:
        if self._stronger is None:
            from codin.sandbox.gvisor import GvisorSandboxProvider

            self._stronger = GvisorSandboxProvider(layers=self._layers)
        return self._stronger

    async def _machine(self, identity: str, spec: SandboxSpec, place: Path) -> BoxSandbox:
        root = place / identity
        await asyncio.to_thread(_prepare_root, root)
        workspace = root / "workspace" if spec.workspace is None else spec.workspace.resolve()
        await asyncio.to_thread(_prepare_workspace, workspace)
        try:
            machine = await open_machine(
                identity,
                replace(spec, workspace=workspace),
                root,
                program=bwrap.find(),
                etc=place / "etc",
                groups=self._groups,
                on_end=lambda ended: self._forget(ended, root),
            )
        except BaseException:
            await asyncio.shield(asyncio.to_thread(_remove_tree, root))
            raise
        try:
            if (proxy := self._proxy_of(spec, identity)) is not None:
                await machine.open_network(proxy)
        except BaseException:
            await asyncio.shield(machine.kill())
            raise
        return machine

    def _proxy_of(self, spec: SandboxSpec, identity: str) -> NetworkProxy | None:
        network = spec.limits.network
        if isinstance(network, str):
            return None
        return self._network.proxy(network, spec.name or identity)

    async def _place(self) -> Path:
        """The folder of this provider, made when it is first asked for."""
        async with self._preparing:
            if self._folder is None:
                try:
                    self._folder = await asyncio.to_thread(self._prepare)
                except OSError as error:
                    raise _unusable(Path(tempfile.gettempdir()), error) from error
            return self._folder

    def _prepare(self) -> Path:
        folder = private_folder("sandboxes", remove=_remove_tree)
        layout.write_etc(folder / "etc")
        cgroup.sweep()
        self._groups = cgroup.find_kind()
        return folder

    async def _forget(self, sandbox: BoxSandbox, folder: Path | None) -> None:
        self._sandboxes.discard(sandbox)
        self._packages.release(sandbox.id)
        if folder is not None:
            await asyncio.to_thread(_remove_tree, folder)


def _prepare_root(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    temporary = folder / "tmp"
    temporary.mkdir()
    temporary.chmod(0o1777)


def _prepare_workspace(folder: Path) -> None:
    """Make the workspace, or see that code inside will be able to write to it.

    Raises:
        PermissionDenied: it is somebody else's.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise _unusable(folder, error) from error
    if found.st_uid != os.geteuid() and not found.st_mode & stat.S_IWOTH:
        raise PermissionDenied(
            f"the workspace {folder} belongs to user {found.st_uid}, and code inside has the "
            f"rights of user {os.geteuid()}: it could not write there"
        )


def _unusable(folder: Path, error: OSError) -> SandboxError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return SandboxUnavailable(
            f"there is no room for a sandbox: the disk of {folder} is full; make room there, "
            "or set TMPDIR to a folder elsewhere"
        )
    return PermissionDenied(f"{folder} cannot be used by a sandbox: {error.strerror}")


def _remove_tree(folder: Path) -> None:
    """Remove what code inside has left, also where it closed folders to their owner, or nested
    them deeper than this process can follow."""
    opened: set[str] = set()

    def make_room(_remove: Callable[..., object], path: str, _error: object) -> None:
        if path in opened:
            return
        opened.add(path)
        with contextlib.suppress(OSError):
            if Path(path) != folder:  # what that is in is not the sandbox's
                os.chmod(os.path.dirname(path), 0o700)
            if os.path.islink(path) or not os.path.isdir(path):
                os.unlink(path)
            else:
                os.chmod(path, 0o700)
                shutil.rmtree(path, onerror=make_room)

    with contextlib.suppress(RecursionError):
        shutil.rmtree(folder, onerror=make_room)
    if folder.exists():
        subprocess.run(["rm", "-rf", "--", folder], check=False)  # noqa: S607
