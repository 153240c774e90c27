"""Writers that are killed at the worst moments: what was acknowledged stays, and nothing else of
them shows."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from codin.task.log import EventLog, LogEvent, PostgresEventLog, SqliteEventLog, TaskRow
from codin.task.log.follow import follow
from codin.testing.log_conformance import ANN, status

TASKS = 6

# Between: the statements of a write and their commit; the commit and its wake-up; the wake-up and
# the answer to the caller; the answer and whatever comes next. Or whenever it strikes.
MOMENTS = ("append", "commit", "notify", "acknowledgement", "any")

WRITER = """
import asyncio, itertools, os, random, signal, sys
from codin.task.errors import TaskRepeated
from codin.task.log import Entry, PostgresEventLog, SqliteEventLog, StepRow
from codin.database import _writer
from codin.task.log import _statements
from codin.task.log import _pg_statements, _pg_wakes
from codin.testing.log_conformance import ANN, begin

store, place, tasks, round, moment, passages = sys.argv[1:]
left = itertools.count(int(passages), -1)

def die():
    if next(left) <= 0:
        os.kill(os.getpid(), signal.SIGKILL)

def before(owner, name):
    def dying(*args, _real=getattr(owner, name), **kwargs):
        die()
        return _real(*args, **kwargs)
    setattr(owner, name, dying)

def after(owner, name):
    def dying(*args, _real=getattr(owner, name), **kwargs):
        result = _real(*args, **kwargs)
        die()
        return result
    setattr(owner, name, dying)

def during(owner, name):
    # one statement, which commits by itself: it is met while it is under way
    async def dying(*args, _real=getattr(owner, name), **kwargs):
        if next(left) <= 0:
            wait = random.uniform(0, 0.003)
            asyncio.get_running_loop().call_later(wait, os.kill, os.getpid(), signal.SIGKILL)
        return await _real(*args, **kwargs)
    setattr(owner, name, dying)

if store == "sqlite":
    if moment == "append":
        after(_statements, "append")
    elif moment == "commit":
        before(_writer.Writer, "_tell")
    elif moment == "notify":
        after(_writer.Writer, "_tell")
elif moment == "append":
    during(_pg_statements, "append")
elif moment == "commit":
    before(_pg_wakes.Wakes, "tell")
elif moment == "notify":
    after(_pg_wakes.Wakes, "tell")

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

async def write(log, number):
    task_id = f"t{number}"
    try:
        lease = await begin(log, task_id, owner=f"w{round}", dedupe=f"m{number}")
    except TaskRepeated as repeat:
        task_id = repeat.task_id
        dead = f"w{int(round) - 1}"
        lease = await log.claim(ANN, task_id, owner=f"w{round}", ttl=600, dead=dead)
        if lease is None:  # not even claimed when the one before was killed
            row = await log.task(ANN, task_id)
            lease = await log.claim(ANN, task_id, owner=f"w{round}", ttl=600, dead=row.owner)
    say("made", f"m{number}", task_id)
    for count in itertools.count():
        name = f"{round}.{count}"
        events = [Entry("artifact", {"name": f"{name}.{part}"}) for part in (0, 1)]
        steps = [StepRow("s", "a", name)] if count % 2 else []
        seq = await log.append(lease, events, steps=steps)
        say("wrote", task_id, seq, f"{name}.1")
        if moment == "acknowledgement":
            die()

async def main():
    log = await (PostgresEventLog if store == "postgres" else SqliteEventLog).open(place)
    say("ready")
    await asyncio.gather(*(write(log, number) for number in range(int(tasks))))

asyncio.run(main())
"""


class Ledger:
    """What the writers were told has been written."""

    def __init__(self) -> None:
        self.made: dict[str, str] = {}
        self.wrote: dict[tuple[str, int], str] = {}

    def enter(self, line: str) -> None:
        what, *words = line.split()
        if what == "made":
            message, task_id = words
            assert self.made.setdefault(message, task_id) == task_id, "two tasks of one message"
        elif what == "wrote":
            task_id, seq, name = words
            assert (task_id, int(seq)) not in self.wrote, "a number was given twice"
            self.wrote[task_id, int(seq)] = name


async def _kill_one(store: str, place: str, number: int, moment: str, ledger: Ledger) -> None:
    passages = 1_000_000 if moment == "any" else 40 + random.randrange(60)
    argv = [store, place, str(TASKS), str(number), moment, str(passages)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, *argv, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            await _listen(process, moment, ledger)
    except BaseException:
        process.kill()
        raise
    assert await process.wait() == -signal.SIGKILL


async def _listen(process: asyncio.subprocess.Process, moment: str, ledger: Ledger) -> None:
    assert process.stdout is not None
    assert (await process.stdout.readline()) == b"ready\n"
    doomed = False
    async for line in process.stdout:
        if line.endswith(b"\n"):
            ledger.enter(line.decode())
        if moment == "any" and not doomed and line.startswith(b"wrote"):
            doomed = True
            asyncio.get_running_loop().call_later(random.random() / 2, process.kill)


async def _events(log: EventLog, row: TaskRow) -> list[LogEvent]:
    """All that a task has. What a writer sent before it was killed may still arrive meanwhile."""
    while True:
        events = await log.read(ANN, row.task_id, limit=1_000_000)
        if [event.seq for event in events] == list(range(1, row.last_seq + 1)):
            return events
        before, row = row, await log.task(ANN, row.task_id)
        assert row.last_seq > before.last_seq, [event.seq for event in events]


async def _check(log: EventLog, ledger: Ledger) -> dict[str, list[LogEvent]]:
    logged = {}
    rows = (await log.tasks(ANN, limit=1000)).tasks
    assert {row.task_id for row in rows} >= set(ledger.made.values())
    assert len(rows) <= TASKS, "a message that was sent again made a second task"
    for row in rows:
        events = await _events(log, row)
        names = [event.body["name"] for event in events[1:]]
        assert len(names) == len(set(names))
        assert [n.rpartition(".")[0] for n in names[::2]] == [
            n.rpartition(".")[0] for n in names[1::2]
        ], "half of an append"
        logged[row.task_id] = events
    for (task_id, seq), name in ledger.wrote.items():
        assert logged[task_id][seq - 1].body["name"] == name, "acknowledged, and lost"
    return logged


@asynccontextmanager
async def _readers(log: EventLog) -> AsyncIterator[dict[str, list[LogEvent]]]:
    """Live readers in this process, beside the writers in theirs."""
    seen: dict[str, list[LogEvent]] = {}

    async def read(task_id: str) -> None:
        async for event in follow(log, ANN, task_id):
            seen.setdefault(task_id, []).append(event)

    known = {row.task_id for row in (await log.tasks(ANN)).tasks}
    reading = [asyncio.create_task(read(task_id)) for task_id in known]
    try:
        yield seen
        async with asyncio.timeout(30):
            await asyncio.gather(*reading)
    finally:
        for task in reading:
            task.cancel()


@asynccontextmanager
async def _closing(log: EventLog) -> AsyncIterator[EventLog]:
    try:
        yield log
    finally:
        await log.close()


async def _survives_kills(log: EventLog, store: str, place: str) -> None:
    ledger = Ledger()
    await _kill_one(store, place, 0, MOMENTS[0], ledger)
    await _check(log, ledger)
    # The moment of the first kill leaves tasks behind that the readers of the others follow.
    async with _readers(log) as seen:
        for number, moment in enumerate(MOMENTS[1:], 1):
            before = len(ledger.wrote)
            await _kill_one(store, place, number, moment, ledger)
            assert len(ledger.wrote) > before, "the writer was killed before it did anything"
            logged = await _check(log, ledger)
        for task_id in logged:
            lease = await log.claim(ANN, task_id, owner="last", ttl=60, dead=f"w{number}")
            assert lease is not None, "what the dead left can be taken over at once"
            await log.append(lease, [status("COMPLETED")])
    assert seen
    for task_id, events in seen.items():
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert events == await log.read(ANN, task_id, limit=1_000_000)
    assert len(logged) == TASKS


@pytest.mark.slow
async def test_sqlite_loses_nothing_to_kills(tmp_path: Path) -> None:
    async with _closing(await SqliteEventLog.open(tmp_path / "codin.db")) as log:
        await _survives_kills(log, "sqlite", str(tmp_path / "codin.db"))


@pytest.mark.slow
async def test_postgres_loses_nothing_to_kills(database: str) -> None:
    async with _closing(await PostgresEventLog.open(database)) as log:
        await _survives_kills(log, "postgres", database)
