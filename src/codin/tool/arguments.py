"""Arguments held against a schema: put right where a model's slip is plain, then checked."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import best_match
from referencing import Registry

from codin.tool.base import InvalidArguments, ToolSpec

_NOTHING = ("", "null", "none", "undefined")
_WORDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_SAMPLES = {
    "string": "...",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "array": [],
    "object": {},
}


def fit(spec: ToolSpec, arguments: Mapping[str, Any] | str | None) -> dict[str, Any]:
    """The arguments as the tool takes them.

    A value that does not fit is tried as what it plainly means: ``"3"`` as 3, a JSON text as the
    object in it, one item as a list of it, nothing for an argument that may be left out.

    Raises:
        InvalidArguments: they do not fit; the message says which argument, what was expected, and
            gives an example.
    """
    given = _as_object(spec, arguments)
    # An explicit registry: a "$ref" to an address is an error here, never a download.
    validator = Draft202012Validator(spec.input_schema, registry=Registry())
    properties = _properties(spec)
    required = set(spec.input_schema.get("required", ()))
    fitted: dict[str, Any] = {}
    for key, value in given.items():
        schema = properties.get(key)
        if schema is None or _valid(validator, value, schema):
            fitted[key] = value
            continue
        if key not in required and _is_nothing(value) and not _valid(validator, None, schema):
            continue
        fitted[key] = _put_right(validator, value, schema)
    error = best_match(validator.iter_errors(fitted))
    if error is not None:
        raise InvalidArguments(f"{spec.name}: {_sentence(spec, error)} Example: {example(spec)}")
    return fitted


def positional(spec: ToolSpec, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Positional and named arguments as one object, by the schema's order of properties.

    Raises:
        InvalidArguments: too many, or one given twice.
    """
    names = list(_properties(spec))
    if len(args) > len(names):
        raise InvalidArguments(
            f"{spec.name}: takes {len(names)} arguments ({', '.join(names)}), got {len(args)}"
        )
    placed = dict(zip(names, args, strict=False))
    twice = sorted(placed.keys() & kwargs.keys())
    if twice:
        raise InvalidArguments(f"{spec.name}: argument '{twice[0]}' is given twice")
    return {**placed, **kwargs}


def example(spec: ToolSpec) -> str:
    """A call's arguments as JSON: the schema's own example, or one made from its types."""
    examples = spec.input_schema.get("examples")
    if examples:
        return _json(examples[0])
    required = spec.input_schema.get("required", ())
    properties = _properties(spec)
    return _json({key: _sample(properties.get(key, {})) for key in required})


def _as_object(spec: ToolSpec, arguments: Mapping[str, Any] | str | None) -> dict[str, Any]:
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError) as error:
            raise InvalidArguments(
                f"{spec.name}: the arguments are not JSON ({error}). Example: {example(spec)}"
            ) from error
    if arguments is None:
        return {}
    if not isinstance(arguments, Mapping):
        raise InvalidArguments(
            f"{spec.name}: the arguments have to be one JSON object. Example: {example(spec)}"
        )
    return {str(key): value for key, value in arguments.items()}


def _properties(spec: ToolSpec) -> dict[str, Any]:
    properties: dict[str, Any] = spec.input_schema.get("properties", {})
    return properties


def _valid(validator: Draft202012Validator, value: Any, schema: Any) -> bool:
    return next(iter(validator.descend(value, schema)), None) is None


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in _NOTHING)


def _put_right(validator: Draft202012Validator, value: Any, schema: Any) -> Any:
    for candidate in _readings(value):
        if _valid(validator, candidate, schema):
            return candidate
    return value


def _readings(value: Any) -> Iterator[Any]:
    """What ``value`` may have been meant as, likeliest first."""
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in ("true", "false"):
            yield text.lower() == "true"
        with contextlib.suppress(ValueError, RecursionError):
            yield json.loads(text)
        if text.lower() in _NOTHING:
            yield None
        yield text
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, (dict, list)):
        yield _json(value)
    if not isinstance(value, list):
        yield [value]


def _sentence(spec: ToolSpec, error: ValidationError) -> str:
    properties = _properties(spec)
    if error.validator == "required" and not error.absolute_path:
        missing = [key for key in spec.input_schema["required"] if key not in _object(error)]
        return f"argument '{missing[0]}' is missing: {_expected(properties.get(missing[0], {}))}."
    if error.validator == "additionalProperties" and not error.absolute_path:
        unknown = [key for key in _object(error) if key not in properties]
        known = ", ".join(properties) or "none"
        return f"there is no argument '{unknown[0]}'; the arguments are: {known}."
    place = ".".join(str(part) for part in error.absolute_path) or "the arguments"
    if error.validator in ("type", "anyOf", "oneOf", "enum", "const"):
        schema = error.schema if isinstance(error.schema, dict) else {}
        return f"argument '{place}' should be {_expected(schema)}, not {_short(error.instance)}."
    return f"argument '{place}': {error.message[:300]}."


def _object(error: ValidationError) -> dict[str, Any]:
    return error.instance if isinstance(error.instance, dict) else {}


def _expected(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        words = "one of " + ", ".join(_json(item) for item in schema["enum"])
    elif "const" in schema:
        words = _json(schema["const"])
    else:
        words = " or ".join(_WORDS.get(kind, str(kind)) for kind in _types(schema)) or "a value"
    about = schema.get("description")
    return f"{words} ({about})" if about else words


def _types(schema: Mapping[str, Any]) -> list[str]:
    kind = schema.get("type")
    if kind is None:
        branches = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
        return list(dict.fromkeys(name for branch in branches for name in _types(branch)))
    return list(kind) if isinstance(kind, list) else [kind]


def _sample(schema: Mapping[str, Any]) -> Any:
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    if "default" in schema:
        return schema["default"]
    return _SAMPLES.get(next(iter(_types(schema)), ""), "...")


def _short(value: Any) -> str:
    text = _json(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=repr)
