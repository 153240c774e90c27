"""A sandbox in which each command has namespaces of its own, by bubblewrap."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codin.process_name import process_name
from codin.sandbox.base import Isolation, Limits, SandboxSpec
from codin.sandbox.box import cgroup
from codin.sandbox.box.base import Box
from codin.sandbox.box.command import Command
from codin.sandbox.box.link import worker_command
from codin.sandbox.box.meter import GroupMeter, Meter, TreeMeter
from codin.sandbox.box.sandbox import BoxSandbox
from codin.sandbox.errors import SandboxError, SandboxUnavailable
from codin.sandbox.local import bwrap, layout
from codin.sandbox.local.box import BwrapBox
from codin.sandbox.network.listener import front, proxy_environment, taken

if TYPE_CHECKING:
    from codin.sandbox.network.proxy import NetworkProxy


class LocalSandbox(BoxSandbox):
    """One workspace, and a box by bubblewrap around each command that runs on it."""

    isolation = Isolation.NAMESPACE

    def __init__(
        self,
        identity: str,
        spec: SandboxSpec,
        *,
        program: Path,
        etc: Path,
        groups: cgroup.GroupKind | None,
        proxy: NetworkProxy | None,
        on_end: Callable[[LocalSandbox], Awaitable[None]],
    ) -> None:
        super().__init__(identity, spec)
        self._program = program
        self._etc = etc
        self._groups = groups
        self._on_end = on_end
        self._proxy = proxy
        self._attending: set[asyncio.Task[None]] = set()
        self._group = self._make_group(None, spec.limits)

    async def open_box(self, command: Command, *, keep: Sequence[int] = ()) -> Box:
        """Start a command. ``keep`` are descriptors that it inherits, under the same numbers."""
        self.check_alive()
        check_whole(command)
        if self._proxy is None:
            return await self._launch(command, keep)
        here, inside_end = socket.socketpair()
        door = inside_end.fileno()
        try:
            box = await self._launch(command, [*keep, door], door)
        except BaseException:
            here.close()
            raise
        finally:
            inside_end.close()
        attending = asyncio.create_task(_attend(self._proxy, here, box))
        self._attending.add(attending)
        attending.add_done_callback(self._attending.discard)
        return box

    async def _launch(self, command: Command, keep: Sequence[int], door: int | None = None) -> Box:
        """Start a command. Over ``door`` the socket comes out that its proxy answers on."""
        limits = command.limits
        box = BwrapBox(limits, command.argv)
        group = self._make_group(uuid.uuid4().hex[:8], limits)
        own = {} if door is None else proxy_environment()
        launch = bwrap.Launch(
            argv=command.argv,
            view=layout.view(
                etc=self._etc,
                workspace=self.workspace,
                mounts=self._spec.mounts,
                disk=limits.disk_bytes,
            ),
            env=layout.base_env({**own, **self._spec.env, **command.env}),
            cwd=command.cwd,
            limits=limits,
            join=group.join if group else (),
            front=() if door is None else front(door),
        )
        meter: Callable[[int], Meter] = TreeMeter if group is None else lambda _: GroupMeter(group)
        await box.launch(self._program, launch, meter, keep=keep, stdin=command.stdin)
        return self._watch(box)

    async def open_worker(self, connection: int) -> Box:
        command = Command(worker_command(connection, self.limits), self.limits)
        return await self.open_box(command, keep=[connection])

    async def expose(self, port: int) -> str:
        self.check_alive()
        raise SandboxUnavailable(
            f"port {port} cannot be exposed: each command here has a network of its own; "
            "make the sandbox with machine=True"
        )

    async def _end(self) -> None:
        if self._attending:
            await asyncio.wait(self._attending)
        if self._group is not None:
            await asyncio.to_thread(self._group.remove)
        await self._on_end(self)

    def _make_group(self, box: str | None, limits: Limits) -> cgroup.Group | None:
        if self._groups is None:
            return None
        name = f"{process_name()}/{self.id}" + (f"/{box}" if box else "")
        group = self._groups(name)
        group.limit(limits, processes=box is not None)
        return group


def check_whole(command: Command) -> None:
    """Raises ``SandboxUnavailable`` for a command that wants to leave something behind."""
    if command.leave:
        raise SandboxUnavailable(
            "a command here has processes of its own, which end with it: "
            "make the sandbox with machine=True"
        )


async def _attend(proxy: NetworkProxy, link: socket.socket, box: Box) -> None:
    """Be the network of ``box`` until its end, which also ends ``link``."""
    with link:
        door = await taken(link)
    serving = None if door is None else proxy.serve(door)
    try:
        with contextlib.suppress(SandboxError):
            await box.wait()
    finally:
        if serving is not None:
            await serving.close()
