"""``describe_data``: a look at a data file."""

from __future__ import annotations

from typing import Any

from codin.tool.builtin.base import BuiltinTool, builtin_spec, look
from codin.tool.execution.result import cut
from codin.tool.invocation import Invocation

MAX_CHARS = 1200

SPEC = builtin_spec(
    "describe_data",
    "Show the columns, types, row count, values and sample rows of a CSV, TSV, JSON or text file.",
    {"path": {"type": "string", "description": "the file, such as data/file.csv"}},
    required=("path",),
    example={"path": "data/file.csv"},
)


class DescribeData(BuiltinTool):
    """Columns, types, row count, distinct values and sample rows of a file, in few words."""

    def __init__(self) -> None:
        super().__init__(SPEC)

    async def run(self, call: Invocation) -> Any:
        """Describe ``path``."""
        text = await look(call, "describe", path=call.arguments["path"])
        return cut(str(text), MAX_CHARS)
