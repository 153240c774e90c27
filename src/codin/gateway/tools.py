"""The tools of the settings: every tool object of the files that are named."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from codin.errors import CodinError
from codin.tool.builtin import builtin_tools
from codin.tool.function import FunctionTool
from codin.tool.registry import ToolRegistry


class ToolLoadError(CodinError):
    """A file of tools cannot be used; the message names it and says why."""


def register_tools(registry: ToolRegistry, files: Sequence[Path]) -> None:
    """Register the built-in tools and those of ``files``.

    Raises:
        ToolLoadError: a file is missing, does not import, or has no tool.
        ToolClash: two tools have one name.
    """
    for tool in builtin_tools():
        registry.register(tool)
    for file in files:
        for tool in _tools_of(file):
            registry.register(tool, source=str(file))


def _tools_of(file: Path) -> list[FunctionTool]:
    module = _import(file)
    found = [value for value in vars(module).values() if isinstance(value, FunctionTool)]
    own = [tool for tool in found if tool.__module__ == module.__name__]
    if not own:
        raise ToolLoadError(f"{file} has no tool: mark its functions with @codin.tool")
    return own


def _import(file: Path) -> ModuleType:
    name = f"codin_tools_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file) if file.is_file() else None
    if spec is None or spec.loader is None:
        raise ToolLoadError(f"there is no Python file {file} to take tools from")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ToolLoadError(f"{file} does not import: {type(error).__name__}: {error}") from error
    return module
