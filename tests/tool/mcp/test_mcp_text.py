"""What servers say, before models read it."""

from typing import Any

import mcp_types as types
import pytest

from codin.tool._text import clean, clean_schema
from codin.tool.mcp.listing import Wanted, name_in, offers_of


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[31mred\x07\x00", "[31mred"),
        ("zero\u200bwidth \u202eturned\u2066 \U000e0041tag", "zerowidth turned tag"),
        ("Größe, 尺寸, 📏", "Größe, 尺寸, 📏"),
        ("x" * 100, "x" * 39 + "…"),
        ("\u200b" * 1_000_000, "…"),
    ],
)
def test_what_hides_is_taken_out_and_what_is_long_is_cut(said: str, kept: str) -> None:
    assert clean(said, 40) == kept


def test_all_descriptions_of_a_schema_are_cleaned_and_nothing_else() -> None:
    schema = {
        "type": "object",
        "description": "a\u200b",
        "properties": {
            "title": {"type": "string", "title": "t\x00", "default": "kept\u200b"},
            "description": {"anyOf": [{"description": "b\u202e", "enum": ["c\u200b"]}]},
        },
        "$defs": {"description": {"const": {"description": "kept\u200b"}}},
    }
    assert clean_schema(schema, 50) == {
        "type": "object",
        "description": "a",
        "properties": {
            "title": {"type": "string", "title": "t", "default": "kept\u200b"},
            "description": {"anyOf": [{"description": "b", "enum": ["c\u200b"]}]},
        },
        "$defs": {"description": {"const": {"description": "kept\u200b"}}},
    }


def tool(name: str, **given: Any) -> types.Tool:
    return types.Tool(name=name, **{"input_schema": {"type": "object"}, **given})


@pytest.mark.parametrize(
    ("hints", "effects"),
    [
        (None, "once"),
        (types.ToolAnnotations(), "once"),
        (types.ToolAnnotations(read_only_hint=True, idempotent_hint=True), "none"),
        (types.ToolAnnotations(idempotent_hint=True), "repeatable"),
        (types.ToolAnnotations(read_only_hint=False, destructive_hint=False), "once"),
    ],
)
def test_hints_are_effects(hints: types.ToolAnnotations | None, effects: str) -> None:
    (offer,), _ = offers_of([tool("a", annotations=hints)], Wanted("x"))
    assert offer.effects == effects


def test_long_names_are_cut_and_stay_apart() -> None:
    names = [name_in("space", "n" * 100 + end) for end in ("a", "b")]
    assert len(set(names)) == 2
    assert all(len(name) == 64 for name in names)


def test_of_the_tools_those_are_taken_that_are_wanted() -> None:
    tools = [tool("get_a"), tool("get_b"), tool("drop")]
    offers, problems = offers_of(tools, Wanted("x", ("get_*",)))
    assert [offer.name for offer in offers] == ["x_get_a", "x_get_b"]
    assert problems == ()


def test_a_bad_output_schema_costs_the_schema_only() -> None:
    (offer,), problems = offers_of([tool("a", output_schema={"type": "no"})], Wanted("x"))
    assert offer.output_schema is None
    assert problems == ()


def test_a_schema_without_a_bottom_costs_its_tool_only() -> None:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(5_000):
        schema = {"type": "object", "properties": {"a": schema}}
    offers, (problem,) = offers_of([tool("deep", input_schema=schema), tool("a")], Wanted("x"))
    assert [offer.name for offer in offers] == ["x_a"]
    assert "its tool 'deep' is left out: its input schema is too deep" in problem


def test_a_schema_may_name_itself() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/node"}}}
    (offer,), problems = offers_of(
        [tool("a", input_schema={**schema, "$defs": {"node": node}})], Wanted("x")
    )
    assert offer.input_schema["$defs"]["node"] == node
    assert problems == ()


def test_there_is_an_end_to_tools() -> None:
    offers, problems = offers_of((tool(f"t{n}") for n in range(10_000)), Wanted("x"))
    assert len(offers) == 2_000
    assert problems == ("it has more than 2,000 tools: the others are left out",)


@pytest.mark.parametrize("field", ["description", "input_schema", "output_schema", "annotations"])
def test_whatever_changes_in_a_tool_changes_its_mark(field: str) -> None:
    other = {
        "description": "other",
        "input_schema": {"type": "object", "title": "other"},
        "output_schema": {"type": "object"},
        "annotations": types.ToolAnnotations(read_only_hint=True),
    }
    (first,), _ = offers_of([tool("a")], Wanted("x"))
    (second,), _ = offers_of([tool("a", **{field: other[field]})], Wanted("x"))
    assert first.mark != second.mark
