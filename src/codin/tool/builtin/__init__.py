"""The tools that every agent may be given: code, commands and files in the goal's sandbox."""

from __future__ import annotations

from codin.tool.builtin.describe import DescribeData
from codin.tool.builtin.files import ListFiles, ReadFile, WriteFile
from codin.tool.builtin.python import RunPython
from codin.tool.builtin.shell import RunShell
from codin.tool.invocation import RunnableTool


def builtin_tools() -> list[RunnableTool]:
    """One of each."""
    return [DescribeData(), ListFiles(), ReadFile(), RunPython(), RunShell(), WriteFile()]


__all__ = [
    "DescribeData",
    "ListFiles",
    "ReadFile",
    "RunPython",
    "RunShell",
    "WriteFile",
    "builtin_tools",
]
