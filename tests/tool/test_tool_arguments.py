"""Arguments that models send, put right or refused in words that help."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codin.tool import InvalidArguments, ToolSpec
from codin.tool.arguments import example, fit, positional

SPEC = ToolSpec(
    name="pick",
    input_schema={
        "type": "object",
        "properties": {
            "path": {"type": "string", "description": "the file"},
            "count": {"type": "integer", "minimum": 1, "default": 5},
            "share": {"type": "number"},
            "all": {"type": "boolean"},
            "columns": {"type": "array", "items": {"type": "string"}},
            "options": {"type": "object"},
            "mode": {"enum": ["fast", "slow"]},
            "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "size": {"$ref": "#/$defs/Size"},
        },
        "$defs": {"Size": {"type": "integer"}},
        "required": ["path"],
        "additionalProperties": False,
    },
)


@pytest.mark.parametrize(
    ("name", "given_", "fitted"),
    [
        ("count", "3", 3),
        ("count", 3.0, 3),
        ("size", "7", 7),
        ("share", "0.5", 0.5),
        ("share", 1, 1),
        ("all", "true", True),
        ("all", "False", False),
        ("columns", '["a", "b"]', ["a", "b"]),
        ("columns", "a", ["a"]),
        ("options", '{"a": 1}', {"a": 1}),
        ("limit", "none", None),
        ("limit", "4", 4),
        ("mode", " fast ", "fast"),
        ("path", 5, "5"),
        ("path", "5", "5"),
        ("path", "true", "true"),
    ],
)
def test_a_plain_slip_is_put_right(name: str, given_: Any, fitted: Any) -> None:
    result = fit(SPEC, {"path": "p", name: given_})
    assert result[name] == fitted
    assert type(result[name]) is type(fitted) or given_ == 3.0


@pytest.mark.parametrize("nothing", [None, "", "null", "None"])
def test_nothing_for_what_may_be_left_out_is_left_out(nothing: Any) -> None:
    assert fit(SPEC, {"path": "p", "count": nothing}) == {"path": "p"}


def test_all_arguments_may_come_as_text() -> None:
    assert fit(SPEC, '{"path": "p"}') == {"path": "p"}
    assert fit(ToolSpec(name="none"), "") == {}
    assert fit(ToolSpec(name="none"), None) == {}


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({}, r"pick: argument 'path' is missing: text \(the file\)\. Example: {\"path\": \"...\"}"),
        ({"path": "p", "file": 1}, "there is no argument 'file'; the arguments are: path, count"),
        ({"path": "p", "count": "many"}, "argument 'count' should be a whole number, not \"many\""),
        ({"path": "p", "count": 0}, "argument 'count': 0 is less than the minimum of 1"),
        ({"path": "p", "mode": "warp"}, 'argument \'mode\' should be one of "fast", "slow"'),
        ({"path": "p", "limit": []}, "argument 'limit' should be a whole number or null"),
        ({"path": "p", "columns": [1]}, r"argument 'columns\.0' should be text, not 1"),
        ({"path": "p", "size": {}}, "argument 'size' should be a whole number, not {}"),
        ("{broken", "the arguments are not JSON"),
        ("[1]", "have to be one JSON object"),
        ("[" * 100_000, "the arguments are not JSON"),
    ],
)
def test_a_refusal_says_what_would_do(given_: Any, message: str) -> None:
    with pytest.raises(InvalidArguments, match=message):
        fit(SPEC, given_)


def test_a_refusal_is_short_whatever_was_sent() -> None:
    with pytest.raises(InvalidArguments) as caught:
        fit(SPEC, {"path": "p", "count": "x" * 100_000})
    assert len(str(caught.value)) < 500


def test_a_schema_never_downloads() -> None:
    spec = ToolSpec(
        name="remote",
        input_schema={
            "type": "object",
            "properties": {"x": {"$ref": "http://127.0.0.1:9/schema.json"}},
        },
    )
    with pytest.raises(Exception, match=r"Unresolvable|127\.0\.0\.1"):
        fit(spec, {"x": 1})


VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.just("[1]"))


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.sampled_from([*SPEC.input_schema["properties"], "other"]),
        VALUES | st.lists(VALUES, max_size=2) | st.dictionaries(st.just("a"), VALUES),
    )
)
def test_whatever_comes_either_fits_or_is_refused(arguments: dict[str, Any]) -> None:
    try:
        fitted = fit(SPEC, arguments)
    except InvalidArguments:
        return
    assert fit(SPEC, fitted) == fitted


def test_positional_arguments_follow_the_schema() -> None:
    assert positional(SPEC, ("p", 2), {"all": True}) == {"path": "p", "count": 2, "all": True}
    with pytest.raises(InvalidArguments, match="'path' is given twice"):
        positional(SPEC, ("p",), {"path": "q"})
    with pytest.raises(InvalidArguments, match="takes 0 arguments"):
        positional(ToolSpec(name="none"), (1,), {})


def test_a_schema_may_bring_its_own_example() -> None:
    schema = {**SPEC.input_schema, "examples": [{"path": "report.md"}]}
    assert example(SPEC.model_copy(update={"input_schema": schema})) == '{"path": "report.md"}'
