"""Functions become tools, or a clear error."""

import subprocess
import sys
from typing import Any

import pytest
import sample_tools

from codin import tool as package_as_decorator
from codin.tool import FunctionTool, Tool, ToolContext, ToolDefinitionError, UnboundTool, tool


def schema(fn: FunctionTool) -> dict[str, Any]:
    return fn.spec.input_schema


def test_the_schema_comes_from_signature_and_docstring() -> None:
    spec = sample_tools.add.spec
    assert (spec.name, spec.description, spec.origin) == ("add", "Add two numbers.", "function")
    assert spec.input_schema == {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "description": "the first number"},
            "b": {"type": "integer", "description": "the second number", "default": 10},
        },
        "required": ["a"],
        "additionalProperties": False,
    }
    assert spec.output_schema == {"type": "integer"}
    assert not spec.trusted


def test_richer_types_are_kept_as_definitions() -> None:
    spec = sample_tools.convert.spec
    assert (spec.name, spec.description, spec.tags) == (
        "convert_trip",
        "Convert a trip.",
        ("travel",),
    )
    assert spec.input_schema["properties"]["trip"] == {"$ref": "#/$defs/Trip"}
    assert spec.input_schema["properties"]["unit"]["default"] == "km"
    assert spec.input_schema["$defs"]["Unit"]["enum"] == ["km", "mile"]
    assert set(spec.input_schema["$defs"]["Trip"]["properties"]) == {"name", "km"}
    assert spec.input_schema["required"] == ["trip", "on"]


def test_a_property_named_title_is_kept() -> None:
    def name_it(title: str, default: int = 1) -> str:
        return title

    made = FunctionTool.from_function(name_it, trusted=True)
    assert set(schema(made)["properties"]) == {"title", "default"}


def test_the_context_is_not_in_the_schema() -> None:
    assert set(schema(sample_tools.who)["properties"]) == {"mode"}

    def maybe(x: int, context: ToolContext | None = None) -> int:
        return x

    assert set(schema(FunctionTool.from_function(maybe, trusted=True))["properties"]) == {"x"}


def test_the_object_is_still_the_function() -> None:
    assert sample_tools.add(1, b=2) == 3
    assert sample_tools.add.__name__ == "add"
    assert isinstance(sample_tools.add, Tool)


async def test_a_bare_tool_refuses_to_run() -> None:
    with pytest.raises(UnboundTool, match="not bound to a run"):
        await sample_tools.add.invoke(1)


def test_the_decorator_is_the_package_too() -> None:
    made = package_as_decorator(name="other")(sample_tools.add.__wrapped_tool__)
    assert made.spec.name == "other"


def test_the_decorator_works_however_codin_was_imported_before() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "{first}\n"
        "import sample_tools\n"
        "print(sample_tools.add.spec.name)\n"
    )
    for first in ("", "import codin.agent"):
        folder = str(sample_tools.__file__).rpartition("/")[0]
        argv = [sys.executable, "-c", code.format(first=first), folder]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr) == ("add\n", ""), first


def refuse(fn: Any, match: str, **options: Any) -> None:
    with pytest.raises(ToolDefinitionError, match=match):
        FunctionTool.from_function(fn, **options)


def unannotated(text) -> str:  # type: ignore[no-untyped-def]
    return text


def star(*numbers: int) -> int:
    return sum(numbers)


def keywords(**options: str) -> int:
    return len(options)


def positional_only(x: int, /) -> int:
    return x


class Strange:
    pass


def strange(thing: Strange) -> None:
    pass


def unresolved(thing: "Nowhere") -> None:  # type: ignore[name-defined]  # noqa: F821
    pass


def odd_default(x: int = object()) -> None:  # type: ignore[assignment]
    pass


def test_what_cannot_be_a_tool_is_told_by_name() -> None:
    refuse(unannotated, "tool 'unannotated': parameter 'text' has no type annotation")
    refuse(star, r"'\*numbers' cannot be given by name")
    refuse(keywords, r"'\*\*options' cannot be given by name")
    refuse(positional_only, "'x' cannot be given by name")
    refuse(strange, "parameter 'thing' has type .*Strange.* which JSON cannot carry")
    refuse(unresolved, "annotation cannot be resolved: name 'Nowhere'")
    refuse(odd_default, "the default of 'x' is no JSON data")
    refuse(lambda x: x, "lambda", trusted=True)
    refuse(Strange, "made from a function")
    refuse(len, "not a plain function")


def test_a_nested_function_cannot_be_sent_but_can_be_trusted() -> None:
    def inner(x: int) -> int:
        return x

    with pytest.raises(ToolDefinitionError, match="defined inside another function"):
        tool(inner)
    assert tool(trusted=True)(inner).spec.trusted


def test_a_function_without_a_source_file_cannot_be_sent() -> None:
    space: dict[str, Any] = {"__name__": "made_up"}
    exec("def made(x: int) -> int:\n    return x\n", space)
    refuse(space["made"], "no source file")
