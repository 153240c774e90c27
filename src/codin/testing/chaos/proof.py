"""The proof itself: goals, what befalls their workers, and the audit at the end."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from codin.database import open_database
from codin.security import LOCAL_USER
from codin.task import EventLog, LogError
from codin.task.log import open_log
from codin.task.log.rows import TaskFilter
from codin.testing.chaos.audit import Audit, Findings
from codin.testing.chaos.fleet import WorkerProcess
from codin.testing.chaos.ledger import EffectLedger
from codin.testing.chaos.team import manager_over
from codin.testing.kills.doom import MOMENTS
from codin.testing.tasks import call_context, send_request

Store = Literal["sqlite", "postgres"]
Restart = Callable[[], None]

_LIFE_SECONDS = (0.2, 2.0)
"""How long a worker goes on before something befalls it."""
_PASSAGES = 200
"""How often at most a worker comes by that moment first: enough that it gets some of its work done,
after it has taken up what another has left."""
_RUNS = 16
_LAST_SECONDS = 300.0
"""How long what is left may take once nothing befalls anybody."""
_WORK_SECONDS = 5.0
"""How long is waited for a worker that has something to do."""
_RETRY_SECONDS = 0.1
_GOAL_SECONDS = 0.5
"""How long at most passes between two goals that are both due."""
_AHEAD = 4
"""Goals that are there before anything befalls anybody."""


@dataclass(slots=True)
class Report:
    """The figures of a proof: what befell whom how often, and what was ``found``."""

    store: Store
    workers: int
    goals: int
    kills: int = 0
    befell: dict[str, int] = field(default_factory=dict)
    found: Findings = field(default_factory=Findings)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether all is as it has to be."""
        found = self.found
        wrong = found.missing, found.unlogged, found.after, found.doubled, found.gaps
        all_done = found.goals == found.completed == self.goals
        return all_done and not any(wrong) and not self.faults

    def json(self) -> dict[str, Any]:
        return {"proof": "chaos", "holds": self.holds, **asdict(self)}


class ChaosProof:
    """Has ``workers`` over the log at ``place`` do ``goals``, and kills one of them, stops it for a
    while or restarts the database, until that has been done ``kills`` times.

    ``restart`` restarts the database's server, where there is one. The goals come in all along.
    """

    def __init__(
        self,
        store: Store,
        place: str,
        folder: Path,
        *,
        workers: int,
        goals: int,
        kills: int,
        restart: Restart | None = None,
        seed: int | None = None,
    ) -> None:
        self._place = place
        self._folder = folder
        self._kills = kills
        self._restart = restart
        self._random = random.Random(seed)
        self._fleet = [WorkerProcess(place, folder, runs=_RUNS) for _ in range(workers)]
        self._befell: Counter[str] = Counter()
        self._report = Report(store, workers, goals)
        self._due = asyncio.Semaphore(_AHEAD if kills else goals)

    async def run(self) -> Report:
        """Do it, and tell what came of it."""
        began = time.monotonic()
        async with AsyncExitStack() as stack:
            database = await open_database(self._place)
            stack.push_async_callback(database.close)
            log = await open_log(database)
            stack.push_async_callback(log.close)
            sending = asyncio.create_task(self._send_all(log))
            try:
                await asyncio.gather(*(worker.start() for worker in self._fleet))
                while self._report.kills < self._kills or self._owed():
                    await self._befall(log)
                await sending
                await self._all_done(log)
            finally:
                sending.cancel()
                for worker in self._fleet:
                    if not await worker.stop():
                        self._report.faults.append("a worker did not stop when it was told to")
            executions = EffectLedger(self._folder).counts()
            self._report.found = await Audit(log, executions).findings()
        self._report.befell = dict(self._befell)
        self._report.seconds = round(time.monotonic() - began, 1)
        return self._report

    async def _send_all(self, log: EventLog) -> None:
        """Send the goals in step with what befalls the workers, so that there is always something
        to do; a goal that the log may not have taken is sent again, by the same message."""
        manager = manager_over(log, self._folder, runs=0)
        try:
            for number in range(self._report.goals):
                await self._due.acquire()
                await self._send(manager, number)
                await asyncio.sleep(self._random.uniform(0, _GOAL_SECONDS))
        finally:
            await manager.aclose()

    def _count(self, what: str) -> None:
        """Something befell a worker: as much of the goals is sent as this is of all that does."""
        self._befell[what] += 1
        before = self._report.goals * self._report.kills // self._kills
        self._report.kills += 1
        for _ in range(self._report.goals * self._report.kills // self._kills - before):
            self._due.release()

    async def _send(self, manager: Any, number: int) -> None:
        request = send_request(f"goal {number}")
        request.configuration.return_immediately = True
        while True:
            try:
                await manager.handler.on_message_send(request, call_context())
            except LogError:
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _befall(self, log: EventLog) -> None:
        await asyncio.sleep(self._random.uniform(*_LIFE_SECONDS))
        for worker in self._fleet:
            if not worker.alive:  # since its moment came
                await self._kill(worker)
        worker = await self._at_work(log)
        match self._owed():
            case "stopped and continued" as what:
                self._count(what)
                await worker.freeze()
            case "database restarted" as what if self._restart is not None:
                self._count(what)
                await asyncio.to_thread(self._restart)
            case _:
                await self._kill(worker)

    def _owed(self) -> str:
        """What has to come once in ten and has not, though workers that died by themselves may
        have been counted in its place; empty if nothing has."""
        rare = {"stopped and continued": 8}
        if self._restart is not None:
            rare["database restarted"] = 9
        for what, after in rare.items():
            if self._befell[what] * 10 + after <= self._report.kills:
                return what
        return ""

    async def _at_work(self, log: EventLog) -> WorkerProcess:
        """One of the workers: of those that have something to do, if any does within a while."""
        deadline = time.monotonic() + _WORK_SECONDS
        while time.monotonic() < deadline:
            with suppress(LogError):
                owners = {row.owner for row in await log.unfinished() if row.owner}
                busy = [one for one in self._fleet if any(map(one.is_owner, owners))]
                if busy:
                    return self._random.choice(busy)
            await asyncio.sleep(_RETRY_SECONDS)
        return self._random.choice(self._fleet)

    async def _kill(self, worker: WorkerProcess) -> None:
        """Kill the worker, unless it died by itself, and start another that dies at a moment of the
        platform's, if it comes by that before it is killed."""
        died = await worker.kill()
        self._count("killed at a failpoint" if died else "killed at random")
        await worker.start(self._random.choice(MOMENTS), self._random.randint(1, _PASSAGES))

    async def _all_done(self, log: EventLog) -> None:
        """Wait for the last goals, with workers that nothing befalls any more."""
        for worker in self._fleet:
            await worker.kill()
            await worker.start()
        deadline = time.monotonic() + _LAST_SECONDS
        while time.monotonic() < deadline:
            states = [
                (await log.tasks(LOCAL_USER, TaskFilter(roots=True, state=state), limit=1)).total
                for state in ("TASK_STATE_SUBMITTED", "TASK_STATE_WORKING")
            ]
            if not any(states):
                return
            await asyncio.sleep(0.2)
        self._report.faults.append(f"goals were at work {_LAST_SECONDS:g} seconds after all")


def dump(report: Report) -> str:
    """The report as one JSON object."""
    return json.dumps(report.json(), indent=2)
