"""What a run is begun with, as its task's log keeps it: by this any process can begin it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from codin.security import Principal
from codin.task.log.base import EventLog
from codin.task.log.entries import Entry, Kind, LogEvent
from codin.task.log.rows import TaskRow
from codin.task.projection import to_json

if TYPE_CHECKING:
    from a2a.types import Message

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a run is begun with.

    ``turn`` is the place in the task's log of the message that it answers, ``history`` what was
    said in its conversation before that, as A2A's JSON. ``answer`` is the place of the answer to
    what its call ``asked`` (an idempotency key). It is the ``attempt``-th time that it is begun,
    and the last ``stalled`` of these got no further than the one before.
    """

    turn: int
    principal: Principal
    history: Sequence[Json] = ()
    attempt: int = 1
    stalled: int = 0
    asked: str = ""
    answer: int = 0
    seq: int = field(default=0, compare=False)
    """Its own place in the log, where it has been read from there."""

    @property
    def again(self) -> bool:
        """Whether the run was begun before, by an attempt that did not bring it to its end."""
        return self.attempt > 1

    def entry(self) -> Entry:
        """It as an entry of the log."""
        who = self.principal
        body: Json = {
            "turn": self.turn,
            "attempt": self.attempt,
            "stalled": self.stalled,
            "roles": sorted(who.roles),
            "scopes": sorted(who.scopes),
            "actors": list(who.actors),
        }
        if who.key:
            body["key"] = who.key
        if self.history:
            body["history"] = list(self.history)
        if self.asked:
            body |= {"asked": self.asked, "answer": self.answer}
        return Entry("begun", body)

    def answered(self, principal: Principal, asked: str, answer: int) -> Beginning:
        """The same run, made again now that what its call ``asked`` is answered."""
        return replace(
            self,
            principal=principal,
            attempt=self.attempt + 1,
            stalled=0,
            asked=asked,
            answer=answer,
        )

    def repeated(self, row: TaskRow) -> Beginning:
        """The same run, made again because its process ended."""
        stalled = 0 if row.last_seq > self.seq else self.stalled + 1
        return replace(self, attempt=self.attempt + 1, stalled=stalled)

    def messages(self) -> tuple[Message, ...]:
        """The history as A2A's messages."""
        return tuple(_message(body) for body in self.history)


def first(turn: int, principal: Principal, history: Sequence[Message]) -> Beginning:
    """How a run begins that was not begun before."""
    return Beginning(turn, principal, [to_json(message) for message in history])


async def last_beginning(log: EventLog, row: TaskRow) -> Beginning | None:
    """How the task's last run was begun the last time."""
    last: LogEvent | None = None
    kinds: tuple[Kind, ...] = ("begun",)
    while events := await log.read(
        row.principal, row.task_id, last.seq if last else 0, kinds=kinds
    ):
        last = events[-1]
    return None if last is None else _read(row, last)


async def message_at(log: EventLog, row: TaskRow, seq: int) -> Message:
    """The message that stands at ``seq`` in the task's log."""
    [event] = await log.read(row.principal, row.task_id, seq - 1, 1)
    return _message(event.body["history"][0] if event.kind == "task" else event.body)


def _read(row: TaskRow, event: LogEvent) -> Beginning:
    body = event.body
    principal = Principal(
        row.tenant,
        row.subject,
        frozenset(body["roles"]),
        frozenset(body["scopes"]),
        tuple(body["actors"]),
        str(body.get("key", "")),
    )
    return Beginning(
        int(body["turn"]),
        principal,
        body.get("history", ()),
        int(body["attempt"]),
        int(body["stalled"]),
        str(body.get("asked", "")),
        int(body.get("answer", 0)),
        event.seq,
    )


def _message(body: Mapping[str, Any]) -> Message:
    from a2a.types import Message
    from google.protobuf.json_format import ParseDict

    found: Message = ParseDict(dict(body), Message(), ignore_unknown_fields=True)
    return found
