"""What every tool has to do, whatever it is made of.

Subclass ``ToolConformance`` and give it a ``case`` fixture: a tool bound to a run of an executor,
with a call that goes well and calls that do not.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator, meta

from codin.tool.base import InvalidArguments, Tool, ToolError


@dataclass(frozen=True, slots=True)
class ToolCase:
    """A bound tool and what it is tried with.

    ``arguments`` is a call that gives ``expected``. ``wrong`` has one argument of a wrong type,
    whose name is ``wrong_name``. ``failing`` makes the tool itself fail, ``slow`` keeps it busy
    for seconds; ``None`` where a tool cannot.
    """

    tool: Tool
    arguments: Mapping[str, Any]
    expected: Any
    wrong: Mapping[str, Any]
    wrong_name: str
    failing: Mapping[str, Any] | None = None
    slow: Mapping[str, Any] | None = None


class ToolConformance:
    """The checks, as a class for pytest."""

    async def test_it_is_a_tool_with_valid_schemas(self, case: ToolCase) -> None:
        assert isinstance(case.tool, Tool)
        assert case.tool.name == case.tool.spec.name
        assert case.tool.spec.description
        assert case.tool.spec.input_schema["type"] == "object"
        meta.validate(case.tool.spec.input_schema)
        if case.tool.spec.output_schema is not None:
            meta.validate(case.tool.spec.output_schema)

    async def test_named_arguments_are_taken(self, case: ToolCase) -> None:
        assert await case.tool.invoke(**case.arguments) == case.expected

    async def test_positional_arguments_follow_the_schema(self, case: ToolCase) -> None:
        names = [
            name for name in case.tool.spec.input_schema["properties"] if name in case.arguments
        ]
        first = (
            names[:1] if list(case.tool.spec.input_schema["properties"])[:1] == names[:1] else []
        )
        rest = {name: value for name, value in case.arguments.items() if name not in first}
        values = [case.arguments[name] for name in first]
        assert await case.tool.invoke(*values, **rest) == case.expected

    async def test_the_result_is_json_and_fits_its_schema(self, case: ToolCase) -> None:
        value = await case.tool.invoke(**case.arguments)
        assert json.loads(json.dumps(value, allow_nan=False)) == value
        if case.tool.spec.output_schema is not None:
            Draft202012Validator(case.tool.spec.output_schema, offline=True).validate(value)

    async def test_a_wrong_argument_is_named(self, case: ToolCase) -> None:
        with pytest.raises(InvalidArguments, match=f"'{case.wrong_name}'"):
            await case.tool.invoke(**case.wrong)

    async def test_a_missing_argument_is_named(self, case: ToolCase) -> None:
        required = case.tool.spec.input_schema.get("required", [])
        for name in required:
            given = {key: value for key, value in case.arguments.items() if key != name}
            with pytest.raises(InvalidArguments, match=f"'{name}' is missing"):
                await case.tool.invoke(**given)

    async def test_an_unknown_argument_is_named(self, case: ToolCase) -> None:
        if case.tool.spec.input_schema.get("additionalProperties") is False:
            with pytest.raises(InvalidArguments, match="no argument 'surplus'"):
                await case.tool.invoke(**case.arguments, surplus=1)

    async def test_a_failure_is_an_error_to_act_on(self, case: ToolCase) -> None:
        if case.failing is not None:
            with pytest.raises(ToolError) as caught:
                await case.tool.invoke(**case.failing)
            assert 0 < len(str(caught.value)) < 2_000
            # After a failure it goes on.
            assert await case.tool.invoke(**case.arguments) == case.expected

    async def test_calls_beside_each_other_do_not_mix(self, case: ToolCase) -> None:
        calls = [case.tool.invoke(**case.arguments) for _ in range(3)]
        assert await asyncio.gather(*calls) == [case.expected] * 3

    async def test_a_canceled_call_ends_at_once(self, case: ToolCase) -> None:
        if case.slow is not None:
            running = asyncio.ensure_future(case.tool.invoke(**case.slow))
            await asyncio.sleep(0.3)
            running.cancel()
            async with asyncio.timeout(5):
                with pytest.raises(asyncio.CancelledError):
                    await running
