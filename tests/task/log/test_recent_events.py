"""What a process has at hand of what it wrote: bounded, without gaps, and only its owner's."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codin.task.log._recent import Noted, RecentEvents
from codin.task.log.entries import Entry, LogEvent
from codin.task.log.follow import follow
from codin.task.log.sqlite import SqliteEventLog
from codin.testing.log_conformance import ANN, BOB, artifact, begin, status

_WRITES = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(1, 4), st.booleans(), st.booleans()),
    max_size=40,
)


def _event(task_id: str, seq: int) -> LogEvent:
    return LogEvent(task_id, seq, "artifact", float(seq), {"seq": seq})


@given(writes=_WRITES, most=st.integers(0, 60))
def test_what_is_kept_is_a_part_of_what_was_written(
    writes: list[tuple[str, int, bool, bool]], most: int
) -> None:
    recent = RecentEvents(most)
    written: dict[str, list[LogEvent]] = {"a": [], "b": [], "c": []}
    last_here = dict.fromkeys(written, True)
    for task_id, count, elsewhere, gap in writes:
        noted = Noted(ANN, task_id)
        for number in range(count):
            event = _event(task_id, len(written[task_id]) + 1)
            written[task_id].append(event)
            noted.add(event, 3)
            if gap and number == count // 2:
                noted.gap()
        last_here[task_id] = not elsewhere
        if not elsewhere:  # otherwise another process wrote it
            recent.add(noted)
        kept = 0
        for name, events in written.items():
            found = [recent.after(ANN, name, seq) for seq in range(len(events) + 1)]
            for seq, some in enumerate(found):
                assert some == events[seq : seq + len(some)]
                assert not recent.after(BOB, name, seq)
                # who is woken once for several writes must get all that was written here
                assert not some or not last_here[name] or some[-1] == events[-1]
            kept += max(map(len, found))
        assert kept * 3 <= most


def test_the_latest_are_kept() -> None:
    recent = RecentEvents(6)
    for task_id in ("a", "b"):
        noted = Noted(ANN, task_id)
        for seq in (1, 2):
            noted.add(_event(task_id, seq), 2)
        recent.add(noted)
    assert recent.after(ANN, "a", 0) == []
    assert recent.after(ANN, "a", 1) == [_event("a", 2)]
    assert recent.after(ANN, "b", 0) == [_event("b", 1), _event("b", 2)]


async def test_what_another_process_wrote_is_read(tmp_path: Path) -> None:
    one = await SqliteEventLog.open(tmp_path / "codin.db")
    two = await SqliteEventLog.open(tmp_path / "codin.db")
    lease = await begin(one)
    await one.append(lease, [artifact(1)])
    await one.release(lease)
    taken = await two.claim(ANN, "t", owner="w2", ttl=30)
    assert taken is not None
    await two.append(taken, [artifact(2), artifact(3)])
    await two.release(taken)
    again = await one.claim(ANN, "t", owner="w1", ttl=30)
    assert again is not None
    await one.append(again, [artifact(4), status("COMPLETED")])
    for log in (one, two):
        followed = [event async for event in follow(log, ANN, "t", poll=0.05)]
        assert followed == await log.read(ANN, "t")
        assert [event.seq for event in followed] == [1, 2, 3, 4, 5, 6]
    await one.close()
    await two.close()


async def test_what_was_not_committed_is_not_there(tmp_path: Path) -> None:
    log = await SqliteEventLog.open(tmp_path / "codin.db")
    lease = await begin(log)
    with pytest.raises(TypeError):
        await log.append(lease, [artifact(1), Entry("artifact", {"no": object()})])
    assert [event.seq for event in log.recent(ANN, "t", 0)] == [1]
    assert await log.read(ANN, "t") == log.recent(ANN, "t", 0)
    await log.close()
