"""What every event log does with names, with messages that come again, and with strangers."""

from __future__ import annotations

import asyncio

import pytest

from codin.security import Principal
from codin.task.errors import TaskExists, TaskRepeated, UnknownTask, UnstorableName
from codin.task.log.base import EventLog
from codin.task.log.entries import Entry
from codin.task.log.leases import Lease
from codin.task.log.rows import StepRow, TaskFilter
from codin.testing._log_base import ANN, BOB, OTHER_ANN, begin, status


class NameConformance:
    """Ids, repeats and whose task it is."""

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
