"""JSON Schema from a function's signature and docstring."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from types import GenericAlias
from typing import Any

import docstring_parser
from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic_core import to_jsonable_python

from codin.tool.base import ToolDefinitionError
from codin.tool.context import ToolContext
from codin.tool.functions.secret import secret_of

_SCHEMA_ERRORS = (PydanticSchemaGenerationError, PydanticUserError, PydanticInvalidForJsonSchema)
_PLAIN = (str, int, float, bool, type(None), Any, list, dict)


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function's signature says, as a tool's schema.

    ``adapters`` convert those arguments whose type is more than JSON's own; ``context`` is the
    name of the parameter that takes the ``ToolContext``, and ``secrets`` has the parameters that
    take secrets, with the names of these.
    """

    description: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None = None
    context: str | None = None
    adapters: dict[str, TypeAdapter[Any]] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)


def signature_of(fn: Callable[..., Any], name: str) -> Signature:
    """Read ``fn``.

    Raises:
        ToolDefinitionError: a parameter without annotation, of a type that JSON cannot carry, or
            of a kind that cannot be given by name; the message names it.
    """
    hints = _hints(fn, name)
    doc = docstring_parser.parse(inspect.getdoc(fn) or "")
    about = {entry.arg_name: entry.description or "" for entry in doc.params}
    context: str | None = None
    adapters: dict[str, TypeAdapter[Any]] = {}
    parameters: dict[str, inspect.Parameter] = {}
    secrets: dict[str, str] = {}
    for key, parameter in inspect.signature(fn).parameters.items():
        _check_kind(parameter, name)
        if key not in hints:
            raise ToolDefinitionError(
                f"tool '{name}': parameter '{key}' has no type annotation; write one, such as "
                f"'{key}: str' ({_where(fn)})"
            )
        if _is_context(hints[key]):
            context = key
            continue
        if (secret := secret_of(hints[key], key, name)) is not None:
            secrets[key] = secret
            continue
        parameters[key] = parameter
        adapters[key] = _adapter(hints[key], key, name)
    schema = _input_schema(parameters, adapters, about, name)
    return Signature(
        description=_description(doc),
        input_schema=schema,
        output_schema=_output_schema(_collected(fn, hints.get("return"))),
        context=context,
        adapters={key: a for key, a in adapters.items() if not _is_plain(hints[key])},
        secrets=secrets,
    )


def _hints(fn: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(fn, include_extras=True)
    except Exception as error:
        raise ToolDefinitionError(
            f"tool '{name}': an annotation cannot be resolved: {error} ({_where(fn)})"
        ) from error


def _check_kind(parameter: inspect.Parameter, name: str) -> None:
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    if parameter.kind not in named:
        raise ToolDefinitionError(
            f"tool '{name}': parameter '{str(parameter).split(':')[0]}' cannot be given by name; "
            "a tool's parameters are all named, so write them out one by one"
        )


def _is_context(hint: Any) -> bool:
    return hint is ToolContext or ToolContext in typing.get_args(hint)


def _is_plain(hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin is None:
        return hint in _PLAIN
    if origin is typing.Literal:
        return True
    if origin is typing.Annotated:
        return _is_plain(typing.get_args(hint)[0])
    united = origin is typing.Union or type(hint).__name__ == "UnionType"
    return (united or origin in (list, dict)) and all(map(_is_plain, typing.get_args(hint)))


def _adapter(hint: Any, key: str, name: str) -> TypeAdapter[Any]:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(hint)
        adapter.json_schema()
    except _SCHEMA_ERRORS as error:
        raise ToolDefinitionError(
            f"tool '{name}': parameter '{key}' has type {hint!r}, which JSON cannot carry; use "
            "str, int, float, bool, list, dict, Literal, an Enum, a dataclass or a pydantic model"
        ) from error
    return adapter


def _input_schema(
    parameters: dict[str, inspect.Parameter],
    adapters: dict[str, TypeAdapter[Any]],
    about: dict[str, str],
    name: str,
) -> dict[str, Any]:
    made, shared = TypeAdapter.json_schemas(
        [(key, "validation", adapter) for key, adapter in adapters.items()]
    )
    properties: dict[str, Any] = {}
    for key, parameter in parameters.items():
        schema = _untitled(made[(key, "validation")])
        if about.get(key):
            schema["description"] = " ".join(about[key].split())
        if parameter.default is not inspect.Parameter.empty:
            schema["default"] = _default(parameter, name)
        properties[key] = schema
    required = [k for k, p in parameters.items() if p.default is inspect.Parameter.empty]
    result: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    result["additionalProperties"] = False
    if shared.get("$defs"):
        result["$defs"] = {key: _untitled(value) for key, value in shared["$defs"].items()}
    return result


def _default(parameter: inspect.Parameter, name: str) -> Any:
    try:
        return to_jsonable_python(parameter.default)
    except Exception as error:
        raise ToolDefinitionError(
            f"tool '{name}': the default of '{parameter.name}' is no JSON data: "
            f"{parameter.default!r}; use None and fill it in inside"
        ) from error


def _collected(fn: Callable[..., Any], hint: Any) -> Any:
    """What comes of a generator in the end: texts as one text, anything else as a list."""
    if not (inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn)):
        return hint
    items = typing.get_args(hint)
    if not items:
        return None
    return str if items[0] is str else GenericAlias(list, items[0])


def _output_schema(hint: Any) -> dict[str, Any] | None:
    if hint in (None, type(None), Any):
        return None
    try:
        schema: dict[str, Any] = _untitled(TypeAdapter(hint).json_schema(mode="serialization"))
        return schema
    except _SCHEMA_ERRORS:
        return None


def _untitled(schema: Any) -> Any:
    """Without pydantic's titles: they repeat the names, and models pay for each word."""
    if isinstance(schema, list):
        return [_untitled(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {}
    for key, value in schema.items():
        if key == "properties" and isinstance(value, dict):
            kept[key] = {name: _untitled(item) for name, item in value.items()}
        elif key in ("default", "const", "enum", "examples") or key != "title":
            kept[key] = value if key in ("default", "const", "examples") else _untitled(value)
    return kept


def _description(doc: docstring_parser.Docstring) -> str:
    parts = [doc.short_description or "", doc.long_description or ""]
    return "\n".join(part.strip() for part in parts if part.strip())


def _where(fn: Callable[..., Any]) -> str:
    code = getattr(fn, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(fn)
