"""Values that fit a JSON Schema: small, the same each time, and with all that is named in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from hypothesis import Phase, find, settings, strategies
from hypothesis.errors import HypothesisException

_DEPTH = 4
_FORMATS = {
    "date-time": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "time": "03:04:05Z",
    "uri": "https://example.com/x",
    "url": "https://example.com/x",
    "email": "somebody@example.com",
    "uuid": "3d813cbb-47fb-42ba-91df-831e1593ac29",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "byte": "aGVsbG8=",
}


class SampleError(ValueError):
    """No value could be made for a schema."""


def sample(schema: Mapping[str, Any], *, optional: bool = True) -> Any:
    """A value that fits ``schema``, whose references lead into its own ``$defs``.

    ``optional`` says whether properties that may be left out are there, as far as they are not
    nested too deep.
    """
    return _Sampler(schema, optional=optional).value(schema, 0)


class _Sampler:
    def __init__(self, root: Mapping[str, Any], *, optional: bool) -> None:
        self._defs = root.get("$defs", {})
        self._optional = optional

    def value(self, schema: Any, depth: int) -> Any:
        if not isinstance(schema, Mapping):
            return "x"
        if depth > 12:
            raise SampleError("it never ends")
        if "$ref" in schema:
            name = schema["$ref"].removeprefix("#/$defs/").replace("~1", "/").replace("~0", "~")
            return self.value(self._defs[name], depth + 1)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][0]
        for word in ("oneOf", "anyOf"):
            if schema.get(word):
                return self._chosen(schema, word, depth)
        if schema.get("allOf"):
            return self._all(schema, depth)
        return self._typed(schema, depth)

    def _chosen(self, schema: Mapping[str, Any], word: str, depth: int) -> Any:
        rest = {key: value for key, value in schema.items() if key != word}
        for branch in schema[word]:
            try:
                return self.value(_merged(rest, self._followed(branch)), depth + 1)
            except SampleError:
                continue
        raise SampleError(f"none of {word} can be made")

    def _all(self, schema: Mapping[str, Any], depth: int) -> Any:
        merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            merged = _merged(merged, self._followed(part))
        return self.value(merged, depth + 1)

    def _followed(self, schema: Any) -> dict[str, Any]:
        while isinstance(schema, Mapping) and "$ref" in schema:
            name = schema["$ref"].removeprefix("#/$defs/").replace("~1", "/").replace("~0", "~")
            schema = self._defs[name]
        return dict(schema) if isinstance(schema, Mapping) else {}

    def _typed(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((one for one in kind if one != "null"), "null")
        if kind is None:
            kind = "object" if "properties" in schema else "array" if "items" in schema else None
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                count = max(int(schema.get("minItems", 0)), 1 if depth < _DEPTH else 0)
                return [self.value(schema.get("items", {}), depth + 1)] * count
            case "integer" | "number":
                return _number(schema, whole=kind == "integer")
            case "boolean":
                return True
            case "null":
                return None
        return _text(schema)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        required = set(schema.get("required", ()))
        made: dict[str, Any] = {}
        for name, inner in (schema.get("properties") or {}).items():
            if name in required or (self._optional and depth < _DEPTH):
                try:
                    made[name] = self.value(inner, depth + 1)
                except SampleError:
                    if name in required:
                        raise
        for name in required - made.keys():
            made[name] = "x"
        return made


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    made = {**one, **other}
    for key in ("properties",):
        if key in one and key in other:
            made[key] = {**one[key], **other[key]}
    if "required" in one and "required" in other:
        made["required"] = [*one["required"], *other["required"]]
    if "allOf" in one and "allOf" in other:
        made["allOf"] = [*one["allOf"], *other["allOf"]]
    return made


def _number(schema: Mapping[str, Any], *, whole: bool) -> Any:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    value = 1 if low is None else low + ("exclusiveMinimum" in schema)
    if high is not None and value > high:
        value = high - ("exclusiveMaximum" in schema)
    if step := schema.get("multipleOf"):
        value = step * max(round(value / step), 1)
    return int(value) if whole else value


def _text(schema: Mapping[str, Any]) -> str:
    least, most = int(schema.get("minLength", 0)), int(schema.get("maxLength", 1000))
    if "pattern" in schema:
        return _matching(schema["pattern"], least, most)
    text = _FORMATS.get(str(schema.get("format")), "x")
    return (text + "x" * max(least - len(text), 0))[:most]


@cache
def _matching(pattern: str, least: int, most: int) -> str:
    try:
        texts = strategies.from_regex(pattern, alphabet=strategies.characters(codec="ascii"))
        quiet = settings(database=None, derandomize=True, phases=[Phase.generate])
        return find(
            texts, lambda text: least <= len(text) <= most and text.isprintable(), settings=quiet
        )
    except (HypothesisException, re.error, OverflowError) as error:
        raise SampleError(f"nothing was found for the pattern {pattern!r}") from error
