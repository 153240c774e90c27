"""``@tool``: makes a function a tool where it is written."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, overload

from codin.tool.base import Effects, IfInterrupted, ToolLimits
from codin.tool.functions.function import FunctionTool


@overload
def tool(fn: Callable[..., Any], /) -> FunctionTool: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    trusted: bool = False,
    limits: ToolLimits | None = None,
    permissions: tuple[str, ...] = (),
    effects: Effects = "repeatable",
    if_interrupted: IfInterrupted | None = None,
    tags: tuple[str, ...] = (),
    version: str = "1",
    deprecated: str | None = None,
    pure: bool = False,
    cache_seconds: float = 300.0,
) -> Callable[[Callable[..., Any]], FunctionTool]: ...


def tool(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a tool: ``@tool``, or ``@tool(name=..., limits=...)``.

    The options are those of ``FunctionTool.from_function``.

    Raises:
        ToolDefinitionError: the function cannot be a tool.
    """
    if fn is not None:
        return FunctionTool.from_function(fn, **options)
    return partial(FunctionTool.from_function, **options)
