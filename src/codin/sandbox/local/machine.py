"""A sandbox that is one machine, by bubblewrap: one box, and a supervisor as its init."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path

from codin.process_name import process_name
from codin.sandbox.base import Isolation, Mount, SandboxSpec
from codin.sandbox.box import cgroup
from codin.sandbox.box.files import Tree
from codin.sandbox.box.meter import GroupMeter, Meter, TreeMeter
from codin.sandbox.errors import SandboxUnavailable
from codin.sandbox.local import bwrap, layout
from codin.sandbox.local.box import BwrapBox
from codin.sandbox.outcome import OutputChunk
from codin.sandbox.supervisor.client import Supervisor
from codin.sandbox.supervisor.sandbox import (
    BOOT,
    SupervisedSandbox,
    programs,
)

_TOLD_BYTES = 2000

OnEnd = Callable[["MachineSandbox"], Awaitable[None]]


class MachineSandbox(SupervisedSandbox):
    """One box around all that runs on one root folder; below it everything may be written."""

    isolation = Isolation.NAMESPACE

    def __init__(
        self,
        identity: str,
        spec: SandboxSpec,
        root: Path,
        *,
        supervisor: Supervisor,
        box: BwrapBox,
        group: cgroup.Group | None,
        etc: Path,
        on_end: OnEnd,
    ) -> None:
        assert spec.workspace is not None
        own = spec.workspace.is_relative_to(root)
        super().__init__(identity, spec, supervisor, *((root,) if own else (root, spec.workspace)))
        self._box = box
        self._group = group
        shown = [Mount(root, "/", writable=True), *layout.machine_mounts(etc)]
        self._shown = [*shown, *spec.mounts]
        self._on_end = on_end

    @property
    def kernel_keeps_memory(self) -> bool:
        return self._group is not None

    def base_env(self, env: Mapping[str, str]) -> dict[str, str]:
        return layout.base_env(env)

    def oom_kills(self) -> int:
        return 0 if self._group is None else self._group.oom_kills()

    def tree(self) -> Tree:
        self.check_alive()
        return Tree(self.workspace, self._shown, layout.KERNEL_FOLDERS)

    def end_place(self) -> None:
        super().end_place()
        self._box.end()

    async def _end(self) -> None:
        await super()._end()
        await _gone(self._box, self._group)
        await self._on_end(self)


async def open_machine(
    identity: str,
    spec: SandboxSpec,
    root: Path,
    *,
    program: Path,
    etc: Path,
    groups: cgroup.GroupKind | None,
    on_end: OnEnd,
) -> MachineSandbox:
    """Start one on the folder ``root``.

    Raises:
        SandboxUnavailable: it did not start.
    """
    assert spec.workspace is not None
    # The keeper of one command is a process that is not the code's; each further one's counts.
    limits = replace(spec.limits, cpu_seconds=None)
    group = groups(f"{process_name()}/{identity}") if groups else None
    if group is not None:
        group.limit(limits)
    here, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    boot = [sys.executable, "-I", "-B", "-X", "utf8", "-c", BOOT]
    view = layout.machine_view(
        root, etc=etc, workspace=spec.workspace, mounts=spec.mounts, disk=spec.limits.disk_bytes
    )
    launch = bwrap.Launch(
        argv=[*boot, str(inside.fileno()), *map(str, programs())],
        view=view,
        env=layout.base_env(spec.env),
        cwd="/",
        limits=limits,
        join=group.join if group else (),
        as_init=True,
    )
    box, said = BwrapBox(limits, launch.argv), bytearray()
    meter: Callable[[int], Meter] = TreeMeter if group is None else lambda _: GroupMeter(group)
    supervisor = Supervisor(here)
    try:
        await box.launch(program, launch, meter, keep=[inside.fileno()])
        inside.close()
        box.pump.begin(lambda chunk: _hear(said, chunk), None)
        await supervisor.greet()
    except BaseException as error:
        inside.close()
        supervisor.close()
        await asyncio.shield(_gone(box, group))
        if isinstance(error, SandboxUnavailable) and said:
            raise SandboxUnavailable(f"{error}: {said.decode(errors='replace')}") from error
        raise
    return MachineSandbox(
        identity,
        spec,
        root,
        supervisor=supervisor,
        box=box,
        group=group,
        etc=etc,
        on_end=on_end,
    )


async def _gone(box: BwrapBox, group: cgroup.Group | None) -> None:
    """End the box, if it was started at all, and take its group away."""
    if box.launched:
        box.end()
        await asyncio.gather(box.wait(), return_exceptions=True)
    elif group is not None:
        await asyncio.to_thread(group.remove)


def _hear(said: bytearray, chunk: OutputChunk) -> None:
    """Keep the last that the supervisor itself printed: why it did not start, perhaps."""
    said += chunk.data
    del said[:-_TOLD_BYTES]
