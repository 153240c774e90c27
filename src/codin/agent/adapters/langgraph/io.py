"""What goes into a graph, and what comes out of its state."""

from __future__ import annotations

import base64
import binascii
import typing
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import PurePath
from typing import Any

from codin.agent._parts import jsonable
from codin.agent.adapters._message import Attachment, attachments, data_of, past_with_files, prompt
from codin.agent.base import AgentError, Task
from codin.agent.events import ArtifactProduced

MESSAGES = "messages"
_READS = ("image", "audio", "application/pdf")
_FILES = ("image", "audio", "video", "file")


def is_functional(graph: Any) -> bool:
    """Whether ``graph`` is of LangGraph's functional API, whose state is one value."""
    return not hasattr(graph, "builder") and isinstance(graph.input_channels, str)


def given(graph: Any, task: Task) -> Any:
    """The input of a run: the conversation as ``messages``, the fields that a data part gives.

    Raises:
        AgentError: the graph's input has no place for what the task says.
    """
    data = data_of(task.message)
    if is_functional(graph):
        return data or prompt(task.message)
    fields = _fields(graph)
    if MESSAGES in fields:
        own = fields.keys() - {MESSAGES}
        return {MESSAGES: _conversation(task), **(data if data and own >= data.keys() else {})}
    if data:
        return _checked(data, fields)
    texts = [name for name, kind in fields.items() if kind is str]
    if len(texts) == 1:
        return {texts[0]: prompt(task.message)}
    raise AgentError(
        f"the graph takes {_listed(fields)}, and the message has no data part with them; send one, "
        "or give the graph messages (MessagesState) or an input_schema with one text field"
    )


def outputs(graph: Any, values: Any) -> Iterator[tuple[str, Any]]:
    """What the end state has besides messages: name and value."""
    if is_functional(graph) or not isinstance(values, Mapping):
        if values is not None and not messages_in(values):
            yield "result", values
        return
    if (structured := values.get("structured_response")) is not None:
        yield _kind(structured), structured
    names = graph.output_channels
    if isinstance(names, str):
        names = [names]
    if MESSAGES not in names:
        yield "result", {name: values[name] for name in names if name in values}


def words(graph: Any, values: Any) -> str:
    """What a graph without messages says: its value, or the one text field of its output."""
    if is_functional(graph):
        return values if isinstance(values, str) else ""
    if not isinstance(values, Mapping) or MESSAGES in graph.output_channels:
        return ""
    texts = [values[n] for n in graph.output_channels if isinstance(values.get(n), str)]
    return texts[0] if len(texts) == 1 else ""


def data_artifact(name: str, value: Any) -> ArtifactProduced:
    """``value`` as a data artifact."""
    return ArtifactProduced(
        artifact_id=uuid.uuid4().hex, name=name, media_type="application/json", data=jsonable(value)
    )


def files_in(message: Any) -> Iterator[ArtifactProduced]:
    """The files that a message carries: content blocks with bytes or a URL, and, of a tool's
    message, LangChain ``Blob`` artifacts.

    Raises:
        AgentError: a block's bytes are no base64.
    """
    if not isinstance(message.content, str):
        for block in message.content_blocks:
            if block.get("type") in _FILES and ("base64" in block or "url" in block):
                yield _block(block)
    artifact = getattr(message, "artifact", None)
    for blob in artifact if isinstance(artifact, (list, tuple)) else [artifact]:
        if is_blob(blob):
            yield _blob(blob)


def is_blob(value: Any) -> bool:
    """Whether ``value`` is LangChain's kind of file."""
    return any(cls.__name__ == "Blob" for cls in type(value).__mro__) and hasattr(value, "as_bytes")


def all_messages(update: Any) -> Iterator[Any]:
    """The messages in a node's update or a state, whatever key they are under."""
    if isinstance(update, Mapping):
        for value in update.values():
            yield from all_messages(value)
    elif isinstance(update, (list, tuple)):
        for value in update:
            yield from all_messages(value)
    elif is_message(update):
        yield update


def messages_in(update: Any) -> list[Any]:
    return list(all_messages(update))


def is_message(value: Any) -> bool:
    return hasattr(value, "type") and hasattr(value, "response_metadata")


def _conversation(task: Task) -> list[Any]:
    from langchain_core.messages import AIMessage, HumanMessage

    files = attachments(task.message, reads=_READS)
    said = [*past_with_files(task, reads=_READS), ("user", prompt(task.message), files)]
    return [
        (AIMessage if role == "assistant" else HumanMessage)(
            _content(text, sent), id=uuid.uuid4().hex
        )
        for role, text, sent in said
    ]


def _content(text: str, files: Sequence[Attachment]) -> Any:
    if not files:
        return text
    words = [{"type": "text", "text": text}] if text else []
    return [*words, *map(_given_block, files)]


def _given_block(file: Attachment) -> dict[str, Any]:
    kind = file.kind if file.kind in _FILES else "file"
    block: dict[str, Any] = {"type": kind, "mime_type": file.media_type}
    if file.name and kind == "file":
        block["filename"] = file.name
    return {**block, "url": file.url} if file.url else {**block, "base64": file.base64}


def _fields(graph: Any) -> dict[str, Any]:
    """The names of the graph's input and their types, as far as these can be known."""
    builder = getattr(graph, "builder", None)
    if builder is None:
        return dict.fromkeys(graph.input_channels)
    schema = builder.input_schema
    try:
        types = typing.get_type_hints(schema)
    except Exception:  # annotations may name what is not to be had any more
        types = getattr(schema, "__annotations__", {})
    return {name: types.get(name) for name in builder.schemas[schema]}


def _checked(data: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    if unknown := data.keys() - fields.keys():
        raise AgentError(
            f"the message's data has {_listed(unknown)}, and the graph takes {_listed(fields)}"
        )
    return dict(data)


def _listed(names: Any) -> str:
    return ", ".join(map(repr, sorted(names))) or "nothing"


def _kind(value: Any) -> str:
    named = hasattr(value, "model_dump") or is_dataclass(value)
    return type(value).__name__ if named else "structured_response"


def _block(block: Mapping[str, Any]) -> ArtifactProduced:
    media_type = str(block.get("mime_type") or "application/octet-stream")
    made = {"artifact_id": uuid.uuid4().hex, "media_type": media_type, "name": _name(block)}
    if url := block.get("url"):
        return ArtifactProduced(**made, url=str(url))
    try:
        return ArtifactProduced(**made, raw=base64.b64decode(str(block["base64"])))
    except binascii.Error as error:
        raise AgentError(f"a {block['type']} in a message is no base64: {error}") from error


def _name(block: Mapping[str, Any]) -> str:
    extras = block.get("extras")
    for place in (block, extras if isinstance(extras, Mapping) else {}):
        for key in ("filename", "name", "title"):
            if isinstance(place.get(key), str):
                return str(place[key])
    return ""


def _blob(blob: Any) -> ArtifactProduced:
    name = blob.metadata.get("name") or PurePath(blob.source or "").name
    return ArtifactProduced(
        artifact_id=str(blob.id or uuid.uuid4().hex),
        name=str(name),
        media_type=blob.mimetype or "application/octet-stream",
        raw=blob.as_bytes(),
    )
