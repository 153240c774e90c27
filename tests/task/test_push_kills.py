"""A process that delivers is killed, again and again: nothing is lost, and no order is broken."""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
from pathlib import Path

import pytest
from starlette.responses import Response

from codin.security import LOCAL_USER
from codin.task import SqliteEventLog
from codin.task.log.entries import Entry
from codin.task.log.rows import NewTask
from codin.task.push import (
    PushConfig,
    StoredPushConfigs,
)
from codin.task.states import COMPLETED, SUBMITTED, WORKING
from codin.testing.push import Received, Receiver

EVENTS = 80
KILLS = 5

CHILD = """
import asyncio, sys
from codin.task import SqliteEventLog
from codin.task.push import open_push
from codin.testing.push import AnyUrl

async def main(tasks, place):
    log = await SqliteEventLog.open(tasks)
    async with open_push(place, log, guard=AnyUrl()):
        await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


async def write(folder: Path, task_ids: list[str]) -> None:
    log = await SqliteEventLog.open(folder / "tasks.db")
    for task_id in task_ids:
        first = Entry("task", {"id": task_id, "status": {"state": SUBMITTED}})
        new = NewTask(task_id, "c", "a", task_id)
        lease = await log.create(LOCAL_USER, new, first, owner="w", ttl=60.0)
        states = [WORKING] * (EVENTS - 2) + [COMPLETED]
        await log.append(
            lease, [Entry("status", {"status": {"state": s}, "task": task_id}) for s in states]
        )
    await log.close()


def ended(receiver: Receiver) -> set[str]:
    """The tasks whose last event was taken."""
    return {one.json["statusUpdate"]["task"] for one in receiver.took if one.seq == EVENTS}


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "push.db")
    return str(request.getfixturevalue("database"))


@pytest.mark.slow
async def test_a_killed_process_is_followed_by_one_that_goes_on(tmp_path: Path, place: str) -> None:
    chance = random.Random(7)
    receiver = Receiver()

    async def sometimes(_: Received) -> Response:
        await asyncio.sleep(chance.uniform(0.0, 0.01))
        return Response(status_code=204 if chance.random() > 0.03 else 503)

    receiver.answer = sometimes
    await receiver.start()
    task_ids = [f"task-{number}" for number in range(3)]
    await write(tmp_path, task_ids)
    store = await StoredPushConfigs.open(place)
    for task_id in task_ids:
        config = PushConfig("c", task_id, receiver.url)
        await store.put(LOCAL_USER, config, after=0, most=1)

    for kill in range(KILLS + 1):
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHILD, str(tmp_path / "tasks.db"), place
        )
        try:
            if kill < KILLS:
                before = len(receiver.took)
                more = chance.randint(5, 25)
                await receiver.until(lambda b=before, m=more: len(receiver.took) >= b + m, 20)
            else:
                await receiver.until(lambda: len(ended(receiver)) == len(task_ids), 60)
        finally:
            child.kill()
            await child.wait()

    for task_id in task_ids:
        seqs = [one.seq for one in receiver.took if one.event_id.startswith(f"{task_id}/")]
        assert sorted(set(seqs)) == list(range(1, EVENTS + 1))
        # Each event follows the one before it, or comes again after a kill.
        steps = [after - before for before, after in itertools.pairwise(seqs)]
        assert set(steps) <= {0, 1}
        assert steps.count(0) <= KILLS
    assert (await store.dead_letters(LOCAL_USER)).letters == ()
    await store.close()
    await receiver.stop()
