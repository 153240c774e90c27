"""Makes the attempts in a place, and sees that the host goes on and that nothing is left."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from codin.process_name import process_name
from codin.sandbox.base import Sandbox, SandboxProvider, SandboxSpec
from codin.testing.escapes.base import LIMITS, Attempt, Ground, Outcome, outcome
from codin.testing.escapes.places import Place
from codin.testing.escapes.scene import Scene, scene
from codin.testing.escapes.weaken import weakening

MOST_DELAY = 2.0
"""Seconds by which the host's own work may be late while an attempt runs: much more than it is on
an idle machine, for one whose processors others use too."""

_AT_ONCE = 4
_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an attempt in a place, and by how much the host was late meanwhile.

    ``status`` is ``held``, ``escaped``, ``unexpected`` (held, but not by what must be seen),
    ``broken`` (nothing was shown) or ``absent`` (it means nothing in that place: ``how`` says why).
    """

    id: str
    status: str
    how: str
    seconds: float = 0.0
    delay: float = 0.0


class Pulse:
    """By how much a loop of the host's is late."""

    def __init__(self) -> None:
        self._late: list[tuple[float, float]] = []

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    def worst(self, since: float) -> float:
        """The greatest delay since a moment of ``time.monotonic``, in seconds."""
        return max((late for moment, late in self._late if moment >= since), default=0.0)

    async def _beat(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.02)
            now = time.monotonic()
            self._late.append((now, now - began - 0.02))


class Rooms:
    """The sandboxes of one place: one for all that disturbs nobody, and one for each that does."""

    def __init__(self, place: Place, provider: SandboxProvider) -> None:
        self._place = place
        self._provider = provider
        self._shared: Sandbox | None = None
        self._making = asyncio.Lock()

    @asynccontextmanager
    async def ground(self, attempt: Attempt, scene: Scene) -> AsyncIterator[Ground]:
        if not attempt.own:
            async with self._making:
                if self._shared is None:
                    self._shared = await self._new(attempt)
            yield self._ground(self._shared, attempt, scene)
            return
        sandbox = await self._new(attempt)
        try:
            yield self._ground(sandbox, attempt, scene)
        finally:
            await sandbox.kill()

    async def _new(self, attempt: Attempt) -> Sandbox:
        limits = attempt.limits if attempt.own else LIMITS
        return await self._provider.create(SandboxSpec(limits=limits, machine=self._place.machine))

    def _ground(self, sandbox: Sandbox, attempt: Attempt, scene: Scene) -> Ground:
        return Ground(sandbox, scene, sandbox.fs, self._place.python, attempt.limits)


async def run_place(
    place: Place, attempts: Iterable[Attempt], *, at_once: int = _AT_ONCE
) -> list[Result]:
    """Make the attempts; those that have to be alone come last, one by one.

    Raises:
        SandboxUnavailable: this machine has no such place; the message says why.
    """
    attempts, pulse = list(attempts), Pulse()
    results: list[Result] = []
    here = [attempt for attempt in attempts if place.name not in attempt.absent]
    results += [
        Result(attempt.id, "absent", attempt.absent[place.name])
        for attempt in attempts
        if place.name in attempt.absent
    ]
    async with place.provider() as provider, scene() as stage, pulse.beating():
        rooms, turns = Rooms(place, provider), asyncio.Semaphore(at_once)

        async def one(attempt: Attempt) -> None:
            async with turns:
                results.append(await _try(rooms, attempt, stage, pulse))

        await asyncio.gather(*(one(attempt) for attempt in here if not attempt.alone))
        for attempt in here:
            if attempt.alone:
                await one(attempt)
    order = [attempt.id for attempt in attempts]
    return sorted(results, key=lambda result: order.index(result.id))


async def run_controls(
    attempts: Iterable[Attempt], *, at_once: int = _AT_ONCE
) -> dict[str, Outcome]:
    """Run the controls that whoever runs this can run; each has to get out."""
    found: dict[str, Outcome] = {}
    turns = asyncio.Semaphore(at_once)

    async def one(attempt: Attempt) -> None:
        try:
            async with turns, scene() as stage, asyncio.timeout(_SECONDS):
                found[attempt.id] = await attempt.control(attempt, stage)
        except Exception as error:
            found[attempt.id] = Outcome(False, "", broken=f"{type(error).__name__}: {error}")

    with weakening():
        todo = [attempt for attempt in attempts if attempt.control.runs]
        await asyncio.gather(*(one(attempt) for attempt in todo if not attempt.alone))
        for attempt in todo:
            if attempt.alone:
                await asyncio.create_task(one(attempt))
    return found


async def _try(rooms: Rooms, attempt: Attempt, stage: Scene, pulse: Pulse) -> Result:
    began = time.monotonic()
    try:
        async with asyncio.timeout(_SECONDS), rooms.ground(attempt, stage) as ground:
            came = await outcome(attempt.payload, ground)
    except TimeoutError:
        came = Outcome(False, "", broken=f"not over after {_SECONDS:g} s")
    if not came.got and (touched := stage.touched()):
        came = Outcome(True, touched)
    seconds = time.monotonic() - began
    result = Result(attempt.id, _status(attempt, came), came.broken or came.how, seconds)
    return replace(result, delay=pulse.worst(began))


def _status(attempt: Attempt, came: Outcome) -> str:
    if came.broken:
        return "broken"
    if came.got:
        return "escaped"
    return "held" if came.how in attempt.sees else "unexpected"


@dataclass(frozen=True, slots=True)
class Trace:
    """What a run could leave behind on this host."""

    processes: frozenset[str]
    mounts: frozenset[str]
    files: frozenset[str]
    groups: frozenset[str]
    descriptors: int

    @classmethod
    def now(cls) -> Trace:
        """What there is of this process, at this moment. Blocks."""
        mounts = Path("/proc/self/mountinfo").read_text()
        places = (Path(tempfile.gettempdir()), Path("/dev/shm"), Path.home())
        files = {str(path) for place in places for path in _named(place)}
        groups = {
            str(path)
            for path in Path("/sys/fs/cgroup").glob(f"**/codin/{process_name()}/*")
            if path.is_dir()
        }
        return cls(
            frozenset(_below(os.getpid())),
            frozenset(line for line in mounts.splitlines() if process_name() in line),
            frozenset(files),
            frozenset(groups),
            len(os.listdir("/proc/self/fd")),
        )

    def since(self, before: Trace) -> list[str]:
        """What is there now and was not before, in words."""
        left = [f"process {name}" for name in sorted(self.processes - before.processes)]
        left += [f"file {name}" for name in sorted(self.files - before.files)]
        left += [f"control group {name}" for name in sorted(self.groups - before.groups)]
        left += [f"mount {line}" for line in sorted(self.mounts - before.mounts)]
        if self.descriptors > before.descriptors + 4:
            left.append(f"{self.descriptors - before.descriptors} descriptors")
        return left


def _named(place: Path) -> Sequence[Path]:
    mine = (f"codin-sandboxes-{process_name()}-", "codin-escapes-", ".codin-escapes-")
    return [path for path in place.iterdir() if path.name.startswith(mine)]


def _below(root: int) -> set[str]:
    """Processes that come from this one, also those whose parents have gone: by their group."""
    found, todo = set(), [root]
    while todo:
        pid = todo.pop()
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                children = Path(f"/proc/{pid}/task/{task}/children").read_text().split()
                todo += [int(child) for child in children]
                found.update(children)
        except OSError:
            continue
    return found
