"""The proof itself: load, kills, and the audit at the end."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from codin.database import open_database
from codin.task.log import open_log
from codin.testing.kills.audit import Audit, Findings
from codin.testing.kills.clients import Clients
from codin.testing.kills.doom import MOMENTS, Moment
from codin.testing.kills.gateway import GatewayProcess
from codin.testing.kills.ledger import Ledger

Store = Literal["sqlite", "postgres"]

_BACK_SECONDS = 60.0
"""How long the streams may take to come again."""
_LIFE_SECONDS = (0.3, 3.0)
"""How long it then goes on before it is killed."""
_DOOM_SECONDS = 10.0
"""How long the gateway may take to come by the moment of its death."""
_LAST_SECONDS = 120.0
"""How long the last tasks may take."""


_FOUND = ("lost", "gaps", "doubled", "unfinished", "failed", "events_logged", "tasks", "states")


@dataclass(slots=True)
class Report:
    """The figures of a proof. ``where`` counts the kills by moment; ``lost`` what was acknowledged
    or shown and is not in the log as it was, ``gaps`` streams and logs with a missing event,
    ``duplicates`` events that a stream had twice, ``doubled`` messages that made two tasks,
    ``unfinished`` tasks that hang, ``failed`` those that no kill made fail, ``left`` processes and
    sockets of killed gateways."""

    store: Store
    agents: Literal["hosts", "process"]
    streams: int
    kills: int = 0
    where: dict[str, int] = field(default_factory=dict)
    acknowledged: int = 0
    followed: int = 0
    broken: int = 0
    events_seen: int = 0
    events_logged: int = 0
    tasks: int = 0
    states: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    gaps: int = 0
    duplicates: int = 0
    doubled: int = 0
    unfinished: int = 0
    failed: int = 0
    left: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether all is as it has to be."""
        wrong = self.lost, self.gaps, self.duplicates, self.doubled, self.unfinished, self.failed
        return not (any(wrong) or self.left or self.faults)

    def json(self) -> dict[str, Any]:
        return {"proof": "kills", "holds": self.holds, **asdict(self)}


class KillProof:
    """Kills a gateway over the log at ``place`` again and again while ``streams`` are open.

    ``folder`` is for what the gateway writes and for the ledger; its path has to be short, for
    there are Unix sockets in it. With ``hosts`` the agents run in agent hosts, in sandboxes.
    """

    def __init__(
        self,
        store: Store,
        place: str,
        folder: Path,
        *,
        kills: int,
        streams: int,
        hosts: bool,
        seed: int | None = None,
    ) -> None:
        self._place = place
        self._folder = folder
        self._kills = kills
        self._random = random.Random(seed)
        self._gateway = GatewayProcess(place, folder, hosts=hosts)
        self._report = Report(store, "hosts" if hosts else "process", streams)

    async def run(self) -> Report:
        """Do it, and tell what came of it."""
        began = time.monotonic()
        with (self._folder / "ledger.jsonl").open("w", encoding="utf-8") as file:
            ledger = Ledger(file)
            clients = Clients(self._gateway.url, ledger, self._report.streams)
            clients.start()
            try:
                for number in range(self._kills):
                    await self._round(clients, MOMENTS[number % len(MOMENTS)])
                await self._last(clients)
            finally:
                await self._gateway.kill()
                await clients.finish(0.0)
        await self._judge(ledger, clients)
        self._report.seconds = round(time.monotonic() - began, 1)
        return self._report

    async def _round(self, clients: Clients, moment: Moment) -> None:
        await self._gateway.start(moment, self._random.randint(1, 40))
        clients.up()
        await self._all_back(clients)
        await asyncio.sleep(self._random.uniform(*_LIFE_SECONDS))
        if moment == "any":
            died, left = await self._gateway.kill()
        else:
            self._gateway.arm()
            died, left = await self._gateway.kill(_DOOM_SECONDS)
        clients.down()
        self._report.kills += 1
        where = Counter(self._report.where)
        where[moment if died or moment == "any" else "any"] += 1
        self._report.where = dict(where)
        self._report.left += left

    async def _all_back(self, clients: Clients) -> None:
        """Wait until nearly all streams are open; some are just between two tasks."""
        deadline = time.monotonic() + _BACK_SECONDS
        while clients.open < self._report.streams * 0.9:
            if time.monotonic() > deadline:
                self._report.faults.append(
                    f"only {clients.open} streams came again within {_BACK_SECONDS:g} seconds"
                )
                return
            await asyncio.sleep(0.05)

    async def _last(self, clients: Clients) -> None:
        await self._gateway.start()
        clients.up()
        await self._all_back(clients)
        await asyncio.sleep(_LIFE_SECONDS[1])
        await clients.finish(_LAST_SECONDS)
        self._report.left += await self._gateway.stop()

    async def _judge(self, ledger: Ledger, clients: Clients) -> None:
        async with AsyncExitStack() as stack:
            database = await open_database(self._place)
            stack.push_async_callback(database.close)
            log = await open_log(database)
            stack.push_async_callback(log.close)
            found = await Audit(log, ledger).findings()
        report = self._report
        report.acknowledged = len(ledger.tasks)
        report.followed = len(ledger.followed)
        report.broken = clients.broken
        report.events_seen = ledger.received
        report.duplicates = ledger.duplicates
        report.faults += [*ledger.faults[:20], *found.said]
        _take(report, found)


def _take(report: Report, found: Findings) -> None:
    for name in _FOUND:
        setattr(report, name, getattr(found, name))


def dump(report: Report) -> str:
    """The report as one JSON object."""
    return json.dumps(report.json(), indent=2)
