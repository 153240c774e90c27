"""What a stream of a task is made of: its events under their numbers in the log.

A stream can be taken up where it broke: a client that activated ``RESUME_EXTENSION`` and names the
last event that it saw gets exactly the ones after it, also when the task has ended meanwhile, and
from any gateway, for all of it comes from the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from a2a.server.context import ServerCallContext
from a2a.types import Message, StreamResponse, Task, TaskArtifactUpdateEvent, TaskStatusUpdateEvent
from a2a.utils.errors import InvalidParamsError

from codin.agent._parts import data_json
from codin.agent.a2a import bare_status
from codin.agent.cards import RESUME_EXTENSION
from codin.task._messages import stream_response
from codin.task.log.entries import UNTOLD, LogEvent
from codin.task.projection import TaskProjection
from codin.task.states import WORKING

A2AEvent = Message | Task | TaskStatusUpdateEvent | TaskArtifactUpdateEvent

LAST_EVENT_ID = "codin.last_event_id"
"""Key of the last event seen, a text, in the call context's state."""

_JSON_NAMES = {"task": "task", "status": "statusUpdate", "artifact": "artifactUpdate"}
_MAX_DIGITS = 18


@dataclass(frozen=True, slots=True)
class TaskUpdate:
    """An event of a stream. ``seq`` is its number in the task's log; ``body`` the JSON of A2A's
    StreamResponse; ``more`` says that the next one is there already."""

    seq: int
    body: Mapping[str, Any]
    more: bool = False

    @property
    def response(self) -> StreamResponse:
        """The event as A2A's message."""
        return stream_response(self.body)

    @property
    def event(self) -> A2AEvent:
        """What is inside of the response."""
        response = self.response
        event: A2AEvent = getattr(response, response.WhichOneof("payload"))
        return event


def snapshot(projection: TaskProjection, history_length: int | None = None) -> TaskUpdate:
    """The task as it stands, as the first event of a stream; with the latest ``history_length``
    messages, or all."""
    return TaskUpdate(projection.seq, {"task": projection.json(history_length)})


def update_of(event: LogEvent, context_id: str) -> TaskUpdate | None:
    """What a client of A2A sees of ``event``. A child's event is a working status with a data part
    ``{"type": "child", "step", "agent", "task_id", "seq", "kind", "body"}``; records of calls, what
    runs need to go on, and messages that the client sent itself, are not told."""
    if event.kind == "child":
        return None if _innermost(event.body) in UNTOLD else _child(event, context_id)
    name = _JSON_NAMES.get(event.kind)
    return None if name is None else TaskUpdate(event.seq, {name: event.body})


def updates_of(events: Iterable[LogEvent], context_id: str) -> Iterator[TaskUpdate]:
    """What a client of A2A sees of ``events``, which were read together."""
    last = None
    for event in events:
        update = update_of(event, context_id)
        if update is None:
            continue
        if last is not None:
            yield replace(last, more=True)
        last = update
    if last is not None:
        yield last


def resume_position(context: ServerCallContext) -> int | None:
    """The number of the last event that the caller saw; ``None`` when it does not resume.

    Raises:
        InvalidParamsError: it is not one that a stream gave.
    """
    if RESUME_EXTENSION not in context.requested_extensions:
        return None
    given = context.state.get(LAST_EVENT_ID)
    if given is None:
        return None
    text = str(given).strip()
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise InvalidParamsError(
            "the last event id is none that a stream gave: send the id of an event, or none"
        )
    return int(text)


def _innermost(body: Mapping[str, Any]) -> str:
    """The kind of the event in a child's event, which may be that of the child's own child."""
    while body["kind"] == "child":
        body = body["body"]
    return str(body["kind"])


def _child(event: LogEvent, context_id: str) -> TaskUpdate:
    ids = {"taskId": event.task_id, "contextId": context_id}
    message = {
        "messageId": f"{event.task_id}-{event.seq}",  # the same for everybody who reads it
        **ids,
        "role": "ROLE_AGENT",
        "parts": [data_json({"type": "child", **event.body})],
    }
    status = bare_status(WORKING, at=datetime.fromtimestamp(event.time, UTC))
    return TaskUpdate(
        event.seq, {"statusUpdate": {**ids, "status": {**status, "message": message}}}
    )
