"""Schemas in which no reference leads back to where it came from."""

from __future__ import annotations

import json
from typing import Any

import pytest

from codin.agent.adapters.crewai.schema import without_circles


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        of(a={"type": "string"}),
        {**of(a={"$ref": "#/$defs/A"}, b={"$ref": "#/$defs/A"}), "$defs": {"A": of()}},
        of(a={"$ref": "#/$defs/none"}, b={"$ref": "https://example.org/"}, c={"$ref": 7}),
        {**of(a={"$ref": "#/$defs/x~1y"}), "$defs": {"x/y": {"items": [{"$ref": "#/$defs/Z"}]}}},
    ],
)
def test_what_has_no_circle_stays(schema: dict[str, Any]) -> None:
    assert without_circles(schema) is schema


def test_a_reference_that_leads_back_takes_anything() -> None:
    node = of(name={"type": "string"}, inner={"items": {"$ref": "#/$defs/Node", "title": "Next"}})
    schema = {**of(root={"$ref": "#/$defs/Node"}), "$defs": {"Node": node}}
    before = json.dumps(schema)
    assert without_circles(schema) == {
        **of(root={"$ref": "#/$defs/Node"}),
        "$defs": {"Node": of(name={"type": "string"}, inner={"items": {"title": "Next"}})},
    }
    assert json.dumps(schema) == before


@pytest.mark.parametrize(
    "schema",
    [
        of(itself={"$ref": "#"}),
        {"$ref": "#"},
        of(a={"$ref": "#/properties/b"}, b={"anyOf": [{"$ref": "#/properties/a"}, {}]}),
        {
            **of(a={"$ref": "#/$defs/B"}),
            "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}},
        },
        of(a={"prefixItems": [{}, {"$ref": "#/properties/a/prefixItems/1"}]}),
        of(a={"items": of(b={"$ref": "#/properties/a/items"})}),
    ],
)
def test_circles_of_each_kind_are_opened(schema: dict[str, Any]) -> None:
    opened = without_circles(schema)
    assert opened != schema
    assert without_circles(opened) is opened
    written_out(opened, opened)


def written_out(part: Any, root: dict[str, Any]) -> None:
    """Return when each reference can be followed to an end."""
    if isinstance(part, dict) and "$ref" in part:
        target: Any = root
        for name in part["$ref"][1:].split("/")[1:]:
            target = target[int(name)] if isinstance(target, list) else target[name]
        written_out(target, root)
    for inner in (
        part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    ):
        written_out(inner, root)
