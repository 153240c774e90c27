"""Agent events as A2A 1.0 stream responses, and back.

Text goes as artifact updates, one artifact a message, marked by artifact metadata
``{"codin": {"type": "text"}}``; what is produced goes as artifact updates marked ``"artifact"``;
all else as status updates whose message carries a data part ``{"type": KIND, ...fields}``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from a2a.types import (
    Artifact,
    Message,
    Part,
    Role,
    StreamResponse,
    TaskArtifactUpdateEvent,
    TaskState,
    TaskStatus,
    TaskStatusUpdateEvent,
)
from google.protobuf.json_format import MessageToDict

from codin.agent._decode import EventDecoder
from codin.agent._parts import clean_text, data_part, struct, value_part
from codin.agent.events import (
    AgentEvent,
    ArtifactProduced,
    Canceled,
    Completed,
    EndEvent,
    Failed,
    InputRequest,
    Rejected,
    TextDelta,
    TextFinal,
    Thought,
)
from codin.ids import new_id

__all__ = [
    "EventDecoder",
    "EventEncoder",
    "agent_message",
    "bare_status",
    "data_part",
    "is_reply",
    "status_update",
    "text_message",
    "text_part",
    "user_message",
]

Json = dict[str, Any]

MARK = "codin"
"""Key in metadata of what only codin knows of."""
RECALLED = "codin_recalled"
"""Key in a message's metadata of what was recalled from memory for it. It is never sent to anybody
else's agent."""
REPLY = "reply"
"""Type, in a status message's metadata, of an answer that is a message and no task."""


def text_part(text: str, *, media_type: str = "") -> Part:
    """A text part. Lone surrogates are replaced, as the wire is UTF-8."""
    return Part(text=clean_text(text), media_type=media_type)


def user_message(
    text: str = "",
    *,
    context_id: str = "",
    task_id: str = "",
    parts: Sequence[Part] = (),
    metadata: Mapping[str, Any] | None = None,
) -> Message:
    """A message from the user's side: ``text`` first when there is any, then ``parts``."""
    head = [text_part(text)] if text else []
    return _message(Role.ROLE_USER, [*head, *parts], context_id, task_id, metadata)


def agent_message(
    parts: Sequence[Part],
    *,
    context_id: str = "",
    task_id: str = "",
    metadata: Mapping[str, Any] | None = None,
) -> Message:
    """A message from the agent's side."""
    return _message(Role.ROLE_AGENT, parts, context_id, task_id, metadata)


def text_message(text: str, *, context_id: str, task_id: str) -> Json:
    """A2A's JSON of a message from the agent's side that is text."""
    return {
        "messageId": new_id(),
        "contextId": context_id,
        "taskId": task_id,
        "role": "ROLE_AGENT",
        "parts": [{"text": clean_text(text)}],
    }


def status_update(
    task_id: str,
    context_id: str,
    state: TaskState,
    message: Message | None = None,
    *,
    at: datetime | None = None,
) -> StreamResponse:
    """A status update, stamped ``at`` (UTC now when not given)."""
    status = TaskStatus(state=state, message=message)
    status.timestamp.FromDatetime(at or datetime.now(UTC))
    update = TaskStatusUpdateEvent(task_id=task_id, context_id=context_id, status=status)
    return StreamResponse(status_update=update)


def bare_status(state: str, *, at: datetime | None = None) -> dict[str, Any]:
    """A2A's JSON of a status that says no more than the state, stamped ``at`` (UTC now when not
    given)."""
    stamp = (at or datetime.now(UTC)).isoformat(timespec="microseconds")
    return {"state": state, "timestamp": stamp.replace("+00:00", "Z")}


def is_reply(message: Mapping[str, Any]) -> bool:
    """Whether a task's last status message, as JSON, is the whole answer, to be given as it is."""
    mark = message.get("metadata", {}).get(MARK)
    return isinstance(mark, Mapping) and mark.get("type") == REPLY


class EventEncoder:
    """Writes one run's events as A2A stream responses. It remembers which texts were begun.

    Never gives a bare ``Message``: clients of the SDK stop reading a stream there.
    """

    def __init__(
        self,
        task_id: str,
        context_id: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._task_id = task_id
        self._context_id = context_id
        self._now = now
        self._begun: set[str] = set()

    def encode(self, event: AgentEvent) -> list[StreamResponse]:
        """The stream responses that say ``event``, in order."""
        return [self._response(event)]

    def encode_json(self, event: AgentEvent) -> tuple[Literal["status", "artifact"], Json]:
        """What ``encode`` gives, as A2A's JSON: of which kind the update is, and the update. What
        agents say most is written down without a detour by the protocol's messages."""
        match event:
            case TextDelta(message_id=key) | TextFinal(message_id=key):
                key = clean_text(key)
                last = isinstance(event, TextFinal)
                append = not last and key in self._begun
                self._begun.add(key)
                artifact: Json = {
                    "artifactId": f"text-{key}",
                    "parts": [{"text": clean_text(event.text)}],
                    "metadata": {MARK: {"type": "text", "message_id": key}},
                }
                return "artifact", self._update(artifact, append=append, last=last)
            case ArtifactProduced(text=str(text), raw=None, url=None):
                said = {"name": event.name, "description": event.description}
                part = {"filename": event.name, "mediaType": event.media_type}
                artifact = {
                    "artifactId": clean_text(event.artifact_id),
                    **_given(said),
                    "parts": [{"text": clean_text(text), **_given(part)}],
                    "metadata": {MARK: {"type": "artifact"}},
                }
                return "artifact", self._update(artifact, append=False, last=True)
            case Completed(reply=""):
                status = bare_status("TASK_STATE_COMPLETED", at=self._now())
                ids = {"taskId": self._task_id, "contextId": self._context_id}
                return "status", {**ids, "status": status}
        response = self._response(event)
        if response.HasField("status_update"):
            return "status", MessageToDict(response.status_update)
        return "artifact", MessageToDict(response.artifact_update)

    def _update(self, artifact: Json, *, append: bool, last: bool) -> Json:
        ids = {"taskId": self._task_id, "contextId": self._context_id}
        marks = {"append": append, "lastChunk": last}
        return {**ids, "artifact": artifact, **{key: True for key, on in marks.items() if on}}

    def _response(self, event: AgentEvent) -> StreamResponse:
        match event:
            case TextDelta() | TextFinal():
                return self._text(event, last=isinstance(event, TextFinal))
            case ArtifactProduced():
                return self._produced(event)
            case Completed(reply=text) if text:
                mark = {MARK: {"type": REPLY}}
                return self._status(TaskState.TASK_STATE_COMPLETED, [text_part(text)], mark)
            case Completed() | Failed() | Canceled() | Rejected() | InputRequest():
                return self._status(*_end(event))
            case Thought(text=text):
                return self._working([text_part(text)], {"type": "thought"})
            case _:
                return self._working([_event_part(event)])

    def _text(self, event: TextDelta | TextFinal, *, last: bool) -> StreamResponse:
        key = event.message_id
        append = not last and key in self._begun
        self._begun.add(key)
        artifact = Artifact(artifact_id=f"text-{key}", parts=[text_part(event.text)])
        artifact.metadata.CopyFrom(struct({MARK: {"type": "text", "message_id": key}}))
        return self._artifact(artifact, append=append, last=last)

    def _produced(self, event: ArtifactProduced) -> StreamResponse:
        artifact = Artifact(
            artifact_id=event.artifact_id,
            name=clean_text(event.name),
            description=clean_text(event.description),
            parts=[_content_part(event)],
        )
        artifact.metadata.CopyFrom(struct({MARK: {"type": "artifact"}}))
        return self._artifact(artifact, append=False, last=True)

    def _artifact(self, artifact: Artifact, *, append: bool, last: bool) -> StreamResponse:
        update = TaskArtifactUpdateEvent(
            task_id=self._task_id,
            context_id=self._context_id,
            artifact=artifact,
            append=append,
            last_chunk=last,
        )
        return StreamResponse(artifact_update=update)

    def _working(
        self, parts: Sequence[Part], metadata: Mapping[str, Any] | None = None
    ) -> StreamResponse:
        return self._status(TaskState.TASK_STATE_WORKING, parts, metadata)

    def _status(
        self,
        state: TaskState,
        parts: Sequence[Part] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> StreamResponse:
        message = None
        if parts:
            message = agent_message(
                parts, context_id=self._context_id, task_id=self._task_id, metadata=metadata
            )
        return status_update(self._task_id, self._context_id, state, message, at=self._now())


def _message(
    role: Role,
    parts: Sequence[Part],
    context_id: str,
    task_id: str,
    metadata: Mapping[str, Any] | None,
) -> Message:
    message = Message(
        message_id=new_id(),
        role=role,
        parts=parts,
        context_id=context_id,
        task_id=task_id,
    )
    if metadata:
        message.metadata.CopyFrom(struct(metadata))
    return message


def _given(texts: Mapping[str, str]) -> Json:
    """Those of ``texts`` that are not empty, which is all that A2A's JSON has of them."""
    return {key: clean_text(text) for key, text in texts.items() if text}


def _event_part(event: AgentEvent) -> Part:
    absent = (field for field in ("state", "call", "reason") if getattr(event, field, None) is None)
    left_out = {"kind", *absent}
    fields = {name: value for name, value in event if name not in left_out}
    return data_part({"type": event.kind, **fields})


def _end(event: EndEvent) -> tuple[TaskState, list[Part]]:
    match event:
        case Failed(message=text):
            payload = {"type": "error", **event.model_dump(exclude={"kind"})}
            return TaskState.TASK_STATE_FAILED, [text_part(text), data_part(payload)]
        case Canceled(message=text):
            return TaskState.TASK_STATE_CANCELED, [text_part(text)] if text else []
        case Rejected(message=text):
            return TaskState.TASK_STATE_REJECTED, [text_part(text)]
        case InputRequest(prompt=text):
            return _input_state(event), [text_part(text), _event_part(event)]
        case _:
            return TaskState.TASK_STATE_COMPLETED, []


def _input_state(event: InputRequest) -> TaskState:
    auth = event.request_kind == "auth"
    return TaskState.TASK_STATE_AUTH_REQUIRED if auth else TaskState.TASK_STATE_INPUT_REQUIRED


def _content_part(event: ArtifactProduced) -> Part:
    if event.raw is not None:
        part = Part(raw=event.raw)
    elif event.url is not None:
        part = Part(url=clean_text(event.url))
    elif event.text is not None:
        part = Part(text=clean_text(event.text))
    else:
        part = value_part(event.data)
    part.filename = clean_text(event.name)
    part.media_type = clean_text(event.media_type)
    return part
