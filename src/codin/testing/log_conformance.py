"""What every event log must do. Subclass ``EventLogSuite`` in a test module, and give it a fixture
``log`` that yields an open, empty log::

    class TestMine(EventLogSuite):
        @pytest.fixture
        async def log(self):
            ...

Needs pytest with pytest-asyncio in automatic mode.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from codin.security import Principal
from codin.task.errors import (
    FencedError,
    TaskEnded,
    TaskExists,
    TaskRepeated,
    UnknownTask,
    UnstorableName,
)
from codin.task.log.base import (
    Adopt,
    Entry,
    EventLog,
    Lease,
    NewTask,
    StepRow,
    TaskFilter,
)

ANN = Principal("acme", "ann", roles=frozenset({"owner"}))
BOB = Principal("acme", "bob", roles=frozenset({"owner"}))
OTHER_ANN = Principal("rival", "ann", roles=frozenset({"owner"}))


def submitted(task_id: str = "t") -> Entry:
    """The first event of a task."""
    return Entry("task", {"id": task_id, "status": {"state": "TASK_STATE_SUBMITTED"}})


def status(state: str, text: str = "") -> Entry:
    """A status event; ``state`` without its prefix."""
    return Entry("status", {"status": {"state": f"TASK_STATE_{state}"}, "text": text})


def artifact(number: int) -> Entry:
    """An event that says nothing of the state."""
    return Entry("artifact", {"artifact": {"number": number}})


async def begin(
    log: EventLog,
    task_id: str = "t",
    *,
    principal: Principal = ANN,
    parent: str | None = None,
    **fields: Any,
) -> Lease:
    """A task with its first event."""
    task = NewTask(
        task_id,
        fields.get("context_id", "c"),
        fields.get("agent_id", "a"),
        parent or task_id,
        parent,
        fields.get("context_given", True),
    )
    return await log.create(
        principal,
        task,
        submitted(task_id),
        owner=fields.get("owner", "w1"),
        ttl=fields.get("ttl", 30.0),
        dedupe=fields.get("dedupe"),
    )


class EventLogSuite:
    """The checks. Each gets a log of its own."""

    async def test_a_task_begins_with_its_first_event(self, log: EventLog) -> None:
        await begin(log)
        (event,) = await log.read(ANN, "t")
        assert (event.task_id, event.seq, event.kind) == ("t", 1, "task")
        assert event.body == submitted("t").body
        row = await log.task(ANN, "t")
        assert (row.state, row.last_seq, row.owner) == ("TASK_STATE_SUBMITTED", 1, "w1")
        assert row.principal == Principal("acme", "ann")
        assert abs(row.created - event.time) < 1.0

    async def test_an_id_is_taken_once(self, log: EventLog) -> None:
        await begin(log)
        with pytest.raises(TaskExists):
            await begin(log, principal=BOB)
        assert [event.seq for event in await log.read(ANN, "t")] == [1]

    async def test_a_message_makes_one_task(self, log: EventLog) -> None:
        lease = await begin(log, "t1", dedupe="m")
        with pytest.raises(TaskRepeated) as raised:
            await begin(log, "t2", dedupe="m")
        assert raised.value.task_id == "t1"
        with pytest.raises(UnknownTask):
            await log.task(ANN, "t2")
        await log.append(lease, [status("COMPLETED")])
        with pytest.raises(TaskRepeated):
            await begin(log, "t1", dedupe="m")
        assert [event.seq for event in await log.read(ANN, "t1")] == [1, 2]

    async def test_another_message_makes_another_task(self, log: EventLog) -> None:
        await begin(log, "t1", dedupe="m")
        await begin(log, "t2", dedupe="n")
        await begin(log, "t3", dedupe="m", context_id="d")
        await begin(log, "t4", dedupe="m", agent_id="b")
        await begin(log, "t5", dedupe="m", principal=BOB)
        await begin(log, "t6", dedupe="m", principal=OTHER_ANN)
        await begin(log, "t7")
        await begin(log, "t8")
        assert (await log.tasks(ANN)).total == 6

    async def test_a_repeat_without_a_context_is_known(self, log: EventLog) -> None:
        await begin(log, "t1", dedupe="m", context_id="made1", context_given=False)
        with pytest.raises(TaskRepeated) as raised:
            await begin(log, "t2", dedupe="m", context_id="made2", context_given=False)
        assert raised.value.task_id == "t1"

    async def test_of_a_message_sent_many_times_at_once_one_makes_a_task(
        self, log: EventLog
    ) -> None:
        results = await asyncio.gather(
            *(begin(log, f"t{number}", dedupe="m") for number in range(20)),
            return_exceptions=True,
        )
        (lease,) = [result for result in results if isinstance(result, Lease)]
        repeats = [result for result in results if isinstance(result, TaskRepeated)]
        assert len(repeats) == 19
        assert {repeat.task_id for repeat in repeats} == {lease.task_id}
        assert (await log.tasks(ANN)).total == 1

    async def test_a_refused_task_leaves_its_message_free(self, log: EventLog) -> None:
        await begin(log, "t1")
        with pytest.raises(TaskExists):
            await begin(log, "t1", dedupe="m")
        with pytest.raises(UnknownTask):
            await begin(log, "t2", dedupe="m", parent="nowhere")
        await begin(log, "t2", dedupe="m")

    @pytest.mark.parametrize(
        "name",
        ["", "\x00", "a\x00b", "\ud800", "'; DROP TABLE task; --", "../../x", "%s", "i" * 99_999],
    )
    async def test_any_name_can_be_asked_for(self, log: EventLog, name: str) -> None:
        await begin(log)
        for call in (log.read, log.task, log.steps, log.request_cancel):
            with pytest.raises(UnknownTask):
                await call(ANN, name)
        with pytest.raises(UnknownTask):
            await log.claim(ANN, name, owner="w", ttl=30)
        with pytest.raises(UnknownTask):
            await log.task(Principal(name, name), "t")
        for where in (TaskFilter(context_id=name), TaskFilter(agent_id=name)):
            assert (await log.tasks(ANN, where)).tasks == ()
        await log.tasks(ANN, after=(1.0, name))
        assert (await log.task(ANN, "t")).last_seq == 1

    async def test_any_message_id_and_context_makes_a_task_or_is_refused(
        self, log: EventLog
    ) -> None:
        for number, name in enumerate(["\x00", "\ud800", "'; --", "i" * 99_999]):
            await begin(log, f"t{number}", dedupe=name)
            with pytest.raises(TaskRepeated):
                await begin(log, "again", dedupe=name)
        for name in ("a\x00b", "\ud800"):
            with pytest.raises(UnstorableName, match="context id"):
                await begin(log, "odd", context_id=name)
        await begin(log, "quoted", context_id="'; --" + "i" * 99_999)

    async def test_text_that_is_no_utf8_comes_back(self, log: EventLog) -> None:
        lease = await begin(log)
        body = {"text": "cut \ud83d", "\x00": "\x00"}
        step = StepRow("s1", "a", "do \x00 it", title="\ud83d", error="\x00")
        await log.append(lease, [Entry("call", body)], steps=[step])
        assert (await log.read(ANN, "t"))[-1].body == body
        (kept,) = await log.steps(ANN, "t")
        assert (kept.instruction, kept.error) == ("do \x00 it", "\x00")

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

    @pytest.mark.parametrize("stranger", [BOB, OTHER_ANN])
    async def test_nobody_elses_task_is_seen(self, log: EventLog, stranger: Principal) -> None:
        await begin(log)
        messages = []
        for task_id in ("t", "nowhere"):
            for call in (log.read, log.task, log.steps, log.request_cancel):
                with pytest.raises(UnknownTask) as raised:
                    await call(stranger, task_id)
                messages.append(str(raised.value).replace(repr(task_id), "ID"))
            with pytest.raises(UnknownTask):
                await log.claim(stranger, task_id, owner="w2", ttl=30)
        assert len(set(messages)) == 1, "unknown and somebody else's look the same"
        page = await log.tasks(stranger)
        assert (page.tasks, page.total) == ((), 0)
        with pytest.raises(UnknownTask):
            await begin(log, "child", principal=stranger, parent="t")

    async def test_a_lease_keeps_others_out_until_it_runs_out(self, log: EventLog) -> None:
        first = await begin(log, ttl=0.2)
        assert await log.claim(ANN, "t", owner="w2", ttl=30) is None
        await asyncio.sleep(0.3)
        assert (await log.task(ANN, "t")).expired
        second = await log.claim(ANN, "t", owner="w2", ttl=30)
        assert second is not None
        assert second.fence > first.fence
        with pytest.raises(FencedError):
            await log.append(first, [artifact(1)])
        await log.release(first)
        assert await log.append(second, [artifact(2)]) == 2

    async def test_only_one_of_many_claims_wins(self, log: EventLog) -> None:
        await log.release(await begin(log))
        won = await asyncio.gather(*(log.claim(ANN, "t", owner=f"w{n}", ttl=30) for n in range(20)))
        assert len([lease for lease in won if lease]) == 1

    async def test_a_dead_owner_is_followed_at_once(self, log: EventLog) -> None:
        await begin(log)
        assert await log.claim(ANN, "t", owner="w2", ttl=30, dead="w9") is None
        assert await log.claim(ANN, "t", owner="w2", ttl=30, dead="w1") is not None

    async def test_a_pulse_renews_and_tells_what_to_cancel(self, log: EventLog) -> None:
        await begin(log, "t1", ttl=0.2)
        await begin(log, "t2", ttl=0.2)
        await begin(log, "t3", owner="w2")
        await log.request_cancel(ANN, "t2")
        pulse = await log.pulse("w1", 30.0)
        assert (pulse.held, pulse.cancel) == (frozenset({"t1", "t2"}), frozenset({"t2"}))
        await asyncio.sleep(0.3)
        assert not (await log.task(ANN, "t1")).expired

    async def test_unfinished_tasks_are_found(self, log: EventLog) -> None:
        for task_id, last in (("t1", "WORKING"), ("t2", "COMPLETED"), ("t3", "INPUT_REQUIRED")):
            lease = await begin(log, task_id, principal=BOB)
            await log.append(lease, [status(last)])
        (row,) = await log.unfinished()
        assert (row.task_id, row.owner, row.expired) == ("t1", "w1", False)
        assert row.principal == Principal("acme", "bob")

    async def test_lost_tasks_are_shared_out(self, log: EventLog) -> None:
        for number in range(12):
            await begin(log, f"t{number}", principal=BOB, ttl=0.1)
        await begin(log, "held")
        await log.append(await begin(log, "over", ttl=0.1), [status("COMPLETED")])
        await log.append(await begin(log, "asks", ttl=0.1), [status("INPUT_REQUIRED")])
        await log.release(await begin(log, "given back"))
        await log.request_cancel(ANN, "given back")
        await asyncio.sleep(0.2)
        (first,) = await log.claim_lost(owner="w2", ttl=30, limit=1)
        assert first[0].task_id == "t0"
        shares = await asyncio.gather(
            *(log.claim_lost(owner=f"w{number}", ttl=30, limit=5) for number in range(3, 8))
        )
        while more := await log.claim_lost(owner="w9", ttl=30):
            shares.append(more)
        claimed = [row.task_id for share in shares for row, _ in share]
        assert sorted(claimed) == sorted(["given back", *(f"t{number}" for number in range(1, 12))])
        for row, lease in (one for share in shares for one in share):
            assert (row.owner, row.expired) == (lease.owner, False)
            assert row.cancel_requested == (row.task_id == "given back")
            assert await log.append(lease, [artifact(1)]) == 2

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
        two = StepRow("s2", "b", "then that", needs=("s1",))
        await log.append(lease, [status("WORKING")], steps=[one, two])
        done = replace(one, state="failed", attempt=2, child_id="x", error="no")
        await log.append(lease, [], steps=[done])
        assert await log.steps(ANN, "t") == [done, two]
        with pytest.raises(TaskEnded):
            await log.append(lease, [status("FAILED"), artifact(1)], steps=[one])
        assert await log.steps(ANN, "t") == [done, two]

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

    async def test_many_writers_leave_no_gap(self, log: EventLog) -> None:
        leases = [await begin(log, f"t{number}") for number in range(4)]

        async def write(lease: Lease, number: int) -> None:
            await log.append(lease, [artifact(number), artifact(number)])

        await asyncio.gather(*(write(lease, n) for n in range(25) for lease in leases))
        for lease in leases:
            events = await log.read(ANN, lease.task_id)
            assert [event.seq for event in events] == list(range(1, 52))
            numbers = [event.body["artifact"]["number"] for event in events[1:]]
            assert numbers[::2] == numbers[1::2], "the events of one append stay together"
            assert sorted(numbers[::2]) == list(range(25))

    async def test_a_failed_write_leaves_its_neighbours(self, log: EventLog) -> None:
        good, bad = await begin(log, "good"), await begin(log, "bad")
        stale = Lease("bad", "nobody", 7, bad.expires)
        results = await asyncio.gather(
            *(log.append(lease, [artifact(n)]) for n in range(10) for lease in (good, stale)),
            return_exceptions=True,
        )
        assert sum(isinstance(result, FencedError) for result in results) == 10
        assert (await log.task(ANN, "good")).last_seq == 11
        assert (await log.task(ANN, "bad")).last_seq == 1

    async def test_closing_twice_is_fine(self, log: EventLog) -> None:
        await begin(log)
        await log.close()
        await log.close()
