"""Arguments that models send, put right or refused in words that help."""

import gc
import time
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codin.tool import InvalidArguments, ToolDefinitionError, ToolSpec, _compiled
from codin.tool._compiled import schemas_of
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
            "trip": {"$ref": "#/$defs/Trip"},
            "to": {"anyOf": [{"type": "integer"}, {"$ref": "#/$defs/Trip"}]},
        },
        "$defs": {
            "Size": {"type": "integer"},
            "Trip": {
                "type": "object",
                "properties": {
                    "km": {"type": "number", "description": "how far"},
                    "stops": {"type": "array", "items": {"$ref": "#/$defs/Trip"}},
                },
                "required": ["km"],
                "additionalProperties": False,
            },
        },
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
        ({"path": "p", "trip": {}}, r"argument 'trip\.km' is missing: a number \(how far\)"),
        (
            {"path": "p", "trip": {"km": 1, "at": 2}},
            r"there is no argument 'trip\.at'; the arguments are: trip\.km, trip\.stops",
        ),
        (
            {"path": "p", "trip": {"km": 1, "stops": [{"km": "far"}]}},
            r"argument 'trip\.stops\.0\.km' should be a number \(how far\), not \"far\"",
        ),
        ({"path": "p", "to": "home"}, "argument 'to' should be a whole number or an object, not"),
        ({"path": "p", "to": {"km": []}}, r"argument 'to\.km' should be a number \(how far\)"),
        ({"path": "p", "trip": 5}, "argument 'trip' should be an object, not 5"),
        ("{broken", "the arguments are not JSON"),
        ("[1]", "have to be one JSON object"),
        ("[" * 100_000, "the arguments are not JSON"),
    ],
)
def test_a_refusal_says_what_would_do(given_: Any, message: str) -> None:
    with pytest.raises(InvalidArguments, match=message):
        fit(SPEC, given_)


def test_a_refusal_takes_no_longer_for_many_mistakes() -> None:
    begun = time.process_time()
    with pytest.raises(InvalidArguments, match=r"'columns\.0' should be text, not 0"):
        fit(SPEC, {"path": "p", "columns": list(range(200_000))})
    assert time.process_time() - begun < 2
    text = "x" * 500_000
    assert fit(SPEC, {"path": text, "count": "3"}) == {"path": text, "count": 3}


def test_a_refusal_is_short_whatever_was_sent() -> None:
    with pytest.raises(InvalidArguments) as caught:
        fit(SPEC, {"path": "p", "count": "x" * 100_000})
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("http://127.0.0.1:9/schema.json", r"retrieval is disabled.*127\.0\.0\.1"),
        ("file:///etc/passwd", "retrieval is disabled"),
        ("#/$defs/Gone", r"'/\$defs/Gone' does not exist"),
    ],
)
def test_a_schema_is_never_fetched(reference: str, said: str) -> None:
    schema = {"type": "object", "properties": {"x": {"$ref": reference}}}
    spec = ToolSpec(name="remote", input_schema=schema)
    with pytest.raises(ToolDefinitionError, match=f"(?i)remote: .* cannot be used: .*{said}"):
        fit(spec, {"x": 1})


def test_a_schema_that_refers_to_itself_is_followed_only_so_far() -> None:
    schema = {
        "type": "object",
        "properties": {"x": {"$ref": "#/$defs/A"}},
        "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "string"}]}},
        "required": ["x"],
    }
    with pytest.raises(InvalidArguments, match="argument 'x' is missing: text"):
        fit(ToolSpec(name="loop", input_schema=schema), {})
    around = {"type": "object", "properties": {"x": {"$ref": "#/properties/x"}}, "required": ["x"]}
    with pytest.raises((InvalidArguments, ToolDefinitionError)):
        fit(ToolSpec(name="round", input_schema=around), {})


def test_what_code_gives_is_taken_as_json_would_have_it() -> None:
    spec = ToolSpec(
        name="days",
        input_schema={
            "type": "object",
            "properties": {"on": {"type": "string"}, "tags": {"type": "array"}},
        },
    )
    assert fit(spec, {"on": date(2026, 1, 2), "tags": {"a"}}) == {"on": "2026-01-02", "tags": ["a"]}
    with pytest.raises(InvalidArguments, match="argument 'count' should be a whole number"):
        fit(SPEC, {"path": "p", "count": float("nan")})


def test_a_spec_keeps_its_own_validator() -> None:
    numbers = ToolSpec(name="a", input_schema={"properties": {"x": {"type": "integer"}}})
    texts = numbers.model_copy(update={"input_schema": {"properties": {"x": {"type": "string"}}}})
    assert fit(numbers, {"x": "1"}) == {"x": 1}
    assert fit(texts, {"x": 1}) == {"x": "1"}
    assert schemas_of(numbers).input is schemas_of(numbers).input
    before = len(_compiled._known)
    del numbers, texts
    gc.collect()
    assert len(_compiled._known) <= before - 2


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
