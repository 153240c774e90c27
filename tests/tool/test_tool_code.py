"""Python as models write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codin.tool.builtin._code import prepare


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("print(1)", "print(1)"),
        ("```python\nprint(1)\n```", "print(1)"),
        ("```\nprint(1)\n```\n", "print(1)"),
        ("Here it is:\n```python\nprint(1)\n```\nDone.", "print(1)\n"),
        ("a = 1\\nprint(a)", "a = 1\nprint(a)"),
        ("for x in [1]:\\n\\tprint(x)", "for x in [1]:\n\tprint(x)"),
        ('print(\\"a\\")\\nprint(2)', 'print("a")\nprint(2)'),
        ("print('a\\nb')", "print('a\\nb')"),
        ("not python\\nat all", "not python\\nat all"),
    ],
)
def test_what_was_meant_is_run(written: str, meant: str) -> None:
    assert prepare(written).text.rstrip("\n") == meant.rstrip("\n")


def test_the_lines_put_before_are_counted() -> None:
    code = prepare("x = pd.Series([1])\njson.dumps(1)")
    assert code.prelude == 2
    assert code.text.splitlines()[2] == "x = pd.Series([1])"


@pytest.mark.parametrize(
    "own", ["pd = Thing()\npd.x", "def f(np):\n    return np.x", "import re\nre.compile('x')"]
)
def test_names_that_the_code_binds_are_left_alone(own: str) -> None:
    assert prepare(own).text == own


def test_a_future_import_stays_first() -> None:
    code = "from __future__ import annotations\npd.x"
    assert prepare(code).text == code


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("a = 1", "a"),
        ("a = b = 1", "b"),
        ("a: int = 1", "a"),
        ("a += 1", "a"),
        ("a, b = 1, 2", "a, b"),
        ("a.b = 1", None),
        ("a[0] = 1", None),
        ("print(1)", None),
        ("", None),
    ],
)
def test_the_last_assignment_is_shown(code: str, shown: str | None) -> None:
    assert prepare(code).shows == shown


@pytest.mark.parametrize(
    "hostile",
    [
        "(" * 40_000,
        "-" * 40_000 + "1",
        "[" * 90 + "]" * 90,
        "a." * 20_000 + "b",
        "\0",
        "\ud800",
        "x" * 200_000,
    ],
)
def test_hostile_code_hurts_nobody_here(hostile: str) -> None:
    prepare(hostile)


@given(st.text())
def test_any_text_can_be_prepared(text: str) -> None:
    prepare(text)
