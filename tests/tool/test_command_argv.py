"""A command line with places in it: what is put there stays one argument."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codin.tool import Argument, ArgvTemplate, InvalidArguments, ToolDefinitionError

TEXT = Argument({"type": "string"})
NUMBER = Argument({"type": "integer"}, optional=True)
LIST = Argument({"type": "array", "items": {"type": "string"}})
FLAG = Argument({"type": "boolean"}, flag="--verbose")


def template(argv: list[Any], **arguments: Argument) -> ArgvTemplate:
    return ArgvTemplate(argv, arguments)


@pytest.mark.parametrize(
    ("argv", "values", "expected"),
    [
        (["git", "log"], {}, ["git", "log"]),
        (["ls", "{path}"], {"path": "a b; rm -rf $HOME `id` 'x' \n*"}, None),
        (["ls", "{path}"], {"path": ""}, ["ls", ""]),
        (["f", "--in={path}.txt"], {"path": "-x {path} {{"}, ["f", "--in=-x {path} {{.txt"]),
        (["awk", "{{print}}", "{path}"], {"path": "f"}, ["awk", "{print}", "f"]),
        (["log", ["-n", "{count}"], "x"], {"count": 3}, ["log", "-n", "3", "x"]),
        (["log", ["-n", "{count}"], "x"], {}, ["log", "x"]),
        (["log", "--n={count}", "x"], {}, ["log", "x"]),
        (["log", "--n={count}"], {"count": 3.0}, ["log", "--n=3"]),
        (["cat", "{paths}"], {"paths": ["a", "b c"]}, ["cat", "a", "b c"]),
        (["cat", "{paths}", "end"], {"paths": []}, ["cat", "end"]),
        (["g", ["-e", "{paths}"]], {"paths": ["a", "b"]}, ["g", "-e", "a", "-e", "b"]),
        (["g", "--file={paths}"], {"paths": ["a", "-b"]}, ["g", "--file=a", "--file=-b"]),
        (["g", "{path}:{count}"], {"path": "x", "count": 2}, ["g", "x:2"]),
        (["g", "{verbose}", "x"], {"verbose": True}, ["g", "--verbose", "x"]),
        (["g", "{verbose}", "x"], {"verbose": False}, ["g", "x"]),
        (["g", "{verbose}", "x"], {}, ["g", "x"]),
        (["g", ["{verbose}", "x"]], {"verbose": False}, ["g"]),
    ],
)
def test_places_are_filled(
    argv: list[Any], values: Mapping[str, Any], expected: list[str] | None
) -> None:
    made = template(argv, path=TEXT, count=NUMBER, paths=LIST, verbose=FLAG)
    assert made.filled(values) == (expected or ["ls", values["path"]])


def test_a_boolean_without_a_flag_is_a_word() -> None:
    made = template(["set", "{on}"], on=Argument({"type": "boolean"}))
    assert made.filled({"on": True}) == ["set", "true"]


@pytest.mark.parametrize(
    ("argv", "values"),
    [
        (["rm", "{path}"], {"path": "-rf"}),
        (["rm", "{path}.txt"], {"path": "--all"}),
        (["rm", "{path}-{count}"], {"path": "", "count": 1}),
        (["head", "{count}"], {"count": -5}),
        (["rm", "{paths}"], {"paths": ["a", "-rf"]}),
        (["rm", ["--", "{path}"]], {"path": "-rf"}),
    ],
)
def test_what_would_be_read_as_an_option_is_refused(
    argv: list[Any], values: Mapping[str, Any]
) -> None:
    arguments = {"path": TEXT, "count": NUMBER, "paths": LIST}
    with pytest.raises(InvalidArguments, match="read it as an option"):
        ArgvTemplate(argv, arguments).filled(values)
    free = {
        name: Argument(one.schema, one.optional, dashes=True) for name, one in arguments.items()
    }
    assert any(word.startswith("-") for word in ArgvTemplate(argv, free).filled(values))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("a\0b", "'path' has a NUL character"),
        ("\ud800", "'path' is no text"),
        ("x" * 100_001, "'path' has 100,001 bytes, more than the 100,000"),
        (float("nan"), "'path' has to be a number, not nan"),
    ],
)
def test_what_no_command_can_be_given_is_refused(value: Any, told: str) -> None:
    with pytest.raises(InvalidArguments, match=told):
        template(["ls", "{path}"], path=TEXT).filled({"path": value})


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        ([], "begin with the name of a program"),
        ([""], "begin with the name of a program"),
        (["{path}"], "begin with the name of a program"),
        ([["ls", "x"]], "begin with the name of a program"),
        (["ls", "{nothing}"], "'nothing', which is no argument; there are: path, paths"),
        (["ls", "{}"], "a place for '', which is no argument"),
        (["ls", "{path.__class__}"], "which is no argument"),
        (["ls", "{path!r}"], "which is no argument"),
        (["ls", "{path:>10}"], "which is no argument"),
        (["ls", "{path"], r"'\{path' in argv: .* write \{\{ and \}\}"),
        (["ls", "a}"], r"write \{\{ and \}\}"),
        (["ls", "{paths}{others}"], "lists others and paths stand together"),
        (["ls", ["{paths}", "{others}"]], "lists others and paths stand together"),
        (["ls", "x{verbose}"], r"\{verbose\} in argv stands for a flag"),
    ],
)
def test_a_command_line_that_cannot_be_used_is_refused(argv: list[Any], told: str) -> None:
    with pytest.raises(ToolDefinitionError, match=told):
        template(argv, path=TEXT, paths=LIST, others=LIST, verbose=FLAG)


@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40),
    st.lists(st.text("-ab {}$;'\"\\\n", max_size=5), max_size=4),
)
def test_whatever_is_given_each_argument_stays_one(text: str, items: list[str]) -> None:
    made = template(["p", "--x={path}", "{paths}", "end"], path=TEXT, paths=LIST)
    values = {"path": text, "paths": items}
    if any(item.startswith("-") for item in items):
        with pytest.raises(InvalidArguments):
            made.filled(values)
    else:
        assert made.filled(values) == ["p", f"--x={text}", *items, "end"]
