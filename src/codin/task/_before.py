"""What earlier attempts of a run came to, from its task's log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from codin.agent.a2a import EventDecoder
from codin.agent.events import END_EVENTS, ToolOutput
from codin.security import Principal
from codin.task._told import Told
from codin.task.log.base import EventLog
from codin.task.log.entries import Kind, LogEvent
from codin.task.projection import to_stream_response
from codin.tool.invocation import CallFinished

_KINDS: tuple[Kind, ...] = ("status", "artifact", "call", "model")

Json = dict[str, Any]


@dataclass(slots=True)
class Before:
    """What the attempts of a run said (``told``, for ``Told``), what ``models`` answered them, and
    their calls, by idempotency key: those that were made to their end, and where in the log those
    were ``begun`` that may have been made."""

    told: Json = field(default_factory=dict)
    models: list[Mapping[str, Any]] = field(default_factory=list)
    finished: dict[str, CallFinished] = field(default_factory=dict)
    begun: dict[str, list[int]] = field(default_factory=dict)

    @property
    def open(self) -> dict[str, int]:
        """The calls that were under way when an attempt ended, with the place of the last time."""
        return {key: places[-1] for key, places in self.begun.items() if places}


async def attempts_before(log: EventLog, principal: Principal, task_id: str, turn: int) -> Before:
    """What there is of a task's run, which answers the message at ``turn``."""
    before, said = Before(), _Said()
    after = turn
    while events := await log.read(principal, task_id, after, kinds=_KINDS):
        for event in events:
            match event.kind:
                case "call":
                    _apply(before, event)
                case "model":
                    if "asked" in event.body:  # others say what was used
                        before.models.append(event.body)
                case _:
                    said.apply(event)
        after = events[-1].seq
    before.told = said.told.to_json()
    return before


class _Said:
    """What was said, from the events that said it."""

    def __init__(self) -> None:
        self.told = Told()
        self._decoder = EventDecoder()

    def apply(self, event: LogEvent) -> None:
        response = to_stream_response(event.kind, event.body)
        if response is None:
            return
        for one in self._decoder.decode(response):
            if not isinstance(one, (ToolOutput, *END_EVENTS)):
                self.told.new(one)
        if self._decoder.ended:  # by a question
            self._decoder = EventDecoder()


def _apply(before: Before, event: LogEvent) -> None:
    fields = {key: value for key, value in event.body.items() if key != "type"}
    key = fields.get("key")
    if not key:
        return
    begun = before.begun.setdefault(key, [])
    if event.body["type"] == "started":
        begun.append(event.seq)
        return
    call = CallFinished(**fields)
    match call.error_type:
        case "Canceled":
            return  # it may have done what it does
        case "ApprovalNeeded":
            del begun[-1:]  # it was not made, whatever became of it before
        case _:
            begun.clear()
            before.finished[key] = call
