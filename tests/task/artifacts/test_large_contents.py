"""A task log whose large contents are in a store: what is written, read, shown and collected."""

from __future__ import annotations

import base64
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codin.database import Database, SqliteDatabase
from codin.database.postgres import PostgresDatabase
from codin.errors import InvalidInputError
from codin.task.artifacts import Artifacts, InMemoryArtifacts, collect, open_artifacts
from codin.task.artifacts.parts import LARGE_BYTES, large_content, referring, restored
from codin.task.errors import ArtifactError, DamagedArtifact, LogError, UnknownArtifact
from codin.task.log import Adopt, Entry, EventLog, Lease, NewTask, open_log
from codin.testing.log_conformance import ANN, BOB, OTHER_ANN, EventLogSuite, begin, status

LONG = "word " * 20_000
RAW = base64.b64encode(bytes(range(256)) * 400).decode()
DATA = {"rows": [{"n": n, "text": "é" * 20} for n in range(3000)]}
OLD = 7200.0


class TestLog(EventLogSuite):
    """A log with a store is a log like any other."""

    @pytest.fixture
    async def log(self, tmp_path: Path) -> AsyncIterator[EventLog]:
        async with SqliteDatabase(tmp_path / "tasks.db") as database:
            log = await open_log(database)
            yield log
            await log.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
async def opened(
    tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[Database, str]]:
    if request.param == "sqlite":
        async with SqliteDatabase(tmp_path / "tasks.db") as file:
            yield file, str(tmp_path / "tasks.db")
    else:
        url = request.getfixturevalue("database")
        async with PostgresDatabase(url) as server:
            yield server, url


@pytest.fixture
async def log(opened: tuple[Database, str]) -> AsyncIterator[EventLog]:
    log = await open_log(opened[0])
    yield log
    await log.close()


def produced(*parts: dict[str, Any], name: str = "made") -> Entry:
    return Entry("artifact", {"artifact": {"artifactId": name, "parts": list(parts)}})


def said(state: str, *parts: dict[str, Any]) -> Entry:
    entry = status(state)
    entry.body["status"]["message"] = {"messageId": "m", "parts": list(parts)}
    return entry


async def written(opened: tuple[Database, str]) -> str:
    """All bodies as the database has them."""
    database, _ = opened
    query = "SELECT body FROM task_event"
    if isinstance(database, SqliteDatabase):
        rows = await database.read(lambda connection: connection.execute(query).fetchall())
    else:
        assert isinstance(database, PostgresDatabase)

        async def act(connection: Any) -> list[tuple[str]]:
            cursor = await connection.execute("SELECT body FROM codin.task_event")
            found: list[tuple[str]] = await cursor.fetchall()
            return found

        rows = await database.run(act)
    return "\n".join(body for (body,) in rows)


async def age(log: EventLog) -> None:
    """Make all that is stored and referred to old."""
    assert log.artifacts is not None
    tables = log.artifacts.references._tables
    await tables.change(("UPDATE artifact_ref SET made = made - 100000", ()))
    store = log.artifacts.store
    if hasattr(store, "_folder"):
        for file in store._folder.rglob("*"):
            os.utime(file, (1.0, 1.0))
    else:
        await tables.change(("UPDATE artifact SET put = put - 100000", ()))


async def stored(log: EventLog) -> list[str]:
    assert log.artifacts is not None
    return await log.artifacts.store.old(-60)


PARTS = [
    {"text": LONG, "filename": "long.txt"},
    {"raw": RAW, "mediaType": "image/png", "filename": "p.png"},
    {"data": DATA, "metadata": {"x": 1}},
    {"text": "short"},
]


async def test_large_contents_are_referred_to_and_come_back(
    log: EventLog, opened: tuple[Database, str]
) -> None:
    task = NewTask("t", "c", "a", "t")
    message = {"messageId": "m1", "parts": [{"text": LONG}]}
    first = Entry("task", {"id": "t", "status": {"state": "TASK_STATE_SUBMITTED"},
                           "history": [message]})  # fmt: skip
    lease = await log.create(ANN, task, first, status("WORKING"), owner="w", ttl=30)
    entries = [
        produced(*PARTS),
        said("WORKING", {"data": {"type": "tool_result", "content": LONG}}),
        said("INPUT_REQUIRED", {"text": LONG}),
    ]
    await log.append(lease, entries)
    read = await log.read(ANN, "t")
    assert [event.body for event in read] == [first.body, status("WORKING").body,
                                              *(entry.body for entry in entries)]  # fmt: skip
    assert [event.body for event in log.recent(ANN, "t", 0)] in (
        [], [event.body for event in read]
    )  # fmt: skip
    text = await written(opened)
    assert len(text) < LARGE_BYTES, "none of it is in the log"
    assert "short" in text
    assert (await log.task(ANN, "t")).status == entries[-1].body["status"]
    (row,) = (await log.tasks(ANN)).tasks
    assert row.status == entries[-1].body["status"]
    assert len(await stored(log)) == 4, "each content is there once: the long text, in three places"


async def test_what_a_run_was_begun_with_is_referred_to(
    log: EventLog, opened: tuple[Database, str]
) -> None:
    lease = await begin(log)
    begun = Entry("begun", {"turn": 1, "history": [{"parts": [{"text": LONG}]}, {"parts": []}]})
    await log.append(lease, [begun])
    assert (await log.read(ANN, "t", 1))[0].body == begun.body
    assert len(await written(opened)) < LARGE_BYTES
    assert await log.digests(ANN, "t") == set(await stored(log))


async def test_what_was_given_to_the_log_is_not_changed(log: EventLog) -> None:
    lease = await begin(log)
    entry = produced({"text": LONG})
    await log.append(lease, [entry])
    assert entry == produced({"text": LONG})


async def test_another_process_reads_it(log: EventLog, opened: tuple[Database, str]) -> None:
    lease = await begin(log)
    await log.append(lease, [produced(*PARTS)])
    other = await open_log(opened[0])
    assert not other.recent(ANN, "t", 1)
    assert (await other.read(ANN, "t", 1))[0].body == produced(*PARTS).body
    await other.close()


async def test_a_goal_has_its_steps_contents_by_reference(
    log: EventLog, opened: tuple[Database, str]
) -> None:
    goal = await begin(log, "goal")
    step = await begin(log, "step", parent="goal")
    await log.append(step, [produced({"text": LONG}), status("COMPLETED")])
    await log.append(goal, [Adopt("step", "s1", "a")])
    child = (await log.read(ANN, "goal"))[2]
    assert child.body["body"] == produced({"text": LONG}).body
    assert len(await written(opened)) < LARGE_BYTES
    assert len(await stored(log)) == 1


async def test_only_who_owns_a_task_that_refers_to_it_may_read_it(log: EventLog) -> None:
    artifacts = log.artifacts
    assert artifacts is not None
    lease = await begin(log)
    await log.append(lease, [produced(PARTS[1])])
    (digest,) = await stored(log)
    found = await artifacts.read(ANN, digest)
    assert (found.content, found.media_type, found.name) == (
        base64.b64decode(RAW), "image/png", "p.png"
    )  # fmt: skip
    errors = []
    for who, name in ((BOB, digest), (OTHER_ANN, digest), (ANN, "0" * 64), (ANN, "../x\x00")):
        with pytest.raises(UnknownArtifact) as caught:
            await artifacts.read(who, name)
        errors.append(str(caught.value).replace(name, ""))
    assert len(set(errors[:3])) == 1, "unknown and forbidden look the same"
    mine = await begin(log, "mine", principal=BOB)
    await log.append(mine, [produced(PARTS[1])])
    assert (await artifacts.read(BOB, digest)).content == base64.b64decode(RAW)


async def test_nobody_gets_at_a_content_by_naming_it(log: EventLog) -> None:
    theirs = await begin(log, "theirs", principal=BOB)
    await log.append(theirs, [produced({"text": LONG})])
    (digest,) = await stored(log)
    named = {"stored": {"digest": digest, "size": len(LONG), "as": "text"}}
    lease = await begin(log)
    await log.append(lease, [produced({"text": "mine", **named}), produced(named)])
    bodies = [event.body for event in await log.read(ANN, "t", 1)]
    assert bodies == [produced({"text": "mine"}).body, produced({}).body]


async def test_a_very_large_one_is_given_as_its_address(
    opened: tuple[Database, str],
) -> None:
    artifacts = open_artifacts(opened[0], inline_bytes=70_000, address="https://x.example")
    log = await open_log(opened[0], artifacts=artifacts)
    lease = await begin(log)
    smaller, larger = {"text": "s" * 70_000}, {"text": "l" * 70_001, "metadata": {"a": 1}}
    await log.append(lease, [produced(smaller, larger, {"data": DATA})])
    (event,) = await log.read(ANN, "t", 1)
    first, second, third = event.body["artifact"]["parts"]
    assert first == smaller
    digest = second["metadata"]["codin"]["digest"]
    assert second == {
        "url": f"https://x.example/api/artifacts/{digest}",
        "mediaType": "text/plain",
        "metadata": {"a": 1, "codin": {"type": "stored", "digest": digest, "size": 70_001}},
    }
    assert third["mediaType"] == "application/json"
    assert (await artifacts.read(ANN, digest)).content == b"l" * 70_001
    recent = log.recent(ANN, "t", 1)
    assert [one.body for one in recent] in ([], [event.body])
    whole = (await log.unbounded().read(ANN, "t", 1))[0]
    assert whole.body == produced(smaller, larger, {"data": DATA}).body
    await log.close()


async def test_what_is_damaged_says_so_and_the_rest_can_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with SqliteDatabase(tmp_path / "tasks.db") as database:
        log = await open_log(database)
        lease = await begin(log)
        await log.append(lease, [produced({"text": LONG}), produced({"text": "short"})])
        (digest,) = await stored(log)
        (file,) = tmp_path.rglob(digest)
        file.write_bytes(b"other")
        again = await open_log(database)
        assert again.artifacts is not None
        large, short = (event.body["artifact"]["parts"] for event in await again.read(ANN, "t", 1))
        assert large[0]["url"] == f"/api/artifacts/{digest}"
        assert short == [{"text": "short"}]
        assert f"the content {digest} of a task is damaged or lost" in caplog.text
        with pytest.raises(DamagedArtifact, match=str(file)):
            await again.artifacts.read(ANN, digest)
        with pytest.raises(DamagedArtifact):
            await again.unbounded().read(ANN, "t", 1)
        file.unlink()
        with pytest.raises(DamagedArtifact, match="restore it from a backup"):
            await again.artifacts.read(ANN, digest)


class FullStore(InMemoryArtifacts):
    async def put(self, content: bytes) -> str:
        raise ArtifactError("no space left on device")


async def test_nothing_is_written_when_a_content_cannot_be(tmp_path: Path) -> None:
    async with SqliteDatabase(tmp_path / "tasks.db") as database:
        references = open_artifacts(database).references
        log = await open_log(database, artifacts=Artifacts(FullStore(), references))
        lease = await begin(log)
        with pytest.raises(LogError, match="no space left"):
            await log.append(lease, [status("WORKING"), produced({"text": LONG})])
        assert [event.seq for event in await log.read(ANN, "t")] == [1]
        entry = Entry("task", {"id": "u", "status": {"state": "TASK_STATE_SUBMITTED"},
                               "history": [{"parts": [{"text": LONG}]}]})  # fmt: skip
        with pytest.raises(LogError, match="no space left"):
            await log.create(ANN, NewTask("u", "c", "a", "u"), entry, owner="w", ttl=1)
        assert [row.task_id for row in (await log.tasks(ANN)).tasks] == ["t"]
        assert await log.append(lease, [status("WORKING")]) == 2


async def test_what_a_task_refers_to_is_never_collected(log: EventLog) -> None:
    artifacts = log.artifacts
    assert artifacts is not None
    lease = await begin(log)
    await log.append(lease, [produced({"text": LONG})])
    for _ in range(3):
        await age(log)
        found = await collect(artifacts, log.digests, seconds=OLD)
        assert (found.contents, found.bytes) == (0, 0)
    assert (await log.read(ANN, "t", 1))[0].body == produced({"text": LONG}).body


async def test_what_no_log_came_to_refer_to_is_collected_once_it_is_old(log: EventLog) -> None:
    artifacts = log.artifacts
    assert artifacts is not None
    await begin(log)
    stale = Lease("t", "somebody else", 7, 0.0)
    for lease in (stale, Lease("none", "w", 1, 0.0)):
        with pytest.raises(Exception, match="in other hands"):
            await log.append(lease, [produced({"text": LONG})])
    await artifacts.store.put(b"alone")
    assert (await collect(artifacts, log.digests, seconds=OLD)).contents == 0, "it is young"
    await age(log)
    await artifacts.store.put(b"young")
    found = await collect(artifacts, log.digests, seconds=OLD)
    assert (found.contents, found.bytes) == (2, len(LONG) + len(b"alone"))
    assert len(await stored(log)) == 1
    assert (await collect(artifacts, log.digests, seconds=OLD)).contents == 0


async def test_what_is_young_is_not_asked_for(log: EventLog) -> None:
    assert log.artifacts is not None
    with pytest.raises(InvalidInputError, match="3600 seconds"):
        await collect(log.artifacts, log.digests, seconds=60)


async def test_a_log_from_before_is_read_as_it_is(tmp_path: Path) -> None:
    from codin.task.log import SqliteEventLog

    before = await SqliteEventLog.open(tmp_path / "tasks.db")
    await before.append(await begin(before), [produced({"text": LONG})])
    await before.close()
    async with SqliteDatabase(tmp_path / "tasks.db") as database:
        log = await open_log(database)
        assert (await log.read(ANN, "t", 1))[0].body == produced({"text": LONG}).body
        await log.close()
    with sqlite3.connect(tmp_path / "tasks.db") as connection:
        (size,) = connection.execute("SELECT max(length(body)) FROM task_event").fetchone()
    assert size > len(LONG)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False,
    allow_infinity=False) | st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet="abc"), inner),
)  # fmt: skip


@settings(max_examples=30)
@given(
    st.fixed_dictionaries(
        {},
        optional={"mediaType": st.text(), "filename": st.text(), "metadata": st.just({"a": 1})},
    ),
    st.tuples(st.just("text"), st.text(alphabet=st.characters(exclude_categories=["Cs"])))
    | st.tuples(st.just("raw"), st.binary())
    | st.tuples(st.just("data"), _JSON),
)
def test_any_part_comes_back_as_it_was(rest: dict[str, Any], held: tuple[str, Any]) -> None:
    name, value = held
    filler = "x" * (LARGE_BYTES + 1)
    match name:
        case "text":
            value += filler
        case "raw":
            value = base64.b64encode(value + bytes(LARGE_BYTES + 1)).decode()
        case _:
            value = [value, filler]
    part = {**rest, name: value}
    found = large_content(part)
    assert found is not None
    kept = referring(part, "d", found[0], len(found[1]))
    assert restored(kept, found[1]) == part


@pytest.mark.parametrize(
    "part",
    [
        {"text": "x" * LARGE_BYTES},
        {"text": "\ud800" * LARGE_BYTES},
        {"raw": "no base64!" * LARGE_BYTES},
        {"url": "https://x.example/" + "x" * LARGE_BYTES},
        {"data": "x" * (LARGE_BYTES - 2)},
        {},
    ],
)
def test_what_is_not_large_or_has_no_bytes_stays(part: dict[str, Any]) -> None:
    assert large_content(part) is None
