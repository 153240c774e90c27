"""What a message says, as frameworks and their models take it."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from a2a.types import Message, Part, Role

from codin.agent._parts import jsonable, part_value
from codin.agent.base import AgentError, Task

_TEXTUAL = ("json", "xml", "yaml", "toml", "csv", "javascript", "markdown", "sql")
_FILE = ("raw", "url")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that came with a message: its bytes, or where they are."""

    name: str
    media_type: str
    raw: bytes | None = None
    url: str | None = None

    @property
    def kind(self) -> str:
        """What it is at all: image, audio, video, text or application."""
        return self.media_type.partition("/")[0]

    @property
    def base64(self) -> str:
        """The bytes as text; empty when only the URL is known."""
        return base64.b64encode(self.raw or b"").decode()

    @property
    def data_url(self) -> str:
        """A URL under which the bytes are had: that of the file, or one that holds them."""
        return self.url or f"data:{self.media_type};base64,{self.base64}"


def prompt(message: Message) -> str:
    """What a message says in words: its texts, its data as JSON, the files that are text."""
    return "\n".join(said for part in message.parts if (said := _words(part)) is not None)


def attachments(message: Message, *, reads: Sequence[str] = ()) -> list[Attachment]:
    """The files of ``message`` that are no text. ``reads`` are the kinds that there may be, such as
    image, audio or application/pdf.

    Raises:
        AgentError: one is of another kind; the message names it.
    """
    files = _files(message)
    for file in files:
        if not _readable(file, reads):
            can = ", ".join(["text", "data", *reads])
            raise AgentError(
                f"the agent cannot read the file {file.name or file.url or ''!r} "
                f"({file.media_type}): it reads {can}"
            )
    return files


def past(task: Task) -> Sequence[tuple[str, str]]:
    """The conversation before the task's message: ("user" or "assistant", text), oldest first."""
    return [(role, text) for role, text, _ in past_with_files(task) if text]


def past_with_files(
    task: Task, *, reads: Sequence[str] = ()
) -> Sequence[tuple[str, str, list[Attachment]]]:
    """The conversation with the files that users sent with their messages, as far as they are of
    the kinds ``reads``; messages that say nothing are left out."""
    said = []
    for message in task.history:
        if message.message_id == task.message.message_id and message.message_id:
            continue
        role = "assistant" if message.role == Role.ROLE_AGENT else "user"
        files = [f for f in _files(message) if role == "user" and _readable(f, reads)]
        if (text := prompt(message)) or files:
            said.append((role, text, files))
    return said


def with_past(task: Task) -> str:
    """What the task's message says, below the conversation so far, where there is one: for what
    takes one text and no messages."""
    said = prompt(task.message)
    before = "\n".join(f"{role}: {text}" for role, text in past(task))
    return (
        f"The conversation so far:\n{before}\n\nThe message to answer:\n{said}" if before else said
    )


def data_of(message: Message) -> dict[str, Any]:
    """The first data part that is an object; empty when there is none."""
    for part in message.parts:
        value = part_value(part) if part.HasField("data") else None
        if isinstance(value, dict):
            return value
    return {}


def result_text(value: Any) -> str:
    """A tool's result as the model reads it."""
    return value if isinstance(value, str) else json.dumps(jsonable(value), ensure_ascii=False)


def _words(part: Part) -> str | None:
    match part.WhichOneof("content"):
        case "text":
            return part.text
        case "data":
            return result_text(part_value(part))
        case "raw" | "url":
            file = _attachment(part)
            text = _text_of(file)
            return None if text is None else f"The file {file.name or 'sent along'}:\n{text}"
        case _:
            return None


def _files(message: Message) -> list[Attachment]:
    """The files of ``message`` that are no text."""
    files = [_attachment(p) for p in message.parts if p.WhichOneof("content") in _FILE]
    return [file for file in files if _text_of(file) is None]


def _readable(file: Attachment, reads: Sequence[str]) -> bool:
    return file.kind in reads or file.media_type in reads


def _attachment(part: Part) -> Attachment:
    media_type = part.media_type.partition(";")[0].strip().lower() or "application/octet-stream"
    if part.HasField("url"):
        return Attachment(part.filename, media_type, url=part.url)
    return Attachment(part.filename, media_type, raw=part.raw)


def _text_of(file: Attachment) -> str | None:
    """The contents of a file that is text by its type and by its bytes."""
    textual = file.kind == "text" or any(kind in file.media_type for kind in _TEXTUAL)
    if not textual or file.raw is None:
        return None
    try:
        return file.raw.decode()
    except UnicodeDecodeError:
        return None
