"""One warm sandbox for each goal that runs."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from codin.sandbox.base import Isolation, Limits, Sandbox, SandboxProvider, SandboxSpec
from codin.sandbox.errors import RemoteError, SandboxGone, WorkerGone
from codin.sandbox.outcome import CodeResult, OnOutput
from codin.sandbox.worker.base import Worker
from codin.security import Principal, RunGrant
from codin.tool.workspace import Workspaces

GOAL_LIMITS = Limits(wall_seconds=None, memory_bytes=2 * 1024**3, processes=128)
"""What the sandbox of a goal may use in all; each call has its own time."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a call has in its sandbox that others of its goal have not: variables, Python packages,
    and the ``host:port`` that it reaches."""

    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    requirements: tuple[str, ...] = ()
    network: tuple[str, ...] = ()


@dataclass(slots=True)
class _Place:
    """A goal's sandbox, and who uses what of it."""

    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    sandbox: Sandbox | None = None
    closed: bool = False
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    looker: tuple[Sandbox, Worker] | None = None
    sessions: defaultdict[tuple[str, str], asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock)
    )


class GoalSandboxes:
    """The sandboxes of the goals that run: made when first used, closed with the goal.

    Runs of one goal share its workspace. The state of Python code is each run's own: its session
    is the run's task. A goal belongs to one principal; for another it is another goal.
    """

    def __init__(
        self,
        provider: SandboxProvider,
        workspaces: Workspaces,
        *,
        limits: Limits = GOAL_LIMITS,
        least: Isolation = Isolation.NAMESPACE,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.workspaces = workspaces
        self._provider = provider
        self._limits = limits
        self._least = least
        self._env = dict(env or {})
        self._places: dict[tuple[str, str, str], _Place] = {}

    @asynccontextmanager
    async def sandbox(self, grant: RunGrant) -> AsyncIterator[Sandbox]:
        """The goal's sandbox. One that turns out to be gone is replaced on the next use.

        Raises:
            SandboxUnavailable: the isolation cannot be had here.
        """
        place = self._places.setdefault(_key(grant.principal, grant.goal_id), _Place())
        sandbox = await self._open(place, grant)
        try:
            yield sandbox
        except WorkerGone:
            raise
        except SandboxGone:
            if place.sandbox is sandbox:
                place.sandbox = None
            await sandbox.kill()
            raise

    async def run_code(
        self, grant: RunGrant, code: str, *, timeout: float, on_output: OnOutput | None = None
    ) -> CodeResult:
        """Run Python in the run's own session; calls of one run wait for each other.

        Raises:
            SandboxError: see ``Sandbox.run_code``.
        """
        place = self._places.setdefault(_key(grant.principal, grant.goal_id), _Place())
        async with place.sessions[(grant.task_id, "python")], self.sandbox(grant) as sandbox:
            return await sandbox.run_code(
                code, session=grant.task_id, timeout=timeout, on_output=on_output
            )

    @asynccontextmanager
    async def worker(self, grant: RunGrant) -> AsyncIterator[Worker]:
        """A Worker of the goal's that is kept warm, for the platform's own looks at files.

        One at a time has it. It is replaced after anything but an exception of the code in it.

        Raises:
            SandboxError: see ``Sandbox.worker``.
        """
        place = self._places.setdefault(_key(grant.principal, grant.goal_id), _Place())
        async with place.looking, self.sandbox(grant) as sandbox:
            if place.looker is None or place.looker[0] is not sandbox:
                place.looker = sandbox, await sandbox.worker()
            worker = place.looker[1]
            try:
                yield worker
            except RemoteError:
                raise
            except BaseException:
                place.looker = None
                await worker.close()
                raise

    @asynccontextmanager
    async def apart(self, grant: RunGrant, needs: Needs) -> AsyncIterator[Sandbox]:
        """A sandbox for one call: the goal's workspace with what the call ``needs``, which nothing
        else of the goal sees. It is ended with the block.

        Raises:
            SandboxUnavailable: the isolation, or the network, cannot be had here.
            PackageError: the packages cannot be had.
        """
        limits = self._limits
        if needs.network:
            limits = replace(limits, network=needs.network)
        spec = SandboxSpec(
            limits=limits,
            least=self._least,
            workspace=await self.workspaces.folder(grant.principal, grant.goal_id),
            mounts=self.workspaces.mounts,
            env={**self._env, **needs.env},
            requirements=needs.requirements,
        )
        sandbox = await self._provider.create(spec)
        try:
            yield sandbox
        finally:
            await asyncio.shield(sandbox.kill())

    async def close(self, principal: Principal, goal_id: str) -> None:
        """End the goal's sandbox and all that runs in it. Its files stay."""
        place = self._places.pop(_key(principal, goal_id), None)
        if place is not None:
            await _close(place)

    async def close_all(self) -> None:
        """End every sandbox."""
        places, self._places = list(self._places.values()), {}
        await asyncio.gather(*map(_close, places), return_exceptions=True)

    async def _open(self, place: _Place, grant: RunGrant) -> Sandbox:
        async with place.opening:
            if place.closed:
                raise SandboxGone(f"goal {grant.goal_id} has ended, and its sandbox with it")
            if place.sandbox is None:
                folder = await self.workspaces.folder(grant.principal, grant.goal_id)
                spec = SandboxSpec(
                    limits=self._limits,
                    least=self._least,
                    workspace=folder,
                    mounts=self.workspaces.mounts,
                    env=self._env,
                )
                place.sandbox = await self._provider.create(spec)
            return place.sandbox


async def _close(place: _Place) -> None:
    # Behind whoever is opening it: a sandbox that appears later would belong to nobody.
    async with place.opening:
        place.closed = True
        if place.sandbox is not None:
            await place.sandbox.kill()


def _key(principal: Principal, goal_id: str) -> tuple[str, str, str]:
    return principal.tenant, principal.subject, goal_id
