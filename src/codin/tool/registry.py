"""All tools of the platform, by name, each shown only to those who may call it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from jsonschema import Draft202012Validator, SchemaError

from codin.security import Authorizer, Principal
from codin.tool.base import ToolClash, ToolDefinitionError, UnknownTool
from codin.tool.invocation import RunnableTool

# What every provider of models accepts as the name of a function.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


class ToolRegistry:
    """Tools by their unique names.

    A principal sees a tool when it holds ``tool.call:NAME`` and each of the tool's own
    ``permissions``.
    """

    def __init__(self, authorizer: Authorizer, tools: Iterable[RunnableTool] = ()) -> None:
        self._authorizer = authorizer
        self._tools: dict[str, RunnableTool] = {}
        self._sources: dict[str, str] = {}
        for tool in tools:
            self.register(tool)

    def register(self, tool: RunnableTool, *, source: str = "") -> None:
        """Add ``tool``; ``source`` says where it comes from, in words, such as a file.

        Raises:
            ToolClash: another tool has that name.
            ToolDefinitionError: the name or a schema cannot be used.
        """
        name = tool.spec.name
        source = source or _source_of(tool)
        if not _NAME.fullmatch(name):
            raise ToolDefinitionError(
                f"{name!r} ({source}) cannot be the name of a tool: up to 64 letters, digits, '_' "
                "and '-', beginning with a letter"
            )
        if name in self._tools:
            raise ToolClash(
                f"two tools are named '{name}': {self._sources[name]} and {source}; rename one"
            )
        _check_schemas(tool)
        self._tools[name] = tool
        self._sources[name] = source

    def get(self, principal: Principal, name: str) -> RunnableTool:
        """The tool of that name.

        Raises:
            UnknownTool: there is none, or not for this principal; the message is the same.
        """
        tool = self._tools.get(name)
        if tool is None or not self._allowed(principal, tool):
            raise unknown(name, [tool.spec.name for tool in self.list(principal)])
        return tool

    def list(self, principal: Principal) -> list[RunnableTool]:
        """The tools that ``principal`` may call, by name."""
        tools = sorted(self._tools.values(), key=lambda tool: tool.spec.name)
        return [tool for tool in tools if self._allowed(principal, tool)]

    def source(self, principal: Principal, name: str) -> str:
        """Where the tool comes from, in words.

        Raises:
            UnknownTool: as ``get``.
        """
        return self._sources[self.get(principal, name).spec.name]

    def _allowed(self, principal: Principal, tool: RunnableTool) -> bool:
        needed = (f"tool.call:{tool.spec.name}", *tool.spec.permissions)
        return all(self._authorizer.allows(principal, permission) for permission in needed)


def unknown(name: str, allowed: Iterable[str]) -> UnknownTool:
    """The error for a tool that is not there, or not for the caller: it cannot tell which."""
    names = sorted(allowed)
    near = difflib.get_close_matches(name, names, n=1)
    guess = f" Did you mean '{near[0]}'?" if near else ""
    listed = ", ".join(names) if names else "none"
    return UnknownTool(f"there is no tool '{name[:80]}'.{guess} The tools are: {listed}.")


def _source_of(tool: RunnableTool) -> str:
    module = getattr(tool, "__module__", "")
    return f"{tool.spec.origin} tool of {module}" if module else f"{tool.spec.origin} tool"


def _check_schemas(tool: RunnableTool) -> None:
    for schema in (tool.spec.input_schema, tool.spec.output_schema or {}):
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            raise ToolDefinitionError(
                f"tool '{tool.spec.name}' has a schema that is no JSON Schema 2020-12: "
                f"{error.message} at {'/'.join(str(part) for part in error.absolute_path) or '/'}"
            ) from error
    if tool.spec.input_schema.get("type") != "object":
        raise ToolDefinitionError(
            f"tool '{tool.spec.name}': the input schema has to be of type object"
        )
