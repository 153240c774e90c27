"""What is at hand of a task that has ended: all of it, for its principal, and only once it has."""

from __future__ import annotations

from dataclasses import replace

from codin.security import LOCAL_USER
from codin.task.log._recent import Noted, RecentEvents
from codin.task.log.entries import LogEvent

_DONE = {"status": {"state": "TASK_STATE_COMPLETED"}}
_BEGUN = {"status": {"state": "TASK_STATE_SUBMITTED"}}


def _noted(seq: int, kind: str, body: dict[str, object], agent_id: str | None = None) -> Noted:
    noted = Noted(LOCAL_USER, "t", agent_id=agent_id)
    event = LogEvent("t", seq, "task" if kind == "task" else "status", 0.0, body)
    noted.add(event, 600)
    return noted


def test_a_task_is_whole_when_it_has_ended() -> None:
    recent = RecentEvents()
    recent.add(_noted(1, "task", _BEGUN, "echo"))
    assert recent.whole(LOCAL_USER, "t") is None
    recent.add(_noted(2, "status", _DONE))
    found = recent.whole(LOCAL_USER, "t")
    assert found is not None
    assert found[0] == "echo"
    assert [event.seq for event in found[1]] == [1, 2]
    for other in (replace(LOCAL_USER, subject="eve"), replace(LOCAL_USER, tenant="other")):
        assert recent.whole(other, "t") is None


def test_a_task_that_lost_its_beginning_is_not_whole() -> None:
    recent = RecentEvents(1000)
    recent.add(_noted(1, "task", _BEGUN, "echo"))
    recent.add(_noted(2, "status", _DONE))
    assert recent.whole(LOCAL_USER, "t") is None
    assert [event.seq for event in recent.after(LOCAL_USER, "t", 1)] == [2]
