"""The bodies of requests: JSON, forms, files and text."""

from __future__ import annotations

import json
import mimetypes
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from codin.tool.openapi.styles import pairs_of, text_of

FILE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "A file: the path of one in the workspace, or its text.",
    "properties": {
        "path": {"type": "string", "description": "A file of the workspace, such as report.pdf"},
        "text": {"type": "string", "description": "The content itself, where it is text"},
        "filename": {"type": "string", "description": "What it is called over there"},
        "media_type": {
            "type": "string",
            "pattern": "^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+$",
            "description": "Such as application/pdf",
        },
    },
    "oneOf": [{"required": ["path"]}, {"required": ["text"]}],
    "additionalProperties": False,
}
"""How an argument gives a file."""

_OCTETS = "application/octet-stream"


def is_json(media_type: str) -> bool:
    """Whether ``media_type`` is JSON, also by its suffix (RFC 6839)."""
    plain = media_type.partition(";")[0].strip().lower()
    return plain == "application/json" or plain.endswith("+json")


@dataclass(frozen=True, slots=True)
class File:
    """The content of a file that goes out."""

    content: bytes
    name: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Field:
    """How one property of a form is written. ``style`` none: by what its value is."""

    media_type: str | None = None
    style: str | None = None
    explode: bool = True
    is_file: bool = False


@dataclass(frozen=True, slots=True)
class Body(ABC):
    """A body that the tool takes as ``argument``."""

    argument: str
    media_type: str
    required: bool

    @abstractmethod
    def content(self, value: Any, files: Mapping[str, File]) -> dict[str, Any]:
        """What ``httpx.Request`` takes for ``value``. ``files`` are those that it names, by path.

        Raises:
            ValueError: it cannot be written so.
        """

    def files(self, value: Any) -> list[str]:
        """The paths of the files that ``value`` names."""
        return []


class JsonBody(Body):
    """JSON of any shape."""

    def content(self, value: Any, files: Mapping[str, File]) -> dict[str, Any]:
        return _typed(json.dumps(value, ensure_ascii=False).encode(), self.media_type)


class TextBody(Body):
    """Text of any type."""

    def content(self, value: Any, files: Mapping[str, File]) -> dict[str, Any]:
        return _typed(text_of(value).encode(), self.media_type)


class FileBody(Body):
    """One file, which is the body as it is."""

    def content(self, value: Any, files: Mapping[str, File]) -> dict[str, Any]:
        file = _file(value, files)
        wanted = file.media_type if "*" in self.media_type else self.media_type
        return _typed(file.content, wanted)

    def files(self, value: Any) -> list[str]:
        return _paths(value)


@dataclass(frozen=True, slots=True)
class FormBody(Body):
    """``application/x-www-form-urlencoded``."""

    fields: Mapping[str, Field] = field(default_factory=dict)

    def content(self, value: Any, files: Mapping[str, File]) -> dict[str, Any]:
        pairs = [
            f"{name}={text}" for key, item in _items(value) for name, text in self._pairs(key, item)
        ]
        return _typed("&".join(pairs).encode(), self.media_type)

    def _pairs(self, key: str, value: Any) -> list[tuple[str, str]]:
        how = self.fields.get(key, Field())
        if how.style is None and isinstance(value, Mapping):
            # what is nested goes as JSON, where nothing else is said (OpenAPI 3.0.3, 4.7.15.1)
            value = json.dumps(value, ensure_ascii=False)
        return pairs_of(key, value, how.style or "form", explode=how.explode)


@dataclass(frozen=True, slots=True)
class MultipartBody(Body):
    """``multipart/form-data``: each property a part, each item of a list one of its own."""

    fields: Mapping[str, Field] = field(default_factory=dict)

    def content(self, value: Any, files: Mapping[str, File]) -> dict[str, Any]:
        parts = [
            (key, self._part(key, one, files))
            for key, item in _items(value)
            for one in (item if isinstance(item, list) else [item])
        ]
        # httpx writes an empty list of parts as no body at all
        return {"files": parts} if parts else _typed(b"", "application/x-www-form-urlencoded")

    def files(self, value: Any) -> list[str]:
        return [
            path
            for key, item in _items(value)
            if self.fields.get(key, Field()).is_file
            for one in (item if isinstance(item, list) else [item])
            for path in _paths(one)
        ]

    def _part(self, key: str, value: Any, files: Mapping[str, File]) -> tuple[Any, ...]:
        how = self.fields.get(key, Field())
        if how.is_file:
            file = _file(value, files)
            return file.name, file.content, how.media_type or file.media_type
        if isinstance(value, Mapping | list) or (how.media_type and is_json(how.media_type)):
            text = json.dumps(value, ensure_ascii=False)
            return None, text.encode(), how.media_type or "application/json"
        return (None, text_of(value).encode(), *([how.media_type] if how.media_type else []))


def _items(value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        raise ValueError("a form is an object, with a property for each field")
    return [(str(key), item) for key, item in value.items()]


def _paths(value: Any) -> list[str]:
    return [value["path"]] if isinstance(value, Mapping) and "path" in value else []


def _file(value: Any, files: Mapping[str, File]) -> File:
    if isinstance(value, str):
        value = {"text": value}
    if not isinstance(value, Mapping):
        raise ValueError("a file is given by its path in the workspace, or by its text")
    if (path := value.get("path")) is not None:
        file = files[path]
        content, name, kind = file.content, file.name, file.media_type
    else:
        content, name = str(value.get("text", "")).encode(), "file.txt"
        kind = "text/plain; charset=utf-8"
    name = str(value.get("filename") or name)
    return File(content, name, str(value.get("media_type") or _kind(value, name, kind)))


def _kind(value: Mapping[str, Any], name: str, kind: str) -> str:
    return mimetypes.guess_type(name)[0] or kind if value.get("filename") else kind


def media_type_of(name: str) -> str:
    """The media type that a file of that name has, as far as its name tells."""
    return mimetypes.guess_type(name)[0] or _OCTETS


def _typed(content: bytes, media_type: str) -> dict[str, Any]:
    return {"content": content, "headers": [("Content-Type", media_type)]}
