"""Compares the ledger of effects with the log."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from codin.security import LOCAL_USER
from codin.task import EventLog
from codin.task.log import LogEvent, TaskRow
from codin.task.states import COMPLETED
from codin.testing.chaos.team import CALLS, STEPS
from codin.testing.whole_log import all_events, all_tasks

_SHOWN = 20


@dataclass(slots=True)
class Findings:
    """What was found. ``effects`` came once at least, ``repeated`` of them more than once, all in
    all ``executions`` times. Wrong are: ``missing`` effects, ``unlogged`` repetitions of calls that
    the log does not show to have been begun again, effects ``after`` the log had their result,
    ``gaps`` in logs, and goals that are not ``completed``."""

    goals: int = 0
    completed: int = 0
    tasks: int = 0
    events: int = 0
    attempts: int = 0
    effects: int = 0
    executions: int = 0
    repeated: int = 0
    missing: int = 0
    unlogged: int = 0
    after: int = 0
    doubled: int = 0
    gaps: int = 0
    said: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        if len(self.said) < _SHOWN:
            self.said.append(text)


class Audit:
    """Looks up everything that the log has, and what came of it outside."""

    def __init__(self, log: EventLog, executions: Counter[str]) -> None:
        self._log = log
        self._executions = executions
        self._found = Findings()
        self._begun: Counter[str] = Counter()
        self._finished: Counter[str] = Counter()

    async def findings(self) -> Findings:
        """All of it."""
        found = self._found
        async for row in all_tasks(self._log):
            events = await all_events(self._log, row)
            found.tasks += 1
            found.events += len(events)
            if [event.seq for event in events] != list(range(1, row.last_seq + 1)):
                found.gaps += 1
                found.say(f"the log of task {row.task_id} has a gap")
            if row.parent_id is None:
                self._goal(row)
                await self._steps(row)
            elif row.state != COMPLETED:
                found.say(f"step {row.task_id} is {row.state}: {row.status}")
            self._calls(events)
        self._effects()
        return found

    def _goal(self, row: TaskRow) -> None:
        found = self._found
        found.goals += 1
        if row.state == COMPLETED:
            found.completed += 1
        else:
            found.say(f"goal {row.task_id} is {row.state}: {row.status}")

    async def _steps(self, goal: TaskRow) -> None:
        """Each step of a goal is one task, however often its goal was taken up."""
        steps = await self._log.steps(LOCAL_USER, goal.task_id)
        attempts = [step.attempt for step in steps]
        if len(steps) != STEPS or attempts != [1] * STEPS:
            self._found.doubled += 1
            self._found.say(f"the steps of goal {goal.task_id} were tried {attempts} times")

    def _calls(self, events: list[LogEvent]) -> None:
        self._found.attempts += sum(event.kind == "begun" for event in events)
        for body in (event.body for event in events if event.kind == "call"):
            self._call(body)

    def _call(self, body: dict[str, Any]) -> None:
        key = str(body["key"])
        if body["type"] == "started":
            self._begun[key] += 1
            if self._finished[key]:
                self._found.after += 1
                self._found.say(f"the call {key} was begun again after it was made")
        elif body["error_type"] is None:
            self._finished[key] += 1

    def _effects(self) -> None:
        found = self._found
        found.effects = len(self._executions)
        found.executions = self._executions.total()
        found.missing = max(found.completed * STEPS * CALLS - len(self._finished), 0)
        for key, count in self._executions.items():
            found.repeated += count > 1
            if count > self._begun[key]:
                found.unlogged += 1
                found.say(f"the call {key} was made {count} times, begun {self._begun[key]} times")
        for key in self._finished:
            if not self._executions[key]:
                found.missing += 1
                found.say(f"the call {key} was never made, and is said to have been")
