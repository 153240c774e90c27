"""Schemas of a document as JSON Schema 2020-12, each once, with references kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from codin.tool._text import clean
from codin.tool.openapi.document import Document
from codin.tool.openapi.errors import UnusableOperation

Schema = dict[str, Any]

BUDGET = 24_000
"""Characters of JSON that one tool's schema may have, as a model is shown it."""
MOST_DESCRIPTION = 1_500
"""Characters of a description that are kept."""
_MAX_DEPTH = 80

_COMPONENTS = "#/components/schemas/"
_DEFS = "#/$defs/"
_TEXTS = frozenset({"description", "title"})
_MAPS = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs"})
_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_SINGLE = frozenset(
    {
        "not",
        "items",
        "additionalProperties",
        "propertyNames",
        "contains",
        "if",
        "then",
        "else",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
# What says nothing to whoever calls: OpenAPI's own words, and the plainest of JSON Schema.
_DROPPED = frozenset({"discriminator", "xml", "externalDocs", "example", "nullable", "$schema"})


@dataclass(frozen=True, slots=True)
class _Converted:
    schema: Schema | bool
    size: int
    refers: frozenset[str]


class Schemas:
    """Converts the schemas of one document. What is shared there is shared here: each component
    is converted once, and all that refer to it hold the same object.

    Schemas are for requests: what is read-only is not among the properties.
    """

    def __init__(self, document: Document, *, budget: int = BUDGET) -> None:
        self._document = document
        self._budget = budget
        self._components: dict[str, _Converted] = {}
        self._old = document.version == "3.0"

    def convert(self, schema: Any) -> Schema:
        """One schema, with references to ``$defs``, which ``closed`` puts into what holds it.

        Raises:
            UnusableOperation: it is no schema, or refers to what is not there.
        """
        converted = self._converted(schema)
        return converted if isinstance(converted, dict) else {}

    def followed(self, schema: Any) -> Mapping[str, Any]:
        """What ``schema`` is once its references are followed; empty for one that says nothing."""
        found = self._document.followed(schema)
        return found if isinstance(found, Mapping) else {}

    def closed(self, schema: Schema) -> Schema:
        """``schema`` with the ``$defs`` that it needs, within the budget.

        Those nearest to it come first. In the place of what does not fit is a schema that takes
        anything of the kind, and says so: the API itself checks what is sent.
        """
        size = len(json.dumps(schema, default=str))
        defs: dict[str, Any] = {}
        wave = sorted(set(_references(schema)))
        while wave:
            found: set[str] = set()
            for name in wave:
                component = self._component(name)
                fits = size + component.size <= self._budget
                defs[name] = component.schema if fits else _left_out(component.schema)
                size += component.size if fits else 0
                found |= component.refers if fits else set()
            wave = sorted(found - defs.keys())
        return {**schema, "$defs": defs} if defs else schema

    def _component(self, name: str) -> _Converted:
        if name not in self._components:
            raw = self._document.section("components", "schemas").get(name)
            if raw is None:
                raise UnusableOperation(f"it refers to the schema {name!r}, which is not there")
            schema = self._converted(raw)
            refers = frozenset(_references(schema))
            size = len(json.dumps(schema, default=str))
            self._components[name] = _Converted(schema, size, refers)
        return self._components[name]

    def _converted(self, schema: Any, depth: int = 0) -> Schema | bool:
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, Mapping):
            raise UnusableOperation(f"it has {str(schema)[:60]!r} where a schema should be")
        if depth > _MAX_DEPTH:
            raise UnusableOperation(f"a schema of it is nested more than {_MAX_DEPTH} deep")
        if isinstance(reference := schema.get("$ref"), str):
            return self._reference(reference, schema, depth)
        made: Schema = {}
        for key, value in schema.items():
            if key in _DROPPED or key.startswith("x-"):
                continue
            made[key] = self._part(key, value, depth)
        if self._old:
            _modernised(made, schema)
        _without_read_only(made, schema)
        return made

    def _part(self, key: str, value: Any, depth: int) -> Any:
        if key in _TEXTS and isinstance(value, str):
            return clean(value, MOST_DESCRIPTION)
        if key in _MAPS and isinstance(value, Mapping):
            return {name: self._converted(inner, depth + 1) for name, inner in value.items()}
        if key in _LISTS and isinstance(value, list):
            return [self._converted(inner, depth + 1) for inner in value]
        if key in _SINGLE:
            if isinstance(value, list):  # of drafts before 2020-12: each item has its own
                return [self._converted(inner, depth + 1) for inner in value]
            return self._converted(value, depth + 1)
        return value

    def _reference(self, reference: str, schema: Mapping[str, Any], depth: int) -> Schema | bool:
        if not reference.startswith(_COMPONENTS) or "/" in reference[len(_COMPONENTS) :]:
            # into the middle of something: what is there is taken as if it stood here
            return self._converted(self._document.followed(schema), depth + 1)
        name = unquote(reference[len(_COMPONENTS) :]).replace("~1", "/").replace("~0", "~")
        if name not in self._document.section("components", "schemas"):
            raise UnusableOperation(f"it refers to {reference}, which is not there")
        made: Schema = {"$ref": _DEFS + name.replace("~", "~0").replace("/", "~1")}
        if not self._old and isinstance(about := schema.get("description"), str):
            made["description"] = clean(about, MOST_DESCRIPTION)
        return made


def described(schema: Schema, about: str) -> Schema:
    """``schema`` with the description ``about``, where it has none of its own."""
    if not about or schema.get("description"):
        return schema
    return {**schema, "description": clean(about, MOST_DESCRIPTION)}


def _modernised(made: Schema, schema: Mapping[str, Any]) -> None:
    """What OpenAPI 3.0 says in words of its own, in those of 2020-12."""
    for bound, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(flag := made.get(bound), bool):
            del made[bound]
            if flag and limit in made:
                made[bound] = made.pop(limit)
    if schema.get("nullable") is not True:
        return
    if isinstance(kind := made.get("type"), str):
        made["type"] = [kind, "null"]
        if isinstance(choices := made.get("enum"), list) and None not in choices:
            made["enum"] = [*choices, None]
    elif any(word in made for word in ("anyOf", "oneOf", "allOf")):
        inner = dict(made)
        about = inner.pop("description", None)
        made.clear()
        made["anyOf"] = [inner, {"type": "null"}]
        if about is not None:
            made["description"] = about


def _without_read_only(made: Schema, schema: Mapping[str, Any]) -> None:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return
    hidden = {
        name
        for name, inner in properties.items()
        if isinstance(inner, Mapping) and inner.get("readOnly") is True
    }
    if hidden:
        made["properties"] = {k: v for k, v in made["properties"].items() if k not in hidden}
        if isinstance(needed := made.get("required"), list):
            made["required"] = [name for name in needed if name not in hidden]


def _left_out(schema: Schema | bool) -> Schema:
    if isinstance(schema, bool):
        return {}
    kept: Schema = {key: schema[key] for key in ("type", "title") if key in schema}
    about = str(schema.get("description", ""))[:100]
    return {**kept, "description": f"{about} (Its parts are not shown: too large.)".strip()}


def _references(schema: Any) -> Iterator[str]:
    waiting: list[Any] = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            reference = part.get("$ref")
            if isinstance(reference, str) and reference.startswith(_DEFS):
                yield reference[len(_DEFS) :].replace("~1", "/").replace("~0", "~")
            waiting.extend(_inner(part))
        elif isinstance(part, list):
            waiting.extend(part)


def _inner(schema: Schema) -> Iterable[Any]:
    return (
        value for key, value in schema.items() if isinstance(value, dict | list) and key != "enum"
    )
