"""The tools of a run as LlamaIndex has tools."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Mapping
from typing import Any

from codin.agent._parts import jsonable
from codin.agent.adapters.llama_index.reader import Reader
from codin.tool.base import Tool

_TYPES = {"string": str, "integer": int, "number": float, "boolean": bool, "array": list}


def bridge(tool: Tool, reader: Reader) -> Any:
    """``tool`` as a LlamaIndex tool of this run."""
    from llama_index.core.tools import FunctionTool, ToolMetadata, ToolOutput

    class SpecMetadata(ToolMetadata):  # type: ignore[misc]
        def get_parameters_dict(self) -> dict[str, Any]:
            return dict(tool.spec.input_schema)

    class BridgedTool(FunctionTool):  # type: ignore[misc]
        async def acall(self, *args: Any, **arguments: Any) -> Any:
            call_id = await reader.told(tool.name, arguments)
            given = await reader.run.use(tool, call_id, arguments)
            return ToolOutput(
                content=given.text,
                tool_name=tool.name,
                raw_input=arguments,
                raw_output=jsonable(given.value),
                is_error=given.is_error,
            )

    in_loop, in_code = _functions(tool, reader)
    metadata = SpecMetadata(name=tool.name, description=tool.spec.description or tool.name)
    return BridgedTool(fn=in_code, async_fn=in_loop, metadata=metadata)


def _functions(tool: Tool, reader: Reader) -> tuple[Any, Any]:
    """The tool for code that an agent writes, which tells nobody that it calls: for code in the
    loop, and for code in a thread."""

    async def in_loop(**arguments: Any) -> Any:
        given = await reader.run.use(tool, uuid.uuid4().hex, arguments)
        if given.is_error:
            raise RuntimeError(given.text)
        return jsonable(given.value)

    def in_code(**arguments: Any) -> Any:
        return reader.threads.wait(in_loop(**arguments))

    for function in (in_loop, in_code):
        function.__name__ = tool.name
        function.__doc__ = tool.spec.description
        vars(function)["__signature__"] = _signature(tool.spec.input_schema)
    return in_loop, in_code


def _signature(schema: Mapping[str, Any]) -> inspect.Signature:
    """How code calls it, which is what a model that writes code is told."""
    required = schema.get("required", ())
    return inspect.Signature(
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=_TYPES.get(str(given.get("type")), Any),
                default=inspect.Parameter.empty if name in required else None,
            )
            for name, given in schema.get("properties", {}).items()
            if name.isidentifier() and isinstance(given, Mapping)
        ]
    )
