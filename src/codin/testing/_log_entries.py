"""What every event log does with entries, and how they are read."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from codin.security import Principal
from codin.task.errors import TaskEnded, UnknownTask
from codin.task.log.base import EventLog
from codin.task.log.entries import Adopt, Entry
from codin.task.log.rows import NewTask, StepRow, TaskFilter
from codin.testing._log_base import ANN, BOB, OTHER_ANN, artifact, begin, status, submitted


class EntryConformance:
    """Entries, state, steps, children and listing."""

    async def test_a_task_begins_with_its_first_event(self, log: EventLog) -> None:
        await begin(log)
        (event,) = await log.read(ANN, "t")
        assert (event.task_id, event.seq, event.kind) == ("t", 1, "task")
        assert event.body == submitted("t").body
        row = await log.task(ANN, "t")
        assert (row.state, row.last_seq, row.owner) == ("TASK_STATE_SUBMITTED", 1, "w1")
        assert row.principal == Principal("acme", "ann")
        assert abs(row.created - event.time) < 1.0

    async def test_a_task_can_begin_with_more_than_one_event(self, log: EventLog) -> None:
        task = NewTask("t", "c", "a", "t")
        lease = await log.create(
            ANN, task, submitted(), status("WORKING"), artifact(1), owner="w1", ttl=30.0
        )
        events = await log.read(ANN, "t")
        assert [(e.seq, e.kind) for e in events] == [(1, "task"), (2, "status"), (3, "artifact")]
        row = await log.task(ANN, "t")
        assert (row.state, row.last_seq) == ("TASK_STATE_WORKING", 3)
        assert row.status == {"state": "TASK_STATE_WORKING"}
        assert await log.append(lease, [artifact(2)]) == 4

    async def test_what_is_recent_is_what_is_read(self, log: EventLog) -> None:
        """A beginning of it, or nothing; and nothing for others."""
        lease = await begin(log)
        child = await begin(log, "child", parent="t")
        await log.append(child, [artifact(1), artifact(2)])
        for entries in (
            [status("WORKING"), artifact(1)],
            [Adopt("child", "s", "a")],
            [artifact(2)],
        ):
            await log.append(lease, entries)
            for after in range(9):
                read = await log.read(ANN, "t", after)
                recent = log.recent(ANN, "t", after)
                assert recent == read[: len(recent)]
        assert not log.recent(BOB, "t", 0)
        assert not log.recent(OTHER_ANN, "child", 0)
        assert not log.recent(ANN, "none", 0)

    async def test_events_are_numbered_in_order(self, log: EventLog) -> None:
        lease = await begin(log)
        assert await log.append(lease, [status("WORKING"), artifact(1)]) == 3
        assert await log.append(lease, [artifact(2)]) == 4
        events = await log.read(ANN, "t", after=2)
        assert [(event.seq, event.kind) for event in events] == [(3, "artifact"), (4, "artifact")]
        assert len(await log.read(ANN, "t", limit=2)) == 2
        assert [e.seq for e in await log.read(ANN, "t", kinds=["artifact"])] == [3, 4]

    async def test_a_body_comes_back_as_it_was(self, log: EventLog) -> None:
        lease = await begin(log)
        body = {"text": 'ä"\n\U0001f600\x00', "n": [1, 2.5, None, True], "deep": {"a": {"b": []}}}
        await log.append(lease, [Entry("call", body)])
        assert (await log.read(ANN, "t"))[-1].body == body

    async def test_state_follows_the_events(self, log: EventLog) -> None:
        lease = await begin(log)
        await log.append(lease, [status("WORKING", "first")])
        working = await log.task(ANN, "t")
        await log.append(lease, [status("WORKING", "progress")])
        assert (await log.task(ANN, "t")).updated == working.updated
        await log.append(lease, [status("COMPLETED")])
        row = await log.task(ANN, "t")
        assert row.ended
        assert row.status == {"state": "TASK_STATE_COMPLETED"}
        assert row.updated >= working.updated

    @pytest.mark.parametrize("last", ["COMPLETED", "FAILED", "CANCELED", "REJECTED"])
    async def test_nothing_follows_the_end(self, log: EventLog, last: str) -> None:
        lease = await begin(log)
        with pytest.raises(TaskEnded):
            await log.append(lease, [status(last), artifact(1)])
        assert [event.seq for event in await log.read(ANN, "t")] == [1], "all or nothing"
        await log.append(lease, [status(last)])
        with pytest.raises(TaskEnded):
            await log.append(lease, [artifact(1)])
        with pytest.raises(TaskEnded):
            await log.request_cancel(ANN, "t")
        assert await log.claim(ANN, "t", owner="w2", ttl=30, dead="w1") is None
        assert (await log.task(ANN, "t")).last_seq == 2

    async def test_a_childs_events_are_taken_in_once(self, log: EventLog) -> None:
        goal = await begin(log, "goal")
        child = await begin(log, "child", parent="goal")
        await log.append(child, [status("WORKING"), artifact(1)])
        take = Adopt("child", "s1", "a")
        assert await log.append(goal, [take, status("WORKING"), take]) == 5
        await log.append(child, [artifact(2)])
        assert await log.append(goal, [take]) == 6
        events = await log.read(ANN, "goal")
        assert [event.seq for event in events] == [1, 2, 3, 4, 5, 6]
        children = [event.body for event in events if event.kind == "child"]
        assert [body["seq"] for body in children] == [1, 2, 3, 4]
        assert children[2] == {
            "step": "s1",
            "agent": "a",
            "task_id": "child",
            "seq": 3,
            "kind": "artifact",
            "body": artifact(1).body,
        }

    async def test_a_grandchilds_events_are_seen_through(self, log: EventLog) -> None:
        goal = await begin(log, "goal")
        child = await begin(log, "child", parent="goal")
        await begin(log, "grandchild", parent="child")
        await log.append(child, [Adopt("grandchild", "s2", "b")])
        await log.append(goal, [Adopt("child", "s1", "a")])
        outer = (await log.read(ANN, "goal"))[-1].body
        assert (outer["kind"], outer["body"]["task_id"]) == ("child", "grandchild")
        assert outer["body"]["body"] == submitted("grandchild").body

    async def test_only_its_own_children_are_taken_in(self, log: EventLog) -> None:
        goal = await begin(log, "goal")
        await begin(log, "stranger")
        for name in ("stranger", "nowhere"):
            with pytest.raises(UnknownTask):
                await log.append(goal, [artifact(1), Adopt(name, "s1", "a")])
        assert (await log.task(ANN, "goal")).last_seq == 1

    async def test_steps_are_written_with_events(self, log: EventLog) -> None:
        lease = await begin(log)
        one = StepRow("s1", "a", "do it", title="it")
        spec = {"map": {"over": {"step": "s1", "field": "/rows"}}, "tools": ["t"]}
        two = StepRow("s2", "b", "then that", needs=("s1",), spec=spec)
        await log.append(lease, [status("WORKING")], steps=[one, two])
        done = replace(one, state="failed", attempt=2, child_id="x", error="no")
        await log.append(lease, [], steps=[done])
        assert await log.steps(ANN, "t") == [done, two]
        with pytest.raises(TaskEnded):
            await log.append(lease, [status("FAILED"), artifact(1)], steps=[one])
        assert await log.steps(ANN, "t") == [done, two]

    async def test_steps_have_the_order_in_which_they_came(self, log: EventLog) -> None:
        lease = await begin(log)
        names = ["z", "a", "m"]
        await log.append(lease, [status("WORKING")], steps=[StepRow(n, "a", "do") for n in names])
        ended = StepRow("m", "a", "do", state="completed")
        later = [ended, StepRow("b", "a", "do"), replace(ended, attempt=3), StepRow("c", "a", "do")]
        await log.append(lease, [artifact(1)], steps=later)
        rows = await log.steps(ANN, "t")
        assert [row.step_id for row in rows] == ["z", "a", "m", "b", "c"]
        assert (rows[2].state, rows[2].attempt) == ("completed", 3)

    async def test_tasks_are_listed_newest_first(self, log: EventLog) -> None:
        for number in range(5):
            await begin(log, f"t{number}", context_id=f"c{number % 2}", agent_id=f"a{number % 2}")
        await begin(log, "child", parent="t0")
        page = await log.tasks(ANN, TaskFilter(roots=True), limit=2)
        assert (page.total, len(page.tasks)) == (5, 2)
        seen = [row.task_id for row in page.tasks]
        while page.cursor:
            page = await log.tasks(ANN, TaskFilter(roots=True), limit=2, after=page.cursor)
            seen += [row.task_id for row in page.tasks]
        assert seen == ["t4", "t3", "t2", "t1", "t0"]
        found = await log.tasks(ANN, TaskFilter(context_id="c1", agent_id="a1"))
        assert {row.task_id for row in found.tasks} == {"t1", "t3"}
        assert (await log.tasks(ANN, TaskFilter(state="TASK_STATE_WORKING"))).total == 0

    async def test_a_commit_wakes_its_readers(self, log: EventLog) -> None:
        lease = await begin(log)
        with log.notifier.subscribe("t") as mine, log.notifier.subscribe("other") as others:
            started = asyncio.get_running_loop().time()
            waiting = asyncio.create_task(mine.wait(5.0))
            await asyncio.sleep(0)
            await log.append(lease, [artifact(1)])
            assert await waiting
            assert asyncio.get_running_loop().time() - started < 1.0
            assert not await others.wait(0.01)

    async def test_closing_twice_is_fine(self, log: EventLog) -> None:
        await begin(log)
        await log.close()
        await log.close()
