"""What a message must be like."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cache
from typing import Any

from a2a.types import Message, Part, SendMessageRequest
from a2a.utils.errors import ContentTypeNotSupportedError, InvalidParamsError
from a2a.utils.proto_utils import validate_proto_required_fields
from a2a.utils.task import validate_history_length
from google.api.field_behavior_pb2 import FieldBehavior, field_behavior
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message as Proto

from codin.agent.answers import question_of
from codin.task._depth import MAX_DEPTH, is_too_deep
from codin.task.errors import StaleAnswer
from codin.task.log.rows import TaskRow
from codin.task.projection import data_parts

MAX_TEXT_BYTES = 256 * 1024
MAX_MESSAGE_BYTES = 8 * 1024 * 1024
MAX_ID_CHARS = 256
MAX_PARTS = 1000


def check_answer(row: TaskRow, message: Message) -> None:
    """Return when ``message`` answers what the task asks, as far as it says what it answers.

    Raises:
        StaleAnswer: it is about something that is asked no more.
    """
    named = question_of(message)
    asked = [
        one for one in data_parts({"status": row.status}) if one.get("type") == "input_request"
    ]
    if named and asked and named != asked[0].get("request_id"):
        raise StaleAnswer(
            f"the answer is to a question that task {row.task_id} does not ask any more: look at "
            "what it asks now"
        )


def check_message(params: SendMessageRequest) -> None:
    """Return when the message can be worked on.

    Raises:
        InvalidParamsError: it is empty, too long or too deep, or lacks what A2A requires.
    """
    message = params.message
    texts = [part.text for part in message.parts if part.HasField("text")]
    if not message.parts or (len(texts) == len(message.parts) and not "".join(texts).strip()):
        raise InvalidParamsError("the message is empty: say in a text part what is to be done")
    if len(message.parts) > MAX_PARTS:
        raise InvalidParamsError(
            f"the message has {len(message.parts):,} parts, more than the {MAX_PARTS:,} allowed"
        )
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
    if is_too_deep(message):
        raise InvalidParamsError(
            f"the message's data is nested deeper than the {MAX_DEPTH} levels allowed"
        )
    validate_history_length(params.configuration)
    if not _is_whole(params):
        validate_proto_required_fields(params)  # says what is missing


def _is_whole(message: Proto) -> bool:
    """Whether all that A2A requires is there; a tenth of the time of the SDK's own check."""
    present = message.ListFields()
    if not _required(message.DESCRIPTOR) <= {field.name for field, _ in present}:
        return False
    return all(_is_whole(part) for field, value in present for part in _messages(field, value))


def _messages(field: FieldDescriptor, value: Any) -> Iterable[Proto]:
    kind = field.message_type
    if kind is None or not _demands(kind):
        return ()
    if kind.GetOptions().map_entry:
        return [one for one in value.values() if isinstance(one, Proto)]
    return [value] if isinstance(value, Proto) else value


@cache
def _demands(kind: Descriptor) -> bool:
    """Whether anything in messages of this type, however deep, has to be there."""
    seen, left = set[str](), [kind]
    while left:
        one = left.pop()
        if one.full_name in seen or one.file.package.startswith("google."):
            continue
        seen.add(one.full_name)
        if _required(one):
            return True
        left += [field.message_type for field in one.fields if field.message_type is not None]
    return False


@cache
def _required(kind: Descriptor) -> frozenset[str]:
    return frozenset(
        field.name
        for field in kind.fields
        if FieldBehavior.REQUIRED in field.GetOptions().Extensions[field_behavior]
    )


def check_modes(message: Message, modes: Collection[str]) -> None:
    """Return when an agent that takes ``modes`` (media types; ``image/*`` are all images, ``*/*``
    is all) can read each part.

    Raises:
        ContentTypeNotSupportedError: it cannot.
    """
    for part in message.parts:
        mode = _mode(part)
        if not _among(mode, modes) and not _as_text(part, mode, modes):
            raise ContentTypeNotSupportedError(
                f"the agent cannot read {mode[:100]}: send {', '.join(modes)}"
            )


def _mode(part: Part) -> str:
    if part.media_type:
        return part.media_type.partition(";")[0].strip().lower()
    if part.HasField("text"):
        return "text/plain"
    return "application/json" if part.HasField("data") else "application/octet-stream"


def _among(mode: str, modes: Collection[str]) -> bool:
    kind = mode.partition("/")[0]
    return not {mode, f"{kind}/*", "*/*"}.isdisjoint(modes)


def _as_text(part: Part, mode: str, modes: Collection[str]) -> bool:
    """A text of any kind can be read as plain text."""
    return part.HasField("text") and mode.startswith("text/") and "text/plain" in modes
