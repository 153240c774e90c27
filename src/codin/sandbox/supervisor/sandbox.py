"""A sandbox that is one machine: a supervisor inside starts all that runs in it."""

from __future__ import annotations

import asyncio
import contextlib
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from codin.sandbox.base import WORKSPACE, Limits, SandboxSpec
from codin.sandbox.box.base import Box
from codin.sandbox.box.command import Command
from codin.sandbox.box.sandbox import BoxSandbox
from codin.sandbox.errors import SandboxGone, SandboxUnavailable
from codin.sandbox.network.listener import PROXY_PORT, proxy_environment
from codin.sandbox.programs import supervisor_program, worker_program
from codin.sandbox.supervisor.box import Job, SupervisedBox
from codin.sandbox.supervisor.client import Supervisor
from codin.sandbox.supervisor.forward import Forward
from codin.sandbox.worker.link import frame_limit

if TYPE_CHECKING:
    from codin.sandbox.network.proxy import NetworkProxy, Serving

# The programs are loaded by their paths, under names that no module of the code's has.
BOOT = """
import socket, sys
where, supervisor, worker = sys.argv[1:4]
sys.path += sys.argv[4:]
for name, path in (("_codin_supervisor", supervisor), ("_codin_worker", worker)):
    package = sys.modules[name] = type(sys)(name)
    package.__path__ = [path]
from _codin_supervisor._main import main
if where.isdigit():
    control = socket.socket(fileno=int(where))
else:
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.connect(where)
main(control)
"""


def programs() -> tuple[Path, Path]:
    """The folders of the supervisor's program and of the Worker's, on this machine."""
    return supervisor_program(), worker_program()


class SupervisedSandbox(BoxSandbox):
    """Commands and Workers share processes, ``/tmp`` and the network of one place."""

    def __init__(
        self, identity: str, spec: SandboxSpec, supervisor: Supervisor, *folders: Path
    ) -> None:
        super().__init__(identity, spec, *folders)
        self._supervisor = supervisor
        self._forwards: dict[int, Forward] = {}
        self._serving: Serving | None = None

    @abstractmethod
    def base_env(self, env: Mapping[str, str]) -> dict[str, str]:
        """All of the environment of a command that is given ``env``."""

    @abstractmethod
    def oom_kills(self) -> int:
        """How many processes in here the kernel has killed for want of memory."""

    @property
    @abstractmethod
    def kernel_keeps_memory(self) -> bool:
        """Whether the limit on memory is the kernel's, or has to be looked after."""

    async def open_network(self, proxy: NetworkProxy) -> None:
        """Make ``proxy`` the one route out, before anything else runs in here.

        Raises:
            SandboxUnavailable: its port is taken, inside.
            SandboxGone
        """
        try:
            listener = await self._supervisor.listen(PROXY_PORT)
        except OSError as error:
            raise SandboxUnavailable(f"the sandbox has no place for its proxy: {error}") from None
        self._proxy, self._serving = proxy, proxy.serve(listener)

    def check_alive(self) -> None:
        super().check_alive()
        if self._supervisor.gone.is_set():
            raise SandboxGone(f"sandbox {self.id} has ended by itself; make a new one")

    async def open_box(self, command: Command) -> Box:
        self.check_alive()
        job = Job(
            command.argv,
            self._environment(command.env),
            command.cwd,
            leave=command.leave,
            rlimits=_rlimits(command.limits),
        )
        return await self._launch(job, command.limits, stdin=bool(command.stdin))

    async def open_worker(self, connection: int) -> Box:
        self.check_alive()
        job = Job(
            ["worker"],
            self._environment({}),
            WORKSPACE,
            connection=connection,
            most=frame_limit(self.limits),
            rlimits=_rlimits(self.limits),
        )
        return await self._launch(job, self.limits, stdin=False)

    async def expose(self, port: int) -> str:
        self.check_alive()
        if port not in self._forwards:
            self._forwards[port] = forward = Forward(self._supervisor, port)
            await forward.start()
        return self._forwards[port].url

    async def _end(self) -> None:
        for forward in self._forwards.values():
            await forward.close()
        self._supervisor.close()
        if self._serving is not None:
            await self._serving.close()

    def end_place(self) -> None:
        """End all that runs here, at once: something in it did not end when it had to."""
        self._supervisor.close()

    def _environment(self, env: Mapping[str, str]) -> dict[str, str]:
        own = {} if self._proxy is None else proxy_environment()
        return self.base_env({**own, **self._spec.env, **env})

    async def _launch(self, job: Job, limits: Limits, *, stdin: bool) -> Box:
        box = SupervisedBox(
            limits,
            job.argv,
            oom_kills=self.oom_kills,
            end_place=self.end_place,
            counted=self.kernel_keeps_memory,
        )
        starting = asyncio.ensure_future(box.launch(self._supervisor, job, stdin=stdin))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                await starting
                box.end()
                await box.wait()
            raise
        return self._watch(box)


def _rlimits(limits: Limits) -> dict[str, int]:
    found = {}
    if limits.disk_bytes is not None:
        found["RLIMIT_FSIZE"] = limits.disk_bytes
    if limits.cpu_seconds is not None:
        found["RLIMIT_CPU"] = int(limits.cpu_seconds) + 1
    return found
