"""Makes sandboxes that are containers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from codin.private_folder import private_folder
from codin.process_name import process_lives
from codin.sandbox.base import (
    WORKSPACE,
    Isolation,
    Mount,
    Sandbox,
    SandboxProvider,
    SandboxSpec,
    SandboxSupport,
)
from codin.sandbox.box.provider import check_support
from codin.sandbox.docker.engine import Engine
from codin.sandbox.docker.image import Base, Image, find_image
from codin.sandbox.docker.sandbox import (
    OWNER_LABEL,
    PROVIDER_LABEL,
    DockerSandbox,
    Plan,
    environment,
    open_container,
    remove,
)
from codin.sandbox.errors import PermissionDenied, SandboxUnavailable
from codin.sandbox.local import layout
from codin.sandbox.network import ProxyRoom
from codin.sandbox.packages.shown import ShownPackages
from codin.sandbox.probe import probe

if TYPE_CHECKING:
    from codin.sandbox.packages import PackageLayers

USER = 61_000
"""Who code inside is, by the machine's numbers, when the platform is root: nobody."""


class DockerSandboxProvider(SandboxProvider):
    """Makes containers on an engine of this machine, Docker or Podman.

    ``address`` is the engine's (by default ``DOCKER_HOST``, then the usual sockets), ``image`` the
    image (by default the platform's own, see ``base``: from a Dockerfile where a registry is
    reached, else of this machine's files), ``cpus`` how many processors one may use at a time,
    ``layers`` and ``network`` as for ``LocalSandboxProvider``.
    """

    name = "docker"
    _supports: ClassVar[dict[tuple[str, str | None], SandboxSupport]] = {}

    def __init__(
        self,
        address: str | None = None,
        *,
        image: str | None = None,
        base: Base = "auto",
        cpus: float = 1.0,
        layers: PackageLayers | None = None,
        network: ProxyRoom | None = None,
    ) -> None:
        self._engine = Engine(address)
        self._image = image
        self._base: Base = base
        self._cpus = cpus
        self._packages = ShownPackages(layers)
        self._network = network or ProxyRoom()
        self._turn = asyncio.Lock()
        self._folder: Path | None = None
        self._found: dict[str | None, Image] = {}
        self._sandboxes: set[DockerSandbox] = set()

    async def probe(self) -> SandboxSupport:
        which = (self._engine.address, self._image)
        async with self._turn:
            if which not in self._supports:
                found = await probe(self._open, Isolation.CONTAINER)
                if not found.available:
                    return found  # an engine may be started yet
                self._supports[which] = replace(found, enforced=found.enforced | {"cpus"})
            return self._supports[which]

    async def describe(self) -> dict[str, object]:
        """What the engine gives, as data: for ``codin doctor``."""
        support = await self.probe()
        return {
            "backend": self.name,
            "isolation": support.isolation.value,
            "available": support.available,
            "enforced": sorted(support.enforced),
            "kept_by": "container engine",
            "engine": self._engine.address,
            "reason": support.reason,
        }

    async def create(self, spec: SandboxSpec) -> Sandbox:
        check_support(spec, await self.probe(), stronger="none here does")
        return await self._open(spec)

    async def close(self) -> None:
        """End every sandbox that was made here and is still there."""
        for sandbox in list(self._sandboxes):
            await sandbox.kill()
        self._network.close()
        if self._folder is not None:
            with contextlib.suppress(SandboxUnavailable):
                await self._sweep(self._here)
        await self._engine.close()
        if self._folder is not None:
            folder, self._folder = self._folder, None
            await asyncio.to_thread(shutil.rmtree, folder, True)

    async def _open(self, spec: SandboxSpec) -> Sandbox:
        for mount in spec.mounts:
            layout.check_mount(mount)
        image = await self._image_for(None)
        if spec.requirements and not image.fits:
            raise SandboxUnavailable(
                f"packages are built for the platform's own image, not for {self._image}: install "
                "them in that image, or leave image= away"
            )
        identity = uuid.uuid4().hex[:12]
        folder = (await self._place()) / identity
        podman = await self._engine.is_podman()
        plan = Plan(self._engine, image, folder, os.geteuid() or USER, self._cpus, podman)
        try:
            path = environment(image, {})["PATH"]
            spec = await self._packages.show(identity, spec, path=path)
            workspace = folder / "workspace" if spec.workspace is None else spec.workspace.resolve()
            spec = replace(spec, workspace=workspace)
            await asyncio.to_thread(_prepare, folder, spec, plan.user)
            sandbox = await open_container(identity, spec, plan, self._forget)
        except BaseException:
            self._packages.release(identity)
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, True))
            raise
        try:
            if not isinstance(network := spec.limits.network, str):
                await sandbox.open_network(self._network.proxy(network, spec.name or identity))
        except BaseException:
            await asyncio.shield(sandbox.kill())
            raise
        self._sandboxes.add(sandbox)
        return sandbox

    async def _image_for(self, name: str | None) -> Image:
        wanted = name or self._image
        if wanted not in self._found:
            self._found[wanted] = await find_image(self._engine, wanted, self._base)
        return self._found[wanted]

    async def _place(self) -> Path:
        if self._folder is None:
            self._folder = await asyncio.to_thread(private_folder, "containers")
            with contextlib.suppress(SandboxUnavailable):
                await self._sweep(lambda labels: not process_lives(labels.get(OWNER_LABEL, "")))
        return self._folder

    async def _sweep(self, left: Callable[[Mapping[str, str]], bool]) -> None:
        """Take away the containers whose labels say that nobody has them any more."""
        async with self._engine.asked("list its containers") as client:
            found = await client.containers.list(all=True, filters={"label": [OWNER_LABEL]})
        for container in found:
            if left(container["Labels"] or {}):
                await remove(self._engine, container.id)

    def _here(self, labels: Mapping[str, str]) -> bool:
        """Of this provider: what the engine made after nobody waited for it any more."""
        return labels.get(PROVIDER_LABEL) == str(self._folder)

    async def _forget(self, sandbox: DockerSandbox) -> None:
        self._sandboxes.discard(sandbox)
        self._packages.release(sandbox.id)
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder / sandbox.id, True)


def _prepare(folder: Path, spec: SandboxSpec, user: int) -> None:
    """Make the folders of a sandbox, and see that code inside can use what it is shown.

    Raises:
        PermissionDenied: a folder is somebody else's.
    """
    assert spec.workspace is not None
    folder.mkdir(mode=0o711)
    if not spec.workspace.exists():
        spec.workspace.mkdir(parents=True, mode=0o755)
        if os.geteuid() == 0:
            os.chown(spec.workspace, user, user)
    for mount in (Mount(spec.workspace, WORKSPACE, writable=True), *spec.mounts):
        found = mount.source.stat()
        wanted = stat.S_IROTH | (stat.S_IXOTH if mount.source.is_dir() else 0)
        wanted |= stat.S_IWOTH if mount.writable else 0
        if found.st_uid != user and found.st_mode & wanted != wanted:
            raise PermissionDenied(
                f"{mount.source} belongs to user {found.st_uid}, and code in a container has the "
                f"rights of user {user}: open it to others, or give it to that user"
            )
