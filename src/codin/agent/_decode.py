"""A2A stream responses of any agent as agent events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from a2a.types import (
    Artifact,
    Message,
    Part,
    StreamResponse,
    Task,
    TaskArtifactUpdateEvent,
    TaskState,
    TaskStatus,
)
from google.protobuf.json_format import MessageToDict
from pydantic import TypeAdapter, ValidationError

from codin.agent._parts import part_value, plain_value
from codin.agent.events import (
    AgentEvent,
    ArtifactProduced,
    Canceled,
    Completed,
    Failed,
    InputRequest,
    Rejected,
    TextDelta,
    TextFinal,
    Thought,
)

_EVENT: TypeAdapter[AgentEvent] = TypeAdapter(AgentEvent)
_INSIDE = frozenset({"tool_call", "tool_output", "tool_result", "handoff", "usage"})
_STATUS_TEXT = "status"

_WAITING = {TaskState.TASK_STATE_INPUT_REQUIRED, TaskState.TASK_STATE_AUTH_REQUIRED}
_ENDED = {
    TaskState.TASK_STATE_COMPLETED,
    TaskState.TASK_STATE_FAILED,
    TaskState.TASK_STATE_CANCELED,
    TaskState.TASK_STATE_REJECTED,
} | _WAITING


class EventDecoder:
    """Reads one run's A2A stream. What codin wrote comes back exactly.

    Other agents are read as they are: text in status messages becomes text of the answer (whether
    it comes in pieces or grows), and is not said twice when an artifact repeats it; a bare message
    is the whole answer; what is unknown or malformed is left out. Give it each response of one
    stream in order, then perhaps a ``Task`` that was fetched to fill in a missing end.
    """

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._open: set[str] = set()
        self._produced: set[str] = set()
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether the event that ends the run was decoded; nothing is decoded after it."""
        return self._ended

    def decode(self, response: StreamResponse) -> list[AgentEvent]:
        """The events that ``response`` says; none when it is empty or says nothing new."""
        if self._ended:
            return []
        match response.WhichOneof("payload"):
            case "artifact_update":
                return self._artifact_update(response.artifact_update)
            case "status_update":
                return self._status(response.status_update.status)
            case "message":
                return self._bare_message(response.message)
            case "task":
                return self._task(response.task)
            case _:
                return []

    def _artifact_update(self, update: TaskArtifactUpdateEvent) -> list[AgentEvent]:
        artifact = update.artifact
        mark = _mark(artifact)
        if mark.get("type") == "text":
            return self._own_text(artifact, mark, last=update.last_chunk)
        if mark.get("type") == "artifact":
            return self._files(artifact, artifact.parts)
        return self._foreign(artifact, append=update.append, last=update.last_chunk)

    def _own_text(
        self, artifact: Artifact, mark: dict[str, Any], *, last: bool
    ) -> list[AgentEvent]:
        key = str(mark.get("message_id", artifact.artifact_id))
        text = _whole(artifact.parts)
        self._texts[key] = text if last else self._texts.get(key, "") + text
        kind = TextFinal if last else TextDelta
        return [kind(message_id=key, text=text)]

    def _files(self, artifact: Artifact, parts: Sequence[Part]) -> list[AgentEvent]:
        self._produced.add(artifact.artifact_id)
        several = len(parts) > 1
        return [
            _produced(artifact, part, f"{artifact.artifact_id}-{n}" if several else None)
            for n, part in enumerate(parts, start=1)
        ]

    def _foreign(self, artifact: Artifact, *, append: bool, last: bool) -> list[AgentEvent]:
        files = [part for part in artifact.parts if not part.HasField("text")]
        events = self._files(artifact, files) if files else []
        if len(files) == len(artifact.parts):
            return events
        key, text = artifact.artifact_id, _whole(artifact.parts)
        if not append and self._said(key, text):
            return [*events, *self._settle(text)]
        if append or key not in self._texts:
            self._texts[key] = self._texts.get(key, "") + text
            self._open.add(key)
            events.append(TextDelta(message_id=key, text=text))
            return [*events, *self._close(key)] if last else events
        self._texts[key] = text
        return [*events, *self._close(key)]

    def _said(self, key: str, text: str) -> bool:
        return any(k != key and said.strip() == text.strip() for k, said in self._texts.items())

    def _settle(self, text: str) -> list[AgentEvent]:
        """Close the status text that an artifact now repeats."""
        said = self._texts.get(_STATUS_TEXT, "")
        return self._close(_STATUS_TEXT) if said.strip() == text.strip() else []

    def _close(self, key: str) -> list[AgentEvent]:
        if key not in self._texts:
            return []
        self._open.discard(key)
        return [TextFinal(message_id=key, text=self._texts[key])]

    def _status(self, status: TaskStatus) -> list[AgentEvent]:
        if status.state in _ENDED:
            return self._end(status)
        if not status.HasField("message"):
            return []
        message = status.message
        if _metadata(message, "type") == "thought":
            return [Thought(text=_text(message.parts))]
        events = [event for part in message.parts if (event := _known(part, _INSIDE))]
        return events or self._status_text(_text(message.parts))

    def _status_text(self, text: str) -> list[AgentEvent]:
        if not text or self._said(_STATUS_TEXT, text):
            return []
        said = self._texts.get(_STATUS_TEXT, "")
        piece = text[len(said) :] if said and text.startswith(said) else text
        if not piece:
            return []
        self._texts[_STATUS_TEXT] = said + piece
        self._open.add(_STATUS_TEXT)
        return [TextDelta(message_id=_STATUS_TEXT, text=piece)]

    def _end(self, status: TaskStatus) -> list[AgentEvent]:
        self._ended = True
        message = status.message if status.HasField("message") else Message()
        events: list[AgentEvent] = []
        if status.state == TaskState.TASK_STATE_COMPLETED:
            events += self._last_words(message)
        for key in sorted(self._open):
            events += self._close(key)
        return [*events, _end_event(status.state, message)]

    def _last_words(self, message: Message) -> list[AgentEvent]:
        text = _text(message.parts)
        if not text or self._said("", text):
            return []
        said = self._texts.get(_STATUS_TEXT, "")
        if said and text.startswith(said):
            self._texts[_STATUS_TEXT] = text
            return self._close(_STATUS_TEXT)
        return [TextFinal(message_id=message.message_id or "answer", text=text)]

    def _bare_message(self, message: Message) -> list[AgentEvent]:
        self._ended = True
        events: list[AgentEvent] = []
        if text := _text(message.parts):
            events.append(TextFinal(message_id=message.message_id, text=text))
        holder = Artifact(artifact_id=message.message_id or "message")
        files = [part for part in message.parts if not part.HasField("text")]
        return [*events, *self._files(holder, files), Completed()]

    def _task(self, task: Task) -> list[AgentEvent]:
        """A snapshot: of a task that goes on it tells nothing; of one that ended, what is new."""
        if task.status.state not in _ENDED:
            return []
        events: list[AgentEvent] = []
        for artifact in task.artifacts:
            events += self._snapshot(artifact)
        return [*events, *self._end(task.status)]

    def _snapshot(self, artifact: Artifact) -> list[AgentEvent]:
        mark = _mark(artifact)
        key = str(mark.get("message_id", artifact.artifact_id))
        texts = [part for part in artifact.parts if part.HasField("text")]
        if mark.get("type") != "artifact" and texts:
            return self._snapshot_text(key, _whole(texts))
        if artifact.artifact_id in self._produced:
            return []
        return self._files(artifact, artifact.parts)

    def _snapshot_text(self, key: str, text: str) -> list[AgentEvent]:
        if key not in self._open and (self._texts.get(key) == text or self._said(key, text)):
            return []
        self._texts[key] = text
        return self._close(key)


def _metadata(message: Message, key: str) -> Any:
    fields = message.metadata.fields
    return plain_value(fields[key]) if key in fields else None


def _mark(artifact: Artifact) -> dict[str, Any]:
    mark = MessageToDict(artifact.metadata).get("codin") if artifact.HasField("metadata") else None
    return mark if isinstance(mark, dict) else {}


def _whole(parts: Sequence[Part]) -> str:
    """The text of an artifact: servers keep each appended chunk as a part of its own."""
    return "".join(part.text for part in parts if part.HasField("text"))


def _text(parts: Sequence[Part]) -> str:
    return "\n".join(part.text for part in parts if part.HasField("text"))


def _known(part: Part, kinds: frozenset[str]) -> AgentEvent | None:
    """The event in a data part. What does not fit its schema is nobody's event."""
    if not part.HasField("data"):
        return None
    payload = part_value(part)
    if not isinstance(payload, dict) or payload.get("type") not in kinds:
        return None
    try:
        return _EVENT.validate_python({**payload, "kind": payload["type"]})
    except ValidationError:
        return None


def _produced(artifact: Artifact, part: Part, artifact_id: str | None) -> ArtifactProduced:
    content: dict[str, Any] = {}
    match part.WhichOneof("content"):
        case "text":
            content["text"] = part.text
        case "raw":
            content["raw"] = part.raw
        case "url":
            content["url"] = part.url
        case "data":
            content["data"] = part_value(part)
        case _:
            content["text"] = ""
    return ArtifactProduced(
        artifact_id=artifact_id or artifact.artifact_id,
        name=part.filename or artifact.name,
        description=artifact.description,
        media_type=part.media_type,
        **content,
    )


def _end_event(state: int, message: Message) -> AgentEvent:
    text = _text(message.parts)
    if state == TaskState.TASK_STATE_COMPLETED:
        return Completed()
    if state == TaskState.TASK_STATE_CANCELED:
        return Canceled(message=text)
    if state == TaskState.TASK_STATE_REJECTED:
        return Rejected(message=text if message.parts else "the agent gave no reason")
    if state in _WAITING:
        asked = [e for part in message.parts if (e := _known(part, frozenset({"input_request"})))]
        return asked[0] if asked else _foreign_request(state, message, text)
    return _failed(message, text)


def _foreign_request(state: int, message: Message, text: str) -> InputRequest:
    kind: Any = "auth" if state == TaskState.TASK_STATE_AUTH_REQUIRED else "input"
    return InputRequest(
        request_id=message.message_id or "input",
        prompt=text or "the agent needs an answer",
        request_kind=kind,
    )


def _failed(message: Message, text: str) -> Failed:
    for part in message.parts:
        payload = part_value(part) if part.HasField("data") else None
        if isinstance(payload, dict) and payload.get("type") == "error":
            return Failed(
                error_type=str(payload.get("error_type") or "AgentFailed"),
                message=str(payload.get("message", text)),
            )
    return Failed(error_type="AgentFailed", message=text or "the agent failed and gave no reason")
