"""Where the parts of messages and artifacts are in what a log has, and what of them is large.

A part whose content is stored elsewhere has, instead of its ``text``, ``raw`` or ``data``, the key
``stored``: ``{"digest", "size", "as"}``. A2A knows no such key, so nothing that comes over a wire
can have it.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from codin.jsontext import encoded

Json = dict[str, Any]
Path = tuple[str | int, ...]

STORED = "stored"

LARGE_BYTES = 64 * 1024
"""A content of more than this is stored by its digest."""

_TYPES = {"text": "text/plain", "data": "application/json", "raw": "application/octet-stream"}


def places(kind: str, body: Mapping[str, Any]) -> Iterator[Path]:
    """Where lists of parts are in the body of an event of ``kind``."""
    match kind:
        case "artifact":
            yield "artifact", "parts"
        case "message":
            yield ("parts",)
        case "status":
            yield "status", "message", "parts"
        case "task" | "begun":
            yield "status", "message", "parts"
            for name in ("history", "artifacts"):
                for number in range(len(body.get(name, ()))):
                    yield name, number, "parts"
        case "child":
            for path in places(body["kind"], body["body"]):
                yield ("body", *path)


def parts_at(body: Any, path: Path) -> Sequence[Mapping[str, Any]]:
    """The parts at ``path``; none when there is no such place."""
    for key in path:
        if isinstance(key, str):
            body = body.get(key) if isinstance(body, Mapping) else None
        else:
            body = body[key]
        if not body:
            return ()
    found: Sequence[Mapping[str, Any]] = body
    return found


def with_parts(body: Any, path: Path, parts: Sequence[Mapping[str, Any]]) -> Any:
    """A copy of ``body`` with ``parts`` at ``path``; the rest is shared with it."""
    if not path:
        return parts
    copied: Any = dict(body) if isinstance(body, Mapping) else list(body)
    copied[path[0]] = with_parts(body[path[0]], path[1:], parts)
    return copied


def large_content(part: Mapping[str, Any]) -> tuple[str, bytes] | None:
    """What ``part`` has its content as, and the content as bytes; ``None`` when it is not large."""
    for name, to_bytes in (("text", _text_bytes), ("raw", _raw_bytes), ("data", encoded)):
        value = part.get(name)
        if value is None or (isinstance(value, str) and len(value) * 4 <= LARGE_BYTES):
            continue
        content = to_bytes(value)
        if content is not None and len(content) > LARGE_BYTES:
            return name, content
    return None


def referring(part: Mapping[str, Any], digest: str, name: str, size: int) -> Json:
    """``part`` with a reference in the place of its content."""
    rest = {key: value for key, value in part.items() if key != name}
    return {**rest, STORED: {"digest": digest, "size": size, "as": name}}


def restored(part: Mapping[str, Any], content: bytes) -> Json:
    """``part``, which refers to ``content``, as it was."""
    rest = {key: value for key, value in part.items() if key != STORED}
    name = part[STORED]["as"]
    match name:
        case "text":
            return {name: content.decode(), **rest}
        case "raw":
            return {name: base64.b64encode(content).decode(), **rest}
        case _:
            return {name: json.loads(content), **rest}


def linked(part: Mapping[str, Any], url: str) -> Json:
    """``part``, which refers to a content, as one that says where it is."""
    rest = {key: value for key, value in part.items() if key != STORED}
    kept = part[STORED]
    about = {"type": STORED, "digest": kept["digest"], "size": kept["size"]}
    return {
        **rest,
        "url": url,
        "mediaType": rest.get("mediaType") or _TYPES[kept["as"]],
        "metadata": {**rest.get("metadata", {}), "codin": about},
    }


def about(part: Mapping[str, Any], name: str) -> dict[str, str]:
    """What ``part``, which has its content as ``name``, says of it."""
    media_type = str(part.get("mediaType") or _TYPES[name])
    return {"media_type": media_type, "name": str(part.get("filename") or "")}


def digests_in(kind: str, body: Mapping[str, Any]) -> set[str]:
    """The contents that an event of ``kind`` refers to."""
    parts = (part for path in places(kind, body) for part in parts_at(body, path))
    return {part[STORED]["digest"] for part in parts if STORED in part}


def _text_bytes(text: str) -> bytes | None:
    try:
        return text.encode()
    except UnicodeEncodeError:  # half a surrogate pair has no bytes: the log escapes it
        return None


def _raw_bytes(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
