"""What the clients were told: the other side of what has to be in the log."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

from codin.task.states import INTERRUPTED, TERMINAL

STOPS = TERMINAL | INTERRUPTED
"""The states in which a stream ends."""


def digest(body: Mapping[str, Any]) -> str:
    """A name for ``body`` that no other JSON has."""
    text = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def state_in(body: Mapping[str, Any]) -> str | None:
    """The task's state by an event of a stream, if it tells one."""
    held = body.get("task") or body.get("statusUpdate") or {}
    state = held.get("status", {}).get("state")
    return None if state is None else str(state)


@dataclass(slots=True)
class Followed:
    """What one client saw of one task, over all its connections. ``after`` is what it had asked to
    be told what comes after; ``None`` when it began with the task itself."""

    task_id: str | None = None
    after: int | None = None
    seqs: list[int] = field(default_factory=list)
    state: str | None = None

    @property
    def last(self) -> int | None:
        """The last event that it saw, if any."""
        return self.seqs[-1] if self.seqs else self.after

    @property
    def over(self) -> bool:
        """Whether it saw a state in which a stream ends."""
        return self.state in STOPS


class Ledger:
    """Entered by the clients, in the process that does not die, and line by line into ``file``."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.tasks: dict[str, str] = {}
        """The task of each message that was taken."""
        self.answers: dict[str, str] = {}
        """Tasks that an answer said to be in a terminal state, with that state."""
        self.events: dict[tuple[str, int], str] = {}
        """The digest of each event that any client saw."""
        self.snapshots: dict[tuple[str, int], str] = {}
        """The digest of each task as it was shown at the beginning of a stream."""
        self.followed: list[Followed] = []
        self.received = 0
        self.duplicates = 0
        self.faults: list[str] = []

    def acknowledged(self, message_id: str, task: Mapping[str, Any]) -> str:
        """An answer had ``task`` for a message; gives the task's id."""
        task_id, state = str(task["id"]), str(task["status"]["state"])
        self._write("task", message_id, task_id, state)
        if self.tasks.setdefault(message_id, task_id) != task_id:
            self.fault(f"message {message_id} made two tasks: {self.tasks[message_id]}, {task_id}")
        if state in TERMINAL and self.answers.setdefault(task_id, state) != state:
            self.fault(f"task {task_id} ended twice: {self.answers[task_id]}, then {state}")
        return task_id

    def follow(self, task_id: str | None = None, after: int | None = None) -> Followed:
        """A client begins to follow a task."""
        self.followed.append(Followed(task_id, after))
        return self.followed[-1]

    def saw(self, one: Followed, message_id: str, seq: int, body: Mapping[str, Any]) -> None:
        """A stream had an event. ``message_id`` is what the task was begun by, if ``one`` did."""
        self.received += 1
        told = digest(body)
        shown = "task" in body and one.after is None and not one.seqs
        if message_id and "task" in body:
            one.task_id = self.acknowledged(message_id, body["task"])
        task_id = one.task_id or ""
        self._write("event", task_id, seq, told)
        if one.last is not None and seq <= one.last:
            self.duplicates += 1
            self.fault(f"task {task_id}: event {seq} came after {one.last}")
        one.seqs.append(seq)
        one.state = state_in(body)
        where = self.snapshots if shown else self.events
        if where.setdefault((task_id, seq), told) != told:
            self.fault(f"task {task_id}: event {seq} was told differently to two clients")

    def fault(self, text: str) -> None:
        """Something is wrong."""
        self.faults.append(text)
        self._write("fault", text)

    def _write(self, *words: Any) -> None:
        self._file.write(json.dumps(words) + "\n")
