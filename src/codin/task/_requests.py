"""What a message must be like, and what of a log is told over A2A."""

from __future__ import annotations

from datetime import UTC, datetime

from a2a.types import (
    Message,
    SendMessageRequest,
    Task,
    TaskArtifactUpdateEvent,
    TaskState,
    TaskStatusUpdateEvent,
)
from a2a.utils.errors import InvalidParamsError, PushNotificationNotSupportedError
from a2a.utils.proto_utils import validate_proto_required_fields
from a2a.utils.task import validate_history_length

from codin.agent.a2a import agent_message, data_part, status_update
from codin.task.log.base import LogEvent
from codin.task.projection import to_stream_response

MAX_TEXT_BYTES = 256 * 1024
MAX_MESSAGE_BYTES = 8 * 1024 * 1024
MAX_ID_CHARS = 256


def check_message(params: SendMessageRequest) -> None:
    """Return when the message can be worked on.

    Raises:
        InvalidParamsError: it is empty, too long, or lacks what A2A requires.
        PushNotificationNotSupportedError: it asks for push notifications.
    """
    message = params.message
    texts = [part.text for part in message.parts if part.HasField("text")]
    if not message.parts or (len(texts) == len(message.parts) and not "".join(texts).strip()):
        raise InvalidParamsError("the message is empty: say in a text part what is to be done")
    size = sum(len(text.encode()) for text in texts)
    if size > MAX_TEXT_BYTES:
        raise InvalidParamsError(
            f"the message's text has {size:,} bytes, more than the {MAX_TEXT_BYTES:,} allowed:"
            " put what is long into a file, and name the file"
        )
    if message.ByteSize() > MAX_MESSAGE_BYTES:
        raise InvalidParamsError(
            f"the message has {message.ByteSize():,} bytes, more than the {MAX_MESSAGE_BYTES:,}"
            " allowed"
        )
    for name in ("message_id", "context_id", "task_id"):
        if len(getattr(message, name)) > MAX_ID_CHARS:
            raise InvalidParamsError(
                f"the message's {name} is longer than {MAX_ID_CHARS} characters"
            )
    if params.configuration.HasField("task_push_notification_config"):
        raise PushNotificationNotSupportedError
    validate_history_length(params.configuration)
    validate_proto_required_fields(params)


def event_of(
    event: LogEvent, context_id: str
) -> Message | Task | TaskStatusUpdateEvent | TaskArtifactUpdateEvent | None:
    """What a client of A2A sees of ``event``. A child's event is a working status with a data part
    ``{"type": "child", "step", "agent", "task_id", "seq", "kind", "body"}``; records of calls, and
    messages that the client sent itself, are not told."""
    if event.kind == "child":
        return None if event.body["kind"] == "call" else _child(event, context_id)
    found = to_stream_response(event.kind, event.body)
    if found is None:
        return None
    if found.HasField("status_update"):
        return found.status_update
    return found.artifact_update if found.HasField("artifact_update") else found.task


def _child(event: LogEvent, context_id: str) -> TaskStatusUpdateEvent:
    message = agent_message(
        [data_part({"type": "child", **event.body})], context_id=context_id, task_id=event.task_id
    )
    message.message_id = f"{event.task_id}-{event.seq}"  # the same for everybody who reads it
    update = status_update(
        event.task_id,
        context_id,
        TaskState.TASK_STATE_WORKING,
        message,
        at=datetime.fromtimestamp(event.time, UTC),
    )
    return update.status_update
