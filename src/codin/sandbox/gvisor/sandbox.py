"""A sandbox in which each command has a kernel of its own, in namespaces of its own."""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from codin.sandbox.base import Isolation, Limits, SandboxSpec
from codin.sandbox.box import cgroup
from codin.sandbox.box.base import Box
from codin.sandbox.box.command import Command
from codin.sandbox.box.link import worker_command
from codin.sandbox.box.meter import Sample
from codin.sandbox.errors import PermissionDenied, SandboxError, SandboxUnavailable
from codin.sandbox.gvisor import runsc
from codin.sandbox.gvisor.meter import OWN_MEMORY, GvisorMeter, most_tasks, without_own
from codin.sandbox.gvisor.runsc import PLACE, Runsc, bundle
from codin.sandbox.local import bwrap, layout
from codin.sandbox.local.box import BwrapBox, memory_file
from codin.sandbox.local.sandbox import LocalSandbox, check_whole

_NO_LIMITS = Limits(
    cpu_seconds=None,
    memory_bytes=None,
    processes=None,
    disk_bytes=None,
    wall_seconds=None,
    output_bytes=None,
)
# Whatever standard input it has becomes the Worker's connection: no other descriptor gets in.
_CONNECTED = 'exec 3<&0 </dev/null; exec "$@"'


class GvisorBox(BwrapBox):
    """A command on a kernel of its own. What its limits are for is the command, not that kernel."""

    def check(self, sample: Sample) -> None:
        sample, most = without_own(sample), self.limits.processes
        if most is not None and sample.processes > most:
            self.end(PermissionDenied(f"{self._name} started more than {most} processes"))
        super().check(sample)

    def _judge(self, code: int, note: bytes, sample: Sample) -> SandboxError | None:
        if note.startswith(b"{") and not sample.oom_kills:
            return SandboxUnavailable(
                f"gVisor could not make the sandbox (exit code {code}): {runsc.reason(note)}; "
                "`codin doctor` shows what this machine can do"
            )
        return super()._judge(code, note, sample)

    def _note_pipe(self) -> tuple[int, int]:
        """Both ends, the one that gVisor has not where it wants to have its own descriptors."""
        read, write = super()._note_pipe()
        if write not in runsc.ITS_DESCRIPTORS:
            return read, write
        try:
            return read, fcntl.fcntl(write, fcntl.F_DUPFD_CLOEXEC, runsc.ITS_DESCRIPTORS.stop)
        finally:
            os.close(write)


class GvisorSandbox(LocalSandbox):
    """One workspace, and a kernel by gVisor below each command that runs on it."""

    isolation = Isolation.GVISOR

    def __init__(
        self,
        identity: str,
        spec: SandboxSpec,
        *,
        runsc: Runsc,
        program: Path,
        etc: Path,
        groups: cgroup.GroupKind | None,
        on_end: Callable[[LocalSandbox], Awaitable[None]],
    ) -> None:
        self._runsc = runsc
        self._running: set[Box] = set()
        super().__init__(
            identity, spec, program=program, etc=etc, groups=groups, proxy=None, on_end=on_end
        )

    async def open_box(self, command: Command, *, keep: Sequence[int] = ()) -> Box:
        """Start a command; no descriptors can be kept."""
        assert not keep, "gVisor takes no descriptors in"
        self.check_alive()
        check_whole(command)
        box = GvisorBox(command.limits, command.argv)
        self._make_room(box)
        group = self._make_group(uuid.uuid4().hex[:8], command.limits)
        config = memory_file(self._config(command))
        try:
            await box.launch(
                self._program,
                self._described(command, group, config),
                lambda pid: GvisorMeter(pid, group),
                keep=[config],
                stdin=command.stdin,
            )
        finally:
            os.close(config)
        return self._watch(box)

    async def open_worker(self, connection: int) -> Box:
        argv = ["/bin/sh", "-c", _CONNECTED, "codin", *worker_command(3, self.limits)]
        return await self.open_box(Command(argv, self.limits, stdin=connection))

    def _config(self, command: Command) -> bytes:
        return bundle(
            command.argv,
            cwd=command.cwd,
            env=layout.base_env({**self._spec.env, **command.env}),
            limits=command.limits,
            mounts=self._spec.mounts,
        )

    def _described(self, command: Command, group: cgroup.Group | None, config: int) -> bwrap.Launch:
        view = layout.view(
            etc=self._etc,
            workspace=self.workspace,
            mounts=self._spec.mounts,
            disk=command.limits.disk_bytes,
            keep_proc=False,
        )
        own = ["--tmpfs", PLACE, "--ro-bind-data", str(config), f"{PLACE}/config.json"]
        if not self._runsc.path.is_relative_to("/usr"):
            own += ["--ro-bind", str(self._runsc.path), str(self._runsc.path)]
        return bwrap.Launch(
            argv=command.argv,
            view=[*own, *view],
            env={"PATH": layout.BASE_PATH, "HOME": PLACE},
            cwd=command.cwd,
            limits=_NO_LIMITS,
            join=group.join if group else (),
            by=self._runsc.command,
        )

    def _make_room(self, box: Box) -> None:
        """Each running kernel may have its own memory besides what the sandbox may use."""
        self._running = {other for other in self._running if other.alive} | {box}
        if self._group is not None:
            self._group.limit(self._widened(self.limits, len(self._running)), processes=False)

    def _make_group(self, box: str | None, limits: Limits) -> cgroup.Group | None:
        return super()._make_group(box, self._widened(limits, 1))

    @staticmethod
    def _widened(limits: Limits, kernels: int) -> Limits:
        memory, processes = limits.memory_bytes, limits.processes
        return replace(
            limits,
            memory_bytes=None if memory is None else memory + kernels * OWN_MEMORY,
            processes=None if processes is None else most_tasks(processes),
        )
