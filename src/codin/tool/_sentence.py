"""What is wrong with arguments, in words that a model can act on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jsonschema_rs import ValidationError

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
_CHOICES = ("anyOf", "oneOf")
_DEPTH = 8


def best(errors: Sequence[ValidationError]) -> ValidationError:
    """The error that says most: the one nearest to the top, and within a choice the one in the
    alternative that was plainly meant."""
    error = min(errors, key=_weight)
    for _ in range(_DEPTH):
        meant = _meant(error)
        if meant is None:
            break
        error = min(meant, key=_weight)
    return error


def sentence(schema: Mapping[str, Any], error: ValidationError) -> str:
    """What ``error`` says of arguments that were held against ``schema``."""
    around = _at(schema, error.schema_path[:-1])
    properties = around.get("properties", {})
    path = error.instance_path
    kind = error.kind.name
    if kind == "required":
        name = getattr(error.kind, "property", "")
        about = _expected(schema, properties.get(name, {}))
        return f"argument '{_place(*path, name)}' is missing: {about}."
    if kind == "additionalProperties":
        name = next(iter(getattr(error.kind, "unexpected", ())), "")
        known = ", ".join(_place(*path, key) for key in properties) or "none"
        return f"there is no argument '{_place(*path, name)}'; the arguments are: {known}."
    place = _place(*path)
    where = f"argument '{place}'" if place else "the arguments"
    if kind in ("type", "enum", "const", *_CHOICES):
        return f"{where} should be {_expected(schema, around)}, not {shown(error.instance)}."
    return f"{where}: {error.message[:300]}."


def misfit(error: ValidationError) -> str:
    """What ``error`` says of a result, in a few words and without what the result is."""
    place = _place("result", *error.instance_path)
    return f"{place} does not fit {_place(*error.schema_path[-3:]) or 'the schema'}"


def sample(schema: Mapping[str, Any]) -> str:
    """Arguments as JSON: the schema's own example, or one made from its types."""
    examples = schema.get("examples")
    if examples:
        return _json(examples[0])
    properties = schema.get("properties", {})
    return _json(
        {key: _sample(schema, properties.get(key, {})) for key in schema.get("required", ())}
    )


def shown(value: Any) -> str:
    """``value`` as JSON, in few characters."""
    text = _json(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _weight(error: ValidationError) -> tuple[int, bool]:
    return len(error.instance_path), error.kind.name in _CHOICES


def _meant(error: ValidationError) -> list[ValidationError] | None:
    """The errors of the one alternative whose type the value has; ``None`` if there are more."""
    branches = getattr(error.kind, "context", None) if error.kind.name in _CHOICES else None
    near = [
        branch
        for branch in branches or ()
        if branch and all(_typed(one, error.instance_path) for one in branch)
    ]
    return near[0] if len(near) == 1 else None


def _typed(error: ValidationError, path: list[str | int]) -> bool:
    return error.instance_path != path or error.kind.name not in ("type", "enum", "const")


def _at(schema: Mapping[str, Any], path: Sequence[str | int]) -> Mapping[str, Any]:
    found: Any = schema
    for part in path:
        try:
            found = found[part]
        except (LookupError, TypeError):
            return {}
    return found if isinstance(found, dict) else {}


def _followed(root: Mapping[str, Any], schema: Any) -> Mapping[str, Any]:
    """``schema`` with what it refers to inside ``root``; its own words come first."""
    for _ in range(_DEPTH):
        if not isinstance(schema, dict):
            return {}
        pointer = schema.get("$ref")
        if not isinstance(pointer, str) or not pointer.startswith("#/"):
            return schema
        parts = [p.replace("~1", "/").replace("~0", "~") for p in pointer[2:].split("/")]
        schema = {**_at(root, parts), **{k: v for k, v in schema.items() if k != "$ref"}}
    return {}


def _expected(root: Mapping[str, Any], schema: Any) -> str:
    schema = _followed(root, schema)
    if "enum" in schema:
        words = "one of " + ", ".join(_json(item) for item in schema["enum"][:40])
    elif "const" in schema:
        words = _json(schema["const"])
    else:
        kinds = _types(root, schema)
        words = " or ".join(_WORDS.get(kind, str(kind)) for kind in kinds) or "a value"
    about = schema.get("description")
    return f"{words} ({str(about)[:300]})" if about else words


def _types(root: Mapping[str, Any], schema: Any, depth: int = 0) -> list[str]:
    schema = _followed(root, schema)
    kind = schema.get("type")
    if kind is None and depth < _DEPTH:
        branches = [one for choice in _CHOICES for one in schema.get(choice, ())]
        return list(dict.fromkeys(n for one in branches for n in _types(root, one, depth + 1)))
    return list(kind) if isinstance(kind, list) else [kind] if kind else []


def _sample(root: Mapping[str, Any], schema: Any, depth: int = 0) -> Any:
    schema = _followed(root, schema)
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    for key in ("default", "const"):
        if key in schema:
            return schema[key]
    properties, required = schema.get("properties", {}), schema.get("required", ())
    if properties and required and depth < 2:
        return {key: _sample(root, properties.get(key, {}), depth + 1) for key in required}
    return _SAMPLES.get(next(iter(_types(root, schema)), ""), "...")


def _place(*path: str | int) -> str:
    return ".".join(map(str, path))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=repr)
