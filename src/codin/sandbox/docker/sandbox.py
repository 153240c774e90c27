"""One container, with a supervisor as its first process."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
import socket
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codin.process_name import process_name
from codin.sandbox.base import WORKSPACE, Isolation, Mount, Process, SandboxSpec
from codin.sandbox.box.cgroup import ForeignGroup
from codin.sandbox.box.files import Tree
from codin.sandbox.box.process import BoxProcess
from codin.sandbox.docker.engine import CONFLICT, NOT_FOUND, Engine, EngineError
from codin.sandbox.docker.guest import GuestBox
from codin.sandbox.docker.hardening import Kept, host_config
from codin.sandbox.docker.image import REPOSITORY, Image, find_image
from codin.sandbox.errors import SandboxUnavailable
from codin.sandbox.local import layout, seccomp
from codin.sandbox.network.listener import proxy_environment
from codin.sandbox.supervisor.client import Supervisor
from codin.sandbox.supervisor.sandbox import BOOT, SupervisedSandbox, programs

OWNER_LABEL, PROVIDER_LABEL = "codin.owner", "codin.provider"
_DOOR = "/run/codin-supervisor"
_PROGRAMS = "/opt/codin"
_START_SECONDS = 60.0
_REMOVE_SECONDS = 10.0
_AGAIN_SECONDS = 0.1
_ENDING = ("state improper", "is not running")
_CREDENTIALS = struct.Struct("3i")

OnEnd = Callable[["DockerSandbox"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a container is to be started with. ``folder`` is a host folder for it alone, ``user``
    the host's number of who runs inside."""

    engine: Engine
    image: Image
    folder: Path
    user: int
    cpus: float
    podman: bool


class DockerSandbox(SupervisedSandbox):
    """A container of an engine on this machine. Its commands share all of it but ``/workspace``
    and ``/tmp`` is read-only."""

    isolation = Isolation.CONTAINER

    def __init__(
        self,
        identity: str,
        spec: SandboxSpec,
        *,
        plan: Plan,
        container: str,
        supervisor: Supervisor,
        group: ForeignGroup,
        on_end: OnEnd,
    ) -> None:
        super().__init__(identity, spec, supervisor)
        self._plan = plan
        self._container = container
        self._group = group
        self._on_end = on_end

    @property
    def container(self) -> str:
        """The engine's name for it."""
        return self._container

    @property
    def kernel_keeps_memory(self) -> bool:
        return True

    async def run_image(
        self,
        image: str,
        argv: Sequence[str] = (),
        *,
        env: Mapping[str, str] | None = None,
        stdin: bool = False,
    ) -> Process:
        """Start a container of any image beside this one, which it cannot outlive.

        It has this sandbox's limits, network, ``/workspace`` and mounts, and is as hardened; the
        rest of its files are the image's, read-only. ``codin-sandbox`` is this sandbox's image.

        Raises:
            SandboxUnavailable: there is no such image, or the engine refused.
            CommandNotFound, PermissionDenied, SandboxGone
        """
        self.check_alive()
        engine = self._plan.engine
        own = image == REPOSITORY
        found = self._plan.image if own else await find_image(engine, image)
        box = GuestBox(self.limits, [*argv] or [image], engine, remove)
        await box.launch(self._guest(found, argv, env or {}, stdin=stdin), stdin=stdin)
        return BoxProcess(self._watch(box))

    def _guest(
        self, image: Image, argv: Sequence[str], env: Mapping[str, str], *, stdin: bool
    ) -> dict[str, Any]:
        assert self._spec.workspace is not None
        mounts = [Mount(self._spec.workspace, WORKSPACE, writable=True), *self._spec.mounts]
        cpus = self.limits.cpus or self._plan.cpus
        kept = Kept(self.limits, mounts, cpus, self._container, self._plan.podman)
        proxied = {} if self._proxy is None else proxy_environment()
        settings = {**proxied, **self._spec.env, **env}
        return {
            "Image": image.name,
            **({"Cmd": list(argv)} if argv else {}),
            "User": f"{self._plan.user}:{self._plan.user}",
            "Env": [f"{name}={value}" for name, value in settings.items()],
            "OpenStdin": stdin,
            "StdinOnce": stdin,
            "Healthcheck": {"Test": ["NONE"]},
            "Labels": {OWNER_LABEL: process_name(), "codin.beside": self.id},
            "HostConfig": {
                **host_config(kept),
                "AutoRemove": False,  # its end is looked at
                "PidMode": f"container:{self._container}",  # what ends when this sandbox does
            },
        }

    def base_env(self, env: Mapping[str, str]) -> dict[str, str]:
        return environment(self._plan.image, env)

    def oom_kills(self) -> int:
        return self._group.oom_kills()

    def tree(self) -> Tree:
        self.check_alive()
        owner = self._plan.user if os.geteuid() == 0 else None
        return Tree(self.workspace, self._spec.mounts, owner=owner)

    async def _end(self) -> None:
        await super()._end()
        self._group.close()
        await remove(self._plan.engine, self._container)
        await self._on_end(self)


async def open_container(
    identity: str, spec: SandboxSpec, plan: Plan, on_end: OnEnd
) -> DockerSandbox:
    """Start one.

    Raises:
        SandboxUnavailable: the engine refused, or nothing inside answered.
    """
    door = plan.folder / "door"
    listener = _listen(door)
    try:
        async with plan.engine.turns:
            container = await _create(identity, spec, plan, door)
            async with plan.engine.asked("start a container", _START_SECONDS):
                await container.start()
            supervisor, pid = await _accept(listener, container.id, plan.engine)
    except BaseException:
        # By its name: the engine may have made it and not said so in time.
        await asyncio.shield(remove(plan.engine, name_of(identity)))
        raise
    finally:
        listener.close()
        await asyncio.to_thread(shutil.rmtree, door, True)
    return DockerSandbox(
        identity,
        spec,
        plan=plan,
        container=container.id,
        supervisor=supervisor,
        group=ForeignGroup.of_process(pid),
        on_end=on_end,
    )


def name_of(identity: str) -> str:
    """The name of a sandbox's container."""
    return f"codin-{identity}"


async def remove(engine: Engine, container: str) -> None:
    """Take a container away, whatever its state; one that has gone already is as well.

    An engine refuses while it has not yet noticed that the container has ended (Podman), or when it
    ends between its being looked at and its being killed (Docker): it is asked again.
    """
    deadline = time.monotonic() + _REMOVE_SECONDS
    while True:
        try:
            async with engine.turns, engine.asked("remove a container") as client:
                await client.containers.container(container).delete(force=True, v=True)
        except EngineError as error:
            if error.status in {NOT_FOUND, CONFLICT}:  # a conflict: it is being removed
                return
            ending = any(words in str(error) for words in _ENDING)
            if not ending or time.monotonic() > deadline:
                raise
            await asyncio.sleep(_AGAIN_SECONDS)
        else:
            return


def environment(image: Image, env: Mapping[str, str]) -> dict[str, str]:
    """All of the environment of what runs in a container of ``image``."""
    base = layout.base_env({})
    if not image.ours:
        own = dict(entry.partition("=")[::2] for entry in image.env)
        base["PATH"] = own.get("PATH", "/usr/local/bin:/usr/bin:/bin")
    return base | dict(env)


async def _create(identity: str, spec: SandboxSpec, plan: Plan, door: Path) -> Any:
    assert spec.workspace is not None
    mounts = [
        Mount(spec.workspace, WORKSPACE, writable=True),
        Mount(door, _DOOR),
        *_programs(plan.image),
        *spec.mounts,
    ]
    inside = [f"{_PROGRAMS}/{folder.name}" for folder in programs()]
    cpus = spec.limits.cpus or plan.cpus
    config: dict[str, Any] = {
        "Image": plan.image.name,
        "Entrypoint": [plan.image.python],
        "Cmd": [
            *("-I", "-B", "-X", "utf8", "-c", seccomp.installing() + BOOT, f"{_DOOR}/s"),
            *(*inside, f"{_PROGRAMS}/packages"),
        ],
        "User": f"{plan.user}:{plan.user}",
        "Env": [f"{name}={value}" for name, value in environment(plan.image, {}).items()],
        "WorkingDir": "/",
        "Hostname": "sandbox",
        "Healthcheck": {"Test": ["NONE"]},
        "Labels": {
            OWNER_LABEL: process_name(),
            PROVIDER_LABEL: str(plan.folder.parent),
            "codin.sandbox": identity,
        },
        "HostConfig": host_config(Kept(spec.limits, mounts, cpus, podman=plan.podman)),
    }
    async with plan.engine.asked("create a container", _START_SECONDS) as client:
        return await client.containers.create(config, name=name_of(identity))


def _programs(image: Image) -> list[Mount]:
    """The programs of ours that run inside, and what they need."""
    found = importlib.util.find_spec("msgpack")
    assert found is not None
    assert found.submodule_search_locations is not None
    msgpack = Path(next(iter(found.submodule_search_locations)))
    mounts = [Mount(folder, f"{_PROGRAMS}/{folder.name}") for folder in programs()]
    mounts.append(Mount(msgpack, f"{_PROGRAMS}/packages/msgpack"))
    if image.ours:
        base = (sys.base_prefix, os.path.realpath(sys.base_prefix))
        folders = [f for f in layout.python_folders() if not str(f).startswith(base)]
        mounts += [Mount(folder, str(folder)) for folder in folders]
    return mounts


def _listen(door: Path) -> socket.socket:
    """A socket in a folder of its own, for whoever is first inside the container."""
    door.mkdir(mode=0o755)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.bind(str(door / "s"))
        os.chmod(door / "s", 0o666)  # noqa: S103 - the folders above are closed to others
        listener.listen(1)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


async def _accept(
    listener: socket.socket, container: str, engine: Engine
) -> tuple[Supervisor, int]:
    """The supervisor inside, and its process by this machine's number, which the kernel tells."""
    accepting = asyncio.ensure_future(asyncio.get_running_loop().sock_accept(listener))
    ending = asyncio.ensure_future(_ended(container, engine))
    try:
        async with asyncio.timeout(_START_SECONDS):
            await asyncio.wait([accepting, ending], return_when=asyncio.FIRST_COMPLETED)
        if not accepting.done():
            raise SandboxUnavailable(f"the container ended before it was ready ({ending.result()})")
    except TimeoutError:
        raise SandboxUnavailable(
            f"nothing inside the container answered within {_START_SECONDS:g} s"
        ) from None
    finally:
        ending.cancel()
        accepting.cancel()
    control, _ = accepting.result()
    credentials = control.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    supervisor = Supervisor(control)
    await supervisor.greet()
    return supervisor, int(_CREDENTIALS.unpack(credentials)[0])


async def _ended(container: str, engine: Engine) -> str:
    """Wait for the end of a container; gives how it ended."""
    with contextlib.suppress(SandboxUnavailable):
        async with engine.asked("wait for a container", 2 * _START_SECONDS) as client:
            found = await client.containers.container(container).wait()
            return f"exit code {found.get('StatusCode')}; its image needs Python 3.10 or later"
    return "it has gone"
