"""JSON Schemas of protobuf messages, as their JSON looks (ProtoJSON)."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

Json = dict[str, Any]

_WELL_KNOWN: dict[str, Json] = {
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array"},
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
}
_TEXT = {"type": "string"}
_SCALARS: dict[int, Json] = {
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_STRING: _TEXT,  # bytes too, in base64
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer"},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer"},
    # JSON's numbers do not hold 64 bits everywhere
    FieldDescriptor.CPPTYPE_INT64: _TEXT,
    FieldDescriptor.CPPTYPE_UINT64: _TEXT,
    FieldDescriptor.CPPTYPE_FLOAT: {"type": "number"},
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number"},
}


def message_schemas(message: Descriptor) -> dict[str, Json]:
    """The schema of ``message`` and of all that is in it, by name. Fields with their default value
    are left out of the JSON, so that none is required; each schema refers to others below
    ``#/components/schemas``, where OpenAPI has them."""
    found: dict[str, Json] = {}
    _collect(message, found)
    return found


def _collect(message: Descriptor, found: dict[str, Json]) -> None:
    if message.full_name in _WELL_KNOWN or message.name in found:
        return
    found[message.name] = {
        "type": "object",
        "properties": {field.json_name: _field(field) for field in message.fields},
        "additionalProperties": False,
    }
    for field in message.fields:
        inside = _value(field)
        if inside.message_type is not None:
            _collect(inside.message_type, found)


def _value(field: FieldDescriptor) -> FieldDescriptor:
    """The field itself; of a map, that of its values."""
    inside = field.message_type
    if inside is None or not inside.GetOptions().map_entry:
        return field
    found: FieldDescriptor = inside.fields_by_name["value"]
    return found


def _field(field: FieldDescriptor) -> Json:
    value = _value(field)
    if value is not field:
        return {"type": "object", "additionalProperties": _single(value)}
    return {"type": "array", "items": _single(field)} if field.is_repeated else _single(field)


def _single(field: FieldDescriptor) -> Json:
    if field.message_type is not None:
        name = field.message_type.full_name
        reference = {"$ref": f"#/components/schemas/{field.message_type.name}"}
        return _WELL_KNOWN.get(name, reference)
    if field.enum_type is not None:
        return {"type": "string", "enum": [value.name for value in field.enum_type.values]}
    return _SCALARS[field.cpp_type]
