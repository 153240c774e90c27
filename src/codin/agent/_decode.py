"""A2A stream responses of any agent as agent events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from a2a.types import (
    Artifact,
    Message,
    Part,
    Role,
    StreamResponse,
    Task,
    TaskArtifactUpdateEvent,
    TaskState,
    TaskStatus,
    TaskStatusUpdateEvent,
)
from google.protobuf.json_format import MessageToDict
from pydantic import TypeAdapter, ValidationError

from codin.agent._foreign import inside, is_thought, question_in
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
_INSIDE = frozenset({"tool_call", "tool_output", "tool_result", "handoff", "usage", "new_facts"})
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
    it comes in pieces or grows), and is not said twice when an artifact repeats it, or its end; a
    bare message is the whole answer, or a piece of it where it comes among a task's updates; what
    is unknown or malformed is left out. Give it each response of one stream in order, then perhaps
    a ``Task`` that was fetched to fill in a missing end.
    """

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._open: dict[str, None] = {}
        self._produced: set[str] = set()
        self._status_key = _STATUS_TEXT
        self._grows: bool | None = None
        self._pieces = ""
        self._question = ""
        self._in_task = False
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether the event that ends the run was decoded; nothing is decoded after it."""
        return self._ended

    @property
    def said(self) -> bool:
        """Whether there was anything of an answer."""
        return bool(self._texts or self._produced)

    def decode(self, response: StreamResponse) -> list[AgentEvent]:
        """The events that ``response`` says; none when it is empty or says nothing new."""
        if self._ended:
            return []
        payload = response.WhichOneof("payload")
        among_updates, self._in_task = self._in_task, self._in_task or payload is not None
        match payload:
            case "artifact_update":
                return self._artifact_update(response.artifact_update)
            case "status_update":
                return self._status(response.status_update)
            case "message":
                said = self._piece if among_updates else self._bare_message
                return said(response.message)
            case "task":
                return self._task(response.task)
            case _:
                return []

    def close(self) -> list[AgentEvent]:
        """End as completed a stream that says no more."""
        status = TaskStatus(state=TaskState.TASK_STATE_COMPLETED)
        return [] if self._ended else self._end(status)

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
        if question := question_in(artifact):
            self._question = question
            return []
        files = [part for part in artifact.parts if not part.HasField("text")]
        events = self._files(artifact, files) if files else []
        if len(files) == len(artifact.parts):
            return events
        key, text = artifact.artifact_id, _whole(artifact.parts)
        if not append and (repeated := self._repeated(key, text)) is not None:
            return [*events, *repeated]
        if append or key not in self._texts:
            self._texts[key] = self._texts.get(key, "") + text
            self._open[key] = None
            if text:
                events.append(TextDelta(message_id=key, text=text))
            return [*events, *self._close(key)] if last else events
        self._texts[key] = text
        return [*events, *self._close(key)]

    def _said(self, key: str, text: str) -> bool:
        return any(k != key and said.strip() == text.strip() for k, said in self._texts.items())

    def _repeated(self, key: str, text: str) -> list[AgentEvent] | None:
        """What a whole ``text`` that was said already still has to tell; None for a new one."""
        said = self._texts.get(self._status_key, "").rstrip()
        if self._pieces.strip() == text.strip() and self._status_key == _STATUS_TEXT:
            # Whatever the pieces seemed to be, this is what they were.
            self._texts[self._status_key] = said = self._pieces.rstrip()
        if self._said(key, text):
            return self._close(self._status_key) if said.strip() == text.strip() else []
        if self._status_key not in self._open or not said.endswith(text.strip()):
            return None
        if not text.strip():
            return []
        # Several messages were said in one row, and this is the last of them.
        self._texts[self._status_key] = said.removesuffix(text.strip()).rstrip()
        self._texts[key] = text
        return [*self._close(self._status_key), *self._close(key)]

    def _close(self, key: str) -> list[AgentEvent]:
        if key not in self._texts:
            return []
        self._open.pop(key, None)
        return [TextFinal(message_id=key, text=self._texts[key])]

    def _status(self, update: TaskStatusUpdateEvent) -> list[AgentEvent]:
        status = update.status
        if status.state in _ENDED:
            return self._end(status)
        message = status.message
        if _metadata(message, "type") == "thought":
            return [Thought(text=_text(message.parts))]
        events = [event for part in message.parts if (event := _known(part, _INSIDE))]
        return events or [*self._status_text(_text(message.parts)), *inside(update)]

    def _status_text(self, text: str) -> list[AgentEvent]:
        if not text or self._said(self._status_key, text):
            return []
        events: list[AgentEvent] = []
        self._pieces += text
        said = self._texts.get(self._status_key, "")
        grown = self._grows is not False and said and text.startswith(said)
        if grown and not (text := text[len(said) :]):
            return []
        if said and self._grows is None:
            self._grows = bool(grown)
        if self._grows and not grown:
            # Each message is said from its start, and here the next one starts.
            events += self._close(self._status_key)
            self._status_key = f"{_STATUS_TEXT}-{len(self._texts) + 1}"
            said = ""
        self._texts[self._status_key] = said + text
        self._open[self._status_key] = None
        return [*events, TextDelta(message_id=self._status_key, text=text)]

    def _piece(self, message: Message) -> list[AgentEvent]:
        """A bare message among a task's updates, as Agno gives each piece of a text."""
        text = "".join(part.text for part in message.parts if part.HasField("text"))
        if _metadata(message, "agno_content_category") == "reasoning":
            return [Thought(text=text)] if text else []
        files = [part for part in message.parts if not part.HasField("text")]
        key = message.message_id or "message"
        events = self._files(Artifact(artifact_id=key), files) if files else []
        if not text:
            return events
        self._texts[key] = self._texts.get(key, "") + text
        self._open[key] = None
        return [*events, TextDelta(message_id=key, text=text)]

    def _end(self, status: TaskStatus) -> list[AgentEvent]:
        self._ended = True
        message = status.message if status.HasField("message") else Message()
        completed = status.state == TaskState.TASK_STATE_COMPLETED
        words = self._last_words(message) if completed else []
        # The last words come last: they are the answer.
        left = [event for key in list(self._open) for event in self._close(key)]
        return [*left, *words, _end_event(status.state, message, self._question)]

    def _last_words(self, message: Message) -> list[AgentEvent]:
        text, key = _text(message.parts), message.message_id or "answer"
        if not text or (key not in self._open and self._said("", text)):
            return []
        if key in self._open:
            self._texts[key] = text
            return self._close(key)
        said = self._texts.get(self._status_key, "")
        if said and text.startswith(said):
            self._texts[self._status_key] = text
            return self._close(self._status_key)
        if (repeated := self._repeated(key, text)) is not None:
            return repeated
        return [TextFinal(message_id=key, text=text)]

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
        status = TaskStatus()
        status.CopyFrom(task.status)
        if not status.HasField("message") and not _has_answer(task):
            status.message.CopyFrom(_last_said(task))
        return [*events, *self._end(status)]

    def _snapshot(self, artifact: Artifact) -> list[AgentEvent]:
        if question := question_in(artifact):
            self._question = question
            return []
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


def _has_answer(task: Task) -> bool:
    return any(part.HasField("text") for artifact in task.artifacts for part in artifact.parts)


def _last_said(task: Task) -> Message:
    """The newest message of a task's history, when it is the agent's: for servers that give their
    answer nowhere else."""
    last = task.history[-1] if task.history else Message()
    inside = _metadata(last, "type") == "thought"
    return last if last.role == Role.ROLE_AGENT and not inside else Message()


def _metadata(message: Message, key: str) -> Any:
    fields = message.metadata.fields
    return plain_value(fields[key]) if key in fields else None


def _mark(artifact: Artifact) -> dict[str, Any]:
    mark = MessageToDict(artifact.metadata).get("codin") if artifact.HasField("metadata") else None
    return mark if isinstance(mark, dict) else {}


def _whole(parts: Sequence[Part]) -> str:
    """The text of an artifact: servers keep each appended chunk as a part of its own."""
    return "".join(part.text for part in parts if part.HasField("text") and not is_thought(part))


def _text(parts: Sequence[Part]) -> str:
    return "\n".join(part.text for part in parts if part.HasField("text") and not is_thought(part))


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


def _end_event(state: int, message: Message, question: str) -> AgentEvent:
    text = _text(message.parts)
    if state == TaskState.TASK_STATE_COMPLETED:
        return Completed()
    if state == TaskState.TASK_STATE_CANCELED:
        return Canceled(message=text)
    if state == TaskState.TASK_STATE_REJECTED:
        return Rejected(message=text if message.parts else "the agent gave no reason")
    if state in _WAITING:
        asked = [e for part in message.parts if (e := _known(part, frozenset({"input_request"})))]
        return asked[0] if asked else _foreign_request(state, message, question or text)
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
