"""JSON values in and out of A2A data parts, without loss.

A protobuf ``Value`` holds numbers as doubles and nests at most some hundred levels. What does not
fit is sent as JSON text, and the part's metadata names the fields that are so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from a2a.types import Part
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct, Value
from pydantic_core import to_jsonable_python

_EXACT = 2**53
_DEPTH = 24
_DEEPEST = 200  # pydantic goes no deeper than 255
_LEFT_OUT = "[what is nested deeper is left out]"
_TEXT_FIELDS = "codin_json"
"""Metadata key: names of the fields that hold JSON text; true when the whole value does."""


def clean_text(text: str) -> str:
    """``text`` with lone surrogates replaced: protobuf strings are UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")


def jsonable(value: Any) -> Any:
    """``value`` as JSON data, whatever it is; NaN and infinities become null, and what is nested
    without end is left out."""
    try:
        plain = _plain(value)
    except ValueError:
        plain = _plain(_cut(value, ()))
    return _clean(plain)


def _plain(value: Any) -> Any:
    return to_jsonable_python(
        value, serialize_unknown=True, bytes_mode="base64", inf_nan_mode="null"
    )


def _cut(value: Any, above: tuple[int, ...]) -> Any:
    if not isinstance(value, dict | list | tuple):
        return value
    if len(above) >= _DEEPEST or id(value) in above:
        return _LEFT_OUT
    inside = (*above, id(value))
    if isinstance(value, dict):
        return {key: _cut(one, inside) for key, one in value.items()}
    return [_cut(one, inside) for one in value]


def struct(values: Mapping[str, Any]) -> Struct:
    """A protobuf struct of small plain values."""
    result = Struct()
    result.update(dict(values))
    return result


def data_part(payload: Mapping[str, Any]) -> Part:
    """A data part of an object; fields that a ``Value`` cannot hold exactly become JSON text."""
    part = data_json(payload)
    made = Part(data=ParseDict(part["data"], Value()))
    if "metadata" in part:
        made.metadata.CopyFrom(struct(part["metadata"]))
    return made


def data_json(payload: Mapping[str, Any]) -> dict[str, Any]:
    """A2A's JSON of that part, without a detour by the protocol's messages."""
    fields = {key: jsonable(value) for key, value in payload.items()}
    textual = [key for key, value in fields.items() if not _fits(value)]
    for key in textual:
        fields[key] = json.dumps(fields[key])
    return {"data": fields, **({"metadata": {_TEXT_FIELDS: textual}} if textual else {})}


def value_part(value: Any) -> Part:
    """A data part of any JSON value."""
    plain = jsonable(value)
    if _fits(plain):
        return Part(data=ParseDict(plain, Value()))
    part = Part(data=Value(string_value=json.dumps(plain)))
    part.metadata.CopyFrom(struct({_TEXT_FIELDS: True}))
    return part


def part_value(part: Part) -> Any:
    """The JSON value of a data part, the other way round."""
    value = plain_value(part.data)
    textual = MessageToDict(part.metadata).get(_TEXT_FIELDS)
    if textual is True and isinstance(value, str):
        return _loads(value)
    if isinstance(textual, list) and isinstance(value, dict):
        return {k: _loads(v) if k in textual else v for k, v in value.items()}
    return value


def plain_value(value: Value) -> Any:
    """A protobuf value as plain Python data, with whole numbers as integers."""
    match value.WhichOneof("kind"):
        case "number_value":
            number = value.number_value
            whole = number.is_integer() and abs(number) <= _EXACT
            return int(number) if whole else number if math.isfinite(number) else None
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return {k: plain_value(v) for k, v in value.struct_value.fields.items()}
        case "list_value":
            return [plain_value(v) for v in value.list_value.values]
        case _:
            return None


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {clean_text(str(k)): _clean(v) for k, v in value.items()}
    return [_clean(v) for v in value] if isinstance(value, list) else value


def _fits(value: Any, depth: int = 0) -> bool:
    if isinstance(value, dict):
        return depth < _DEPTH and all(_fits(v, depth + 1) for v in value.values())
    if isinstance(value, list):
        return depth < _DEPTH and all(_fits(v, depth + 1) for v in value)
    return not isinstance(value, int) or abs(value) <= _EXACT


def _loads(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return text
