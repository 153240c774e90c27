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
from codin.testing.kills.doom import MOMENTS, Moment
from codin.testing.tasks import call_context, send_request

Store = Literal["sqlite", "postgres"]
Restart = Callable[[], None]

_LIFE_SECONDS = (0.2, 2.0)
"""How long a worker goes on before something befalls it."""
_DOOM_SECONDS = 6.0
"""How long it may take to come by the moment of its death."""
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
                for number in range(self._kills):
                    await self._befall(log, number)
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

    def _call_for_goals(self, number: int) -> None:
        """Have as many of the goals sent as this is of what befalls the workers."""
        before, now = (self._report.goals * done // self._kills for done in (number, number + 1))
        for _ in range(now - before):
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

    async def _befall(self, log: EventLog, number: int) -> None:
        self._call_for_goals(number)
        await asyncio.sleep(self._random.uniform(*_LIFE_SECONDS))
        worker = await self._at_work(log)
        self._report.kills += 1
        match number % 10:
            case 8:
                self._befell["stopped and continued"] += 1
                await worker.freeze()
            case 9 if self._restart is not None:
                self._befell["database restarted"] += 1
                await asyncio.to_thread(self._restart)
            case _:
                moment = MOMENTS[number % len(MOMENTS)]
                await self._kill(worker, moment)

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

    async def _kill(self, worker: WorkerProcess, moment: Moment) -> None:
        """Kill the worker, and start another that dies at ``moment`` before its next death."""
        died = await worker.kill()
        self._befell["killed at a failpoint" if died else "killed at random"] += 1
        await worker.start(moment, self._random.randint(1, _PASSAGES))

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
