"""What every event log does with those who write to it."""

from __future__ import annotations

import asyncio
import time

import pytest

from codin.security import Principal
from codin.task.errors import FencedError, TaskEnded, UnknownTask
from codin.task.log.base import EventLog
from codin.task.log.leases import Lease, Room
from codin.task.log.rows import StepRow
from codin.testing._log_base import ANN, BOB, artifact, begin, status


class LeaseConformance:
    """Leases, takeover and many writers."""

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

    @pytest.mark.parametrize("stop", ["INPUT_REQUIRED", "AUTH_REQUIRED", "COMPLETED", "CANCELED"])
    async def test_a_task_that_stops_is_in_nobodys_hands(self, log: EventLog, stop: str) -> None:
        """From the moment on in which it can be seen to have stopped."""
        first = await begin(log)
        await log.append(first, [status("WORKING"), status(stop)], steps=[StepRow("s", "a", "do")])
        row = await log.task(ANN, "t")
        assert (row.owner, row.expired) == (None, True)
        with pytest.raises((FencedError, TaskEnded)):
            await log.append(first, [artifact(1)])
        second = await log.claim(ANN, "t", owner="w2", ttl=30)
        assert (second is None) == row.ended
        if second is not None:
            await log.append(second, [artifact(1)])
            assert (await log.task(ANN, "t")).owner == "w2"
            await log.append(second, [status(stop)])
            assert (await log.task(ANN, "t")).owner is None

    async def test_only_one_of_many_claims_wins(self, log: EventLog) -> None:
        await log.release(await begin(log))
        won = await asyncio.gather(*(log.claim(ANN, "t", owner=f"w{n}", ttl=30) for n in range(20)))
        assert len([lease for lease in won if lease]) == 1

    async def test_a_dead_owner_is_followed_at_once(self, log: EventLog) -> None:
        await begin(log)
        assert await log.claim(ANN, "t", owner="w2", ttl=30, dead="w9") is None
        assert await log.claim(ANN, "t", owner="w2", ttl=30, dead="w1") is not None

    async def test_no_lease_runs_out_for_who_holds_it(self, log: EventLog) -> None:
        """Else a process would begin a second run of its own tasks when the clock jumps."""
        await begin(log, ttl=0.1)
        await asyncio.sleep(0.2)
        assert (await log.task(ANN, "t")).expired
        assert await log.claim_lost(owner="w1", ttl=30) == []
        assert await log.claim(ANN, "t", owner="w1", ttl=30) is None
        assert await log.claim(ANN, "t", owner="w1", ttl=30, dead="w1") is not None

    async def test_the_clock_is_that_by_which_leases_run_out(self, log: EventLog) -> None:
        before = await log.now()
        lease = await begin(log, ttl=30.0)
        assert before + 30.0 <= lease.expires + 0.01 <= await log.now() + 30.02

    @pytest.mark.parametrize("alone", [True, False])
    async def test_whoever_sees_a_question_can_answer_it(self, log: EventLog, alone: bool) -> None:
        lease = await begin(log)
        steps = [] if alone else [StepRow("s", "a", "do")]
        await log.append(lease, [artifact(1), status("INPUT_REQUIRED")], steps=steps)
        row = await log.task(ANN, "t")
        assert (row.owner, row.last_seq) == (None, 3)
        with pytest.raises(FencedError):
            await log.append(lease, [artifact(2)])
        answering = await log.claim(ANN, "t", owner="w2", ttl=30)
        assert answering is not None
        await log.append(answering, [artifact(2), status("WORKING")])
        assert (await log.task(ANN, "t")).owner == "w2"

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
        assert first[0].task_id == "given back", "to end it takes no room"
        (second,) = await log.claim_lost(owner="w2", ttl=30, limit=1)
        assert second[0].task_id == "t0"
        shares = await asyncio.gather(
            *(log.claim_lost(owner=f"w{number}", ttl=30, limit=5) for number in range(3, 8))
        )
        while more := await log.claim_lost(owner="w9", ttl=30):
            shares.append(more)
        claimed = [row.task_id for share in shares for row, _ in share]
        assert sorted(claimed) == sorted(f"t{number}" for number in range(1, 12))
        assert first[0].cancel_requested
        for row, lease in (one for share in shares for one in share):
            assert (row.owner, row.expired, row.cancel_requested) == (lease.owner, False, False)
            assert await log.append(lease, [artifact(1)]) == 2

    async def test_tasks_wait_for_a_process_with_room(self, log: EventLog) -> None:
        await begin(log, "goal", owner=None, lane="goal")
        await begin(log, "below", owner=None, parent="goal", lane="below")
        assert (await log.task(ANN, "goal")).owner is None
        for number in range(3):
            await begin(log, f"ann{number}", owner=None)
        await begin(log, "urgent", owner=None, priority=5)
        await begin(log, "bob", owner=None, principal=Principal("other", "bob"), agent_id="b")
        await begin(log, "busy", owner=None, agent_id="busy")
        await begin(log, "held")

        async def claimed(room: Room) -> list[str]:
            found = await log.claim_lost(owner="w2", ttl=30, room=room)
            return [row.task_id for row, _ in found]

        assert await claimed(Room(0, roomless=False)) == []
        assert sorted(await claimed(Room(0))) == ["below", "goal"]
        first = Room(2, agents=frozenset({"busy"}), served=("other",))
        assert await claimed(first) == ["urgent", "bob"]
        assert await claimed(Room(9, tenants=frozenset({"acme"}))) == []
        assert await claimed(Room(2)) == ["ann0", "ann1"]
        assert await claimed(Room(9)) == ["ann2", "busy"]

    async def test_what_is_paused_waits_with_all_that_was_begun_for_it(self, log: EventLog) -> None:
        await begin(log, "goal", lane="goal")
        await begin(log, "step", parent="goal")
        await begin(log, "other")
        assert (await log.request_pause(ANN, "goal", paused=True)).paused
        pulse = await log.pulse("w1", 30.0)
        assert pulse.pause == frozenset({"goal", "step"})
        for lease in [Lease(task_id, "w1", 1, 0.0) for task_id in ("goal", "step")]:
            await log.release(lease)
        assert await log.claim_lost(owner="w2", ttl=30) == []
        await log.request_cancel(ANN, "step")
        assert [row.task_id for row, _ in await log.claim_lost(owner="w2", ttl=30)] == ["step"]
        assert not (await log.request_pause(ANN, "goal", paused=False)).paused
        assert [row.task_id for row, _ in await log.claim_lost(owner="w2", ttl=30)] == ["goal"]
        with pytest.raises(UnknownTask):
            await log.request_pause(BOB, "goal", paused=True)
        await log.append(await begin(log, "over"), [status("COMPLETED")])
        with pytest.raises(TaskEnded):
            await log.request_pause(ANN, "over", paused=True)

    async def test_a_deadline_that_is_over_needs_no_room(self, log: EventLog) -> None:
        await begin(log, "late", owner=None, deadline=1.0)
        await begin(log, "early", owner=None, deadline=time.time() + 1000)
        await log.request_pause(ANN, "late", paused=True)
        (one,) = await log.claim_lost(owner="w2", ttl=30, room=Room(0))
        assert (one[0].task_id, one[0].deadline) == ("late", 1.0)

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
