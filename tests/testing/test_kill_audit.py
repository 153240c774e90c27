"""The audit after the kills finds what it is there to find."""

from __future__ import annotations

import io
import os
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codin.process_name import began
from codin.security import LOCAL_USER
from codin.task import SqliteEventLog
from codin.task.log import Entry, EventLog, NewTask
from codin.task.updates import update_of
from codin.testing.kills.audit import Audit, Findings
from codin.testing.kills.gateway import descendants
from codin.testing.kills.ledger import Followed, Ledger


def said(state: str, **more: object) -> dict[str, object]:
    return {"taskId": "t", "contextId": "c", "status": {"state": f"TASK_STATE_{state}"}, **more}


async def write(log: EventLog, task_id: str = "t", message_id: str = "m") -> None:
    """A task with five events, of which one is not told."""
    history = [{"messageId": message_id, "role": "ROLE_USER", "parts": [{"text": "hi"}]}]
    status = {"state": "TASK_STATE_SUBMITTED"}
    first = {"id": task_id, "contextId": "c", "history": history, "status": status}
    new = NewTask(task_id, "c", "a", task_id)
    lease = await log.create(LOCAL_USER, new, Entry("task", first), owner="w", ttl=60)
    await log.append(
        lease,
        [
            Entry("status", said("WORKING")),
            Entry("call", {"type": "started"}),
            Entry("status", said("WORKING", metadata={"n": 1})),
            Entry("status", said("COMPLETED")),
        ],
    )


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.db"


@pytest.fixture
async def log(path: Path) -> AsyncIterator[EventLog]:
    log = await SqliteEventLog.open(path)
    await write(log)
    yield log
    await log.close()


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(io.StringIO())


async def follow(log: EventLog, ledger: Ledger, *, without: int | None = None) -> Followed:
    """What a stream tells that begins after the first event."""
    one = ledger.follow("t", 1)
    for event in await log.read(LOCAL_USER, "t", 1):
        update = update_of(event, "c")
        if update is not None and update.seq != without:
            ledger.saw(one, "", update.seq, update.body)
    return one


def wrong(found: Findings) -> dict[str, int]:
    names = ("lost", "gaps", "doubled", "unfinished", "failed")
    return {name: count for name in names if (count := getattr(found, name))}


def damage(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


async def test_nothing_is_found_where_nothing_is_wrong(log: EventLog, ledger: Ledger) -> None:
    one = await follow(log, ledger)
    ledger.acknowledged("m", {"id": "t", "status": {"state": "TASK_STATE_COMPLETED"}})
    found = await Audit(log, ledger).findings()
    assert (wrong(found), ledger.faults, ledger.duplicates, one.over) == ({}, [], 0, True)
    assert (found.tasks, found.events_logged) == (1, 5)


async def test_a_task_that_is_gone_is_lost(log: EventLog, ledger: Ledger) -> None:
    ledger.acknowledged("m2", {"id": "t2", "status": {"state": "TASK_STATE_WORKING"}})
    assert wrong(await Audit(log, ledger).findings()) == {"lost": 1}


async def test_an_end_that_was_told_and_is_another_is_lost(log: EventLog, ledger: Ledger) -> None:
    ledger.acknowledged("m", {"id": "t", "status": {"state": "TASK_STATE_FAILED"}})
    assert wrong(await Audit(log, ledger).findings()) == {"lost": 1}


async def test_an_event_that_is_gone_is_lost(log: EventLog, ledger: Ledger, path: Path) -> None:
    await follow(log, ledger)
    damage(path, "DELETE FROM task_event WHERE seq = 5")
    damage(path, "UPDATE task SET last_seq = 4")
    assert wrong(await Audit(log, ledger).findings()) == {"lost": 1}


async def test_an_event_that_is_another_now_is_lost(
    log: EventLog, ledger: Ledger, path: Path
) -> None:
    await follow(log, ledger)
    damage(path, """UPDATE task_event SET body = replace(body, '"n":1', '"n":2') WHERE seq = 4""")
    assert wrong(await Audit(log, ledger).findings()) == {"lost": 1}


async def test_a_snapshot_that_never_was_is_lost(log: EventLog, ledger: Ledger) -> None:
    body = {"task": {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}}
    ledger.saw(ledger.follow(), "m", 1, body)
    assert wrong(await Audit(log, ledger).findings()) == {"lost": 1}


async def test_what_a_stream_left_out_is_a_gap(log: EventLog, ledger: Ledger) -> None:
    await follow(log, ledger, without=4)
    assert wrong(await Audit(log, ledger).findings()) == {"gaps": 1}


async def test_a_gap_in_the_log_is_one(log: EventLog, ledger: Ledger, path: Path) -> None:
    damage(path, "DELETE FROM task_event WHERE seq = 3")
    assert wrong(await Audit(log, ledger).findings()) == {"gaps": 1}


async def test_an_event_that_comes_again_is_a_duplicate(log: EventLog, ledger: Ledger) -> None:
    one = await follow(log, ledger)
    ledger.saw(one, "", 4, {"statusUpdate": said("WORKING", metadata={"n": 1})})
    assert ledger.duplicates == 1
    assert "event 4 came after 5" in ledger.faults[0]


async def test_one_event_that_is_told_in_two_ways_is_a_fault(log: EventLog, ledger: Ledger) -> None:
    await follow(log, ledger)
    ledger.saw(ledger.follow("t", 3), "", 4, {"statusUpdate": said("WORKING")})
    assert "told differently" in ledger.faults[0]


async def test_a_message_with_two_tasks_is_found(log: EventLog, ledger: Ledger) -> None:
    await write(log, "t2", "m")
    assert wrong(await Audit(log, ledger).findings()) == {"doubled": 1}
    for task_id in ("t", "t2"):
        ledger.acknowledged("m", {"id": task_id, "status": {"state": "TASK_STATE_WORKING"}})
    assert "made two tasks" in ledger.faults[0]


async def test_a_task_that_hangs_or_fails_by_itself_is_found(
    log: EventLog, ledger: Ledger, path: Path
) -> None:
    damage(path, "UPDATE task SET state = 'TASK_STATE_WORKING'")
    assert wrong(await Audit(log, ledger).findings()) == {"unfinished": 1}
    damage(path, "UPDATE task SET state = 'TASK_STATE_FAILED'")
    assert wrong(await Audit(log, ledger).findings()) == {"failed": 1}


def test_a_process_that_has_ended_is_not_left() -> None:
    with subprocess.Popen(["true"]) as ended, subprocess.Popen(["sleep", "60"]) as alive:
        while began(ended.pid):  # it has ended, and nobody has asked how
            time.sleep(0.01)
        below = descendants(os.getpid())
        alive.kill()
    assert alive.pid in below
    assert ended.pid not in below
