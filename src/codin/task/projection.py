"""An A2A task, and A2A's stream of it, from the events of its log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from a2a.types import (
    Artifact,
    Message,
    Part,
    StreamResponse,
    Task,
    TaskArtifactUpdateEvent,
    TaskStatusUpdateEvent,
)
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message as Proto

from codin.agent._parts import part_value
from codin.task.log.base import LogEvent
from codin.task.states import INTERRUPTED

_FIELDS = {"task": "task", "status": "status_update", "artifact": "artifact_update"}


def to_json(message: Proto) -> dict[str, Any]:
    """A2A's JSON of a protocol message."""
    found: dict[str, Any] = MessageToDict(message)
    return found


def to_stream_response(kind: str, body: Mapping[str, Any]) -> StreamResponse | None:
    """The A2A stream response that an event of ``kind`` with ``body`` is; ``None`` for the kinds
    that A2A has no word for."""
    field = _FIELDS.get(kind)
    if field is None:
        return None
    response = StreamResponse()
    ParseDict(dict(body), getattr(response, field), ignore_unknown_fields=True)
    return response


def data_parts(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The objects in the data parts of a status event's message."""
    for part in body.get("status", {}).get("message", {}).get("parts", ()):
        if "data" in part:
            value = part_value(ParseDict(part, Part(), ignore_unknown_fields=True))
            if isinstance(value, dict):
                yield value


class TaskProjection:
    """Builds a task up from its events, in order.

    The history has what was said to the task and what it asked, not its progress; the pieces of an
    artifact are put together.
    """

    def __init__(self, events: Iterable[LogEvent] = ()) -> None:
        self._task = Task()
        self._artifacts: dict[str, Artifact] = {}
        self.seq = 0
        for event in events:
            self.apply(event)

    def apply(self, event: LogEvent) -> None:
        """Take in the next event."""
        self.seq = event.seq
        match event.kind:
            case "task":
                ParseDict(event.body, self._task, ignore_unknown_fields=True)
            case "message":
                self._keep_question()
                self._task.history.append(_parsed(event.body, Message()))
            case "status":
                update = _parsed(event.body, TaskStatusUpdateEvent())
                self._task.status.CopyFrom(update.status)
            case "artifact":
                self._merge(_parsed(event.body, TaskArtifactUpdateEvent()))

    def task(self) -> Task:
        """The task as it stands, a copy."""
        task = Task()
        task.CopyFrom(self._task)
        task.artifacts.extend(self._artifacts.values())
        return task

    def _keep_question(self) -> None:
        """What an interrupted task asked becomes history when the answer comes."""
        status = self._task.status
        waiting = to_json(status).get("state") in INTERRUPTED
        if waiting and status.HasField("message"):
            self._task.history.append(status.message)

    def _merge(self, update: TaskArtifactUpdateEvent) -> None:
        artifact = update.artifact
        kept = self._artifacts.get(artifact.artifact_id)
        if kept is None or not update.append:
            self._artifacts[artifact.artifact_id] = artifact
            return
        for part in artifact.parts:
            last = kept.parts[-1] if kept.parts else None
            if last is not None and last.HasField("text") and part.HasField("text"):
                last.text += part.text
            else:
                kept.parts.append(part)


def _parsed(body: dict[str, Any], message: Any) -> Any:
    return ParseDict(body, message, ignore_unknown_fields=True)
