"""How values are written into a request: OpenAPI's styles (3.1.1, section 4.8.12.2, Style Values).

A style is a way to write one value as text, or as pairs of names and texts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from codin.tool.openapi.errors import UnusableOperation

Pairs = list[tuple[str, str]]
Quote = Callable[[str], str]

_UNRESERVED = "-._~"
_RESERVED = ":/?#[]@!$&'()*+,;="
DEFAULTS = {"query": "form", "cookie": "form", "path": "simple", "header": "simple"}
"""The style of a parameter that names none, by where it is."""
ALLOWED = {
    "query": frozenset({"form", "spaceDelimited", "pipeDelimited", "deepObject"}),
    "cookie": frozenset({"form"}),
    "path": frozenset({"simple", "label", "matrix"}),
    "header": frozenset({"simple"}),
}


def percent(text: str, *, reserved: bool = False) -> str:
    """``text`` percent-encoded; with ``reserved``, URLs' own characters stay as they are."""
    return quote(text, safe=_UNRESERVED + (_RESERVED if reserved else ""))


def text_of(value: Any) -> str:
    """A single value as text: as JSON writes it, without quotes."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False)


def checked_style(name: str, place: str, style: str | None) -> str:
    """The style of the parameter ``name`` in ``place``.

    Raises:
        UnusableOperation: there is no such style there.
    """
    style = style or DEFAULTS[place]
    if style not in ALLOWED[place]:
        raise UnusableOperation(f"its {place} parameter {name!r} has the style {style!r}")
    return style


def in_path(name: str, value: Any, style: str, *, explode: bool) -> str:
    """``value`` as it stands in a path. Raises ``ValueError`` for one that would change that."""
    prefix, between = {"simple": ("", ","), "label": (".", "."), "matrix": (";", ";")}[style]
    between = between if explode else ","
    if isinstance(value, Mapping):
        written = _object_in_path(name, value, style, between, explode=explode)
    elif _is_list(value):
        written = _list_in_path(name, value, style, between, explode=explode)
    else:
        written = _named(name, percent(text_of(value)), style)
    if written in {"", ".", ".."}:
        raise ValueError(f"'{name}' must not be {written!r}: it would lead to another path")
    return prefix + written


def _object_in_path(
    name: str, value: Mapping[str, Any], style: str, between: str, *, explode: bool
) -> str:
    pairs = [(percent(key), percent(text_of(item))) for key, item in value.items()]
    if explode:
        return between.join(f"{key}={text}" for key, text in pairs)
    return _named(name, ",".join(part for pair in pairs for part in pair), style)


def _list_in_path(
    name: str, value: Sequence[Any], style: str, between: str, *, explode: bool
) -> str:
    texts = [percent(text_of(item)) for item in value]
    if style == "matrix" and explode:
        return between.join(_named(name, text, style) for text in texts)
    return _named(name, between.join(texts), style)


def _named(name: str, text: str, style: str) -> str:
    if style != "matrix":
        return text
    return f"{percent(name)}={text}" if text else percent(name)


def in_header(value: Any, *, explode: bool) -> str:
    """``value`` as the text of a header. Raises ``ValueError`` for one that is no single line."""
    if isinstance(value, Mapping):
        join = "=" if explode else ","
        text = ",".join(f"{key}{join}{text_of(item)}" for key, item in value.items())
    elif _is_list(value):
        text = ",".join(text_of(item) for item in value)
    else:
        text = text_of(value)
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError("a header is one line of text")
    return text


def pairs_of(name: str, value: Any, style: str, *, explode: bool, write: Quote = percent) -> Pairs:
    """``value`` as pairs of a query, a form or cookies, both sides written by ``write``."""
    if style == "deepObject":
        return [(write(key), write(text)) for key, text in _deep(name, value)]
    if isinstance(value, Mapping):
        return _object_pairs(name, value, style, explode=explode, write=write)
    if not _is_list(value):
        return [(write(name), write(text_of(value)))]
    texts = [write(text_of(item)) for item in value]
    if explode and style == "form":
        return [(write(name), text) for text in texts]
    return [(write(name), _between(style).join(texts))] if texts else []


def _object_pairs(
    name: str, value: Mapping[str, Any], style: str, *, explode: bool, write: Quote
) -> Pairs:
    if explode and style == "form":
        return [(write(key), write(text_of(item))) for key, item in value.items()]
    parts = [write(text) for key, item in value.items() for text in (key, text_of(item))]
    return [(write(name), _between(style).join(parts))] if parts else []


def _between(style: str) -> str:
    return {"spaceDelimited": "%20", "pipeDelimited": "%7C"}.get(style, ",")


def _deep(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """What OpenAPI leaves open, as PHP, Rails and Stripe read it: lists by their places."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _deep(f"{name}[{key}]", item)
    elif _is_list(value):
        for number, item in enumerate(value):
            yield from _deep(f"{name}[{number}]", item)
    else:
        yield name, text_of(value)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)
