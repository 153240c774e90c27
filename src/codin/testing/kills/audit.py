"""Compares the clients' ledger with the log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from codin.security import LOCAL_USER
from codin.task import EventLog, UnknownTask
from codin.task.log import LogEvent, TaskRow
from codin.task.projection import TaskProjection
from codin.task.states import FAILED
from codin.task.updates import snapshot, update_of
from codin.testing.kills.ledger import STOPS, Followed, Ledger, digest
from codin.testing.whole_log import all_events, all_tasks

_SHOWN = 20


@dataclass(slots=True)
class Findings:
    """What is wrong, by kind: all of it is 0 and empty when nothing is lost."""

    lost: int = 0
    gaps: int = 0
    doubled: int = 0
    unfinished: int = 0
    failed: int = 0
    events_logged: int = 0
    tasks: int = 0
    states: dict[str, int] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        if len(self.said) < _SHOWN:
            self.said.append(text)


class Audit:
    """Looks up everything that ``ledger`` has in ``log``, and the order of the log itself."""

    def __init__(self, log: EventLog, ledger: Ledger) -> None:
        self._log = log
        self._ledger = ledger
        self._found = Findings()
        self._by_task: dict[str, list[Followed]] = {}
        self._events: dict[str, list[tuple[int, str]]] = {}
        self._snapshots: dict[str, list[tuple[int, str]]] = {}

    async def findings(self) -> Findings:
        """All of it."""
        self._sort()
        messages: dict[str, str] = {}
        rows = [row async for row in all_tasks(self._log)]
        for row in rows:
            events = await all_events(self._log, row)
            self._count(row, events)
            self._task(row, events)
            first = str(events[0].body["history"][0]["messageId"])
            if row.parent_id is None and messages.setdefault(first, row.task_id) != row.task_id:
                self._found.doubled += 1
                self._found.say(f"message {first} made {messages[first]} and {row.task_id}")
        await self._known(rows)
        return self._found

    def _sort(self) -> None:
        for one in self._ledger.followed:
            if one.task_id is not None:
                self._by_task.setdefault(one.task_id, []).append(one)
        for kept, told in (
            (self._events, self._ledger.events),
            (self._snapshots, self._ledger.snapshots),
        ):
            for (task_id, seq), body in told.items():
                kept.setdefault(task_id, []).append((seq, body))

    def _count(self, row: TaskRow, events: list[LogEvent]) -> None:
        found = self._found
        found.tasks += 1
        found.events_logged += len(events)
        found.states[row.state] = found.states.get(row.state, 0) + 1
        if row.state not in STOPS:
            found.unfinished += 1
            found.say(f"task {row.task_id} is {row.state}")
        if row.state == FAILED:
            found.failed += 1
            found.say(f"task {row.task_id} failed: {row.status}")
        if [event.seq for event in events] != list(range(1, row.last_seq + 1)):
            found.gaps += 1
            found.say(f"the log of task {row.task_id} has a gap")

    def _task(self, row: TaskRow, events: list[LogEvent]) -> None:
        updates = [update_of(event, row.context_id) for event in events]
        told = {update.seq: update.body for update in updates if update is not None}
        for seq, seen in self._events.get(row.task_id, []):
            if seq not in told or digest(told[seq]) != seen:
                self._lose(f"task {row.task_id}: event {seq} is not in the log as it was told")
        for seq, seen in self._snapshots.get(row.task_id, []):
            if seq > row.last_seq or digest(_shown(events, seq)) != seen:
                self._lose(f"task {row.task_id}: it was never as it was shown at event {seq}")
        ended = self._ledger.answers.get(row.task_id)
        if ended is not None and ended != row.state:
            self._lose(f"task {row.task_id} was said to be {ended}, and is {row.state}")
        for one in self._by_task.get(row.task_id, []):
            self._followed(one, list(told))

    def _followed(self, one: Followed, told: list[int]) -> None:
        first = one.seqs[0] if one.after is None and one.seqs else (one.after or 0) + 1
        last = one.last or 0
        missed = {seq for seq in told if first <= seq <= last} - set(one.seqs)
        if missed:
            self._found.gaps += 1
            self._found.say(f"a stream of task {one.task_id} did not tell of {sorted(missed)}")

    async def _known(self, rows: Iterable[TaskRow]) -> None:
        known = {row.task_id for row in rows}
        for task_id in {*self._ledger.tasks.values(), *self._by_task} - known:
            try:
                await self._log.task(LOCAL_USER, task_id)  # the step of a goal
            except UnknownTask:
                self._lose(f"task {task_id} was acknowledged, and is not in the log")

    def _lose(self, text: str) -> None:
        self._found.lost += 1
        self._found.say(text)


def _shown(events: list[LogEvent], seq: int) -> dict[str, Any]:
    projection = TaskProjection(events[:seq])
    return dict(snapshot(projection).body)
