"""How values are written: the table of the specification, and what must not get through."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codin.tool.openapi.errors import UnusableOperation
from codin.tool.openapi.styles import checked_style, in_header, in_path, pairs_of

ONE, LIST, OBJECT = "blue", ["blue", "black", "brown"], {"R": 100, "G": 200, "B": 150}


def query(*arguments: Any, **options: Any) -> str:
    return "&".join(f"{name}={text}" for name, text in pairs_of(*arguments, **options))


# OpenAPI 3.1.1, section 4.8.12.4 (Style Examples)
@pytest.mark.parametrize(
    ("style", "explode", "one", "many", "several"),
    [
        ("matrix", False, ";color=blue", ";color=blue,black,brown", ";color=R,100,G,200,B,150"),
        (
            "matrix",
            True,
            ";color=blue",
            ";color=blue;color=black;color=brown",
            ";R=100;G=200;B=150",
        ),
        ("label", False, ".blue", ".blue,black,brown", ".R,100,G,200,B,150"),
        ("label", True, ".blue", ".blue.black.brown", ".R=100.G=200.B=150"),
        ("simple", False, "blue", "blue,black,brown", "R,100,G,200,B,150"),
        ("simple", True, "blue", "blue,black,brown", "R=100,G=200,B=150"),
    ],
)
def test_in_a_path(style: str, explode: bool, one: str, many: str, several: str) -> None:
    assert in_path("color", ONE, style, explode=explode) == one
    assert in_path("color", LIST, style, explode=explode) == many
    assert in_path("color", OBJECT, style, explode=explode) == several


@pytest.mark.parametrize(
    ("style", "explode", "many", "several"),
    [
        ("form", False, "color=blue,black,brown", "color=R,100,G,200,B,150"),
        ("form", True, "color=blue&color=black&color=brown", "R=100&G=200&B=150"),
        (
            "spaceDelimited",
            False,
            "color=blue%20black%20brown",
            "color=R%20100%20G%20200%20B%20150",
        ),
        ("pipeDelimited", False, "color=blue%7Cblack%7Cbrown", "color=R%7C100%7CG%7C200%7CB%7C150"),
    ],
)
def test_in_a_query(style: str, explode: bool, many: str, several: str) -> None:
    assert query("color", LIST, style, explode=explode) == many
    assert query("color", OBJECT, style, explode=explode) == several


def test_deep_objects() -> None:
    written = query("color", OBJECT, "deepObject", explode=True)
    assert written == "color%5BR%5D=100&color%5BG%5D=200&color%5BB%5D=150"
    nested = query("a", {"b": {"c": [1, {"d": True}]}}, "deepObject", explode=True)
    assert parse_qsl(nested) == [("a[b][c][0]", "1"), ("a[b][c][1][d]", "true")]


def test_single_values() -> None:
    assert query("q", "blue", "form", explode=True) == "q=blue"
    assert query("q", True, "form", explode=True) == "q=true"
    assert query("q", None, "form", explode=True) == "q="
    assert query("q", [], "form", explode=False) == ""
    assert query("q", 1.5, "form", explode=True) == "q=1.5"


@pytest.mark.parametrize("value", ["", ".", "..", [], [""]])
def test_what_would_lead_to_another_path_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="'id' must not be"):
        in_path("id", value, "simple", explode=False)


def test_what_belongs_to_the_path_stays_in_its_place() -> None:
    assert in_path("id", "a/../b?c#d", "simple", explode=False) == "a%2F..%2Fb%3Fc%23d"


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "\x00"])
def test_a_header_is_one_line(value: str) -> None:
    with pytest.raises(ValueError, match="one line"):
        in_header(value, explode=False)


def test_headers() -> None:
    assert in_header(LIST, explode=False) == "blue,black,brown"
    assert in_header(OBJECT, explode=False) == "R,100,G,200,B,150"
    assert in_header(OBJECT, explode=True) == "R=100,G=200,B=150"


@given(st.text(), st.text(min_size=1))
def test_any_text_comes_back_from_a_query(value: str, name: str) -> None:
    try:
        f"{name}{value}".encode()
    except UnicodeEncodeError:
        return
    written = query(name, value, "form", explode=True)
    assert parse_qsl(written, keep_blank_values=True) == [(name, value)]


def test_a_style_belongs_to_a_place() -> None:
    assert checked_style("q", "query", None) == "form"
    with pytest.raises(UnusableOperation, match="'q' has the style 'deepObject'"):
        checked_style("q", "path", "deepObject")
