"""An A2A task, and A2A's stream of it, from the events of its log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from a2a.types import Part, StreamResponse, Task
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message as Proto

from codin.agent._parts import part_value
from codin.agent.a2a import is_reply
from codin.task.log.entries import LogEvent
from codin.task.states import INTERRUPTED

Json = dict[str, Any]

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
    artifact are put together. Events are only read: others may hold them too.
    """

    def __init__(self, events: Iterable[LogEvent] = ()) -> None:
        self._task: Json = {}
        self._history: list[Json] = []
        self._artifacts: dict[str, Json] = {}
        self.seq = 0
        for event in events:
            self.apply(event)

    @property
    def context_id(self) -> str:
        return str(self._task.get("contextId", ""))

    @property
    def reply(self) -> Json | None:
        """The message that is the whole answer of an agent which made nothing else, if it is."""
        message: Json = self._task.get("status", {}).get("message", {})
        return message if is_reply(message) and not self._artifacts else None

    def apply(self, event: LogEvent) -> None:
        """Take in the next event."""
        self.seq = event.seq
        match event.kind:
            case "task":
                self._task = dict(event.body)
                self._history = list(event.body.get("history", ()))
            case "message":
                self._keep_question()
                self._history.append(event.body)
            case "status":
                self._task["status"] = event.body["status"]
            case "artifact":
                self._merge(event.body)

    def json(self, history_length: int | None = None) -> Json:
        """A2A's JSON of the task as it stands, with the latest ``history_length`` messages, or all
        (A2A 1.0, section 3.2.4). It is to be read only."""
        task = dict(self._task)
        history = self._history if history_length is None else self._history[-history_length:]
        if history_length == 0 or not history:
            task.pop("history", None)
        else:
            task["history"] = history
        if self._artifacts:
            task["artifacts"] = list(self._artifacts.values())
        return task

    def task(self, history_length: int | None = None) -> Task:
        """The same as A2A's message."""
        found: Task = ParseDict(self.json(history_length), Task(), ignore_unknown_fields=True)
        return found

    def _keep_question(self) -> None:
        """What an interrupted task asked becomes history when the answer comes."""
        status = self._task.get("status", {})
        if status.get("state") in INTERRUPTED and "message" in status:
            self._history.append(status["message"])

    def _merge(self, update: Mapping[str, Any]) -> None:
        artifact = update["artifact"]
        key = artifact.get("artifactId", "")
        kept = self._artifacts.get(key)
        if kept is None or not update.get("append"):
            self._artifacts[key] = artifact
            return
        parts = list(kept.get("parts", ()))
        for part in artifact.get("parts", ()):
            if parts and "text" in parts[-1] and "text" in part:
                parts[-1] = {**parts[-1], "text": parts[-1]["text"] + part["text"]}
            else:
                parts.append(part)
        self._artifacts[key] = {**kept, "parts": parts}
