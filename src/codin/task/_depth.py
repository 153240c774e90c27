"""How deep data may be nested in a message."""

from __future__ import annotations

from collections.abc import Iterable

from a2a.types import Message
from google.protobuf.struct_pb2 import Value

MAX_DEPTH = 25
"""Levels. Each is up to three in protobuf, whose parsers stop at a hundred: what is deeper could be
taken, and then not be shown within a task in a list of tasks."""


def is_too_deep(message: Message) -> bool:
    """Whether data or metadata in ``message`` has more than ``MAX_DEPTH`` levels."""
    level: list[Value] = [part.data for part in message.parts if part.HasField("data")]
    for held in (message, *message.parts):
        if held.HasField("metadata"):
            level += held.metadata.fields.values()
    for _ in range(MAX_DEPTH):
        if not level:
            return False
        level = [inner for value in level for inner in _inside(value)]
    return bool(level)


def _inside(value: Value) -> Iterable[Value]:
    match value.WhichOneof("kind"):
        case "struct_value":
            found: Iterable[Value] = value.struct_value.fields.values()
        case "list_value":
            found = value.list_value.values
        case _:
            found = ()
    return found
