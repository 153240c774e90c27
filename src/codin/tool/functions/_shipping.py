"""What is sent to a sandbox to have a function called there."""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any

from codin.tool.base import ToolDefinitionError


def check_shippable(fn: Callable[..., Any], name: str) -> None:
    """Return when ``fn`` can be called in a sandbox, by its name in the source of its module.

    Raises:
        ToolDefinitionError: it cannot; the message says why, and what to do.
    """
    way_out = "move it to the top of a module, or mark it trusted=True if it is your own"
    if not inspect.isfunction(fn):
        raise ToolDefinitionError(
            f"tool '{name}': {fn!r} is not a plain function, so its source cannot be sent to a "
            f"sandbox; {way_out}"
        )
    if "<locals>" in fn.__qualname__:
        raise ToolDefinitionError(
            f"tool '{name}': {fn.__qualname__} is defined inside another function and cannot be "
            f"found again in a sandbox; {way_out}"
        )
    module_source(fn, name)


def module_source(fn: Callable[..., Any], name: str) -> str:
    """The source of the module of ``fn``, the function of the tool ``name``.

    Raises:
        ToolDefinitionError: there is none.
    """
    filename = fn.__code__.co_filename
    source = "".join(linecache.getlines(filename, getattr(fn, "__globals__", None)))
    if not source:
        raise ToolDefinitionError(
            f"tool '{name}': there is no source file {filename} to send to a sandbox; write the "
            "function in a file, or mark it trusted=True if it is your own"
        )
    return source


@cache
def entry_source() -> str:
    """The program that calls a function in its sandbox."""
    return resources.files("codin.tool").joinpath("_entry.py").read_text("utf-8")
